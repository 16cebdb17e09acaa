// SPDX-License-Identifier: GPL-2.0-or-later
#include "recorded.h"

#include "../base/cleanup.h"

const char *snapshot_kind_name(enum snapshot_kind kind)
{
#define NAME(name, text) text,
	static const char *const names[] = { SNAPSHOT_KINDS(NAME) };
#undef NAME

	return (size_t)kind < ARRAY_SIZE(names) ? names[kind] : NULL;
}
