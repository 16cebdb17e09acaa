// SPDX-License-Identifier: GPL-2.0-or-later
/* The live total as the kernel half keeps it, without a reading of the tables. */
#include "session_internal.h"

uint64_t session_live_bytes(const struct session *s)
{
	int64_t live = (int64_t)__atomic_load_n(
		&s->tables.processes[session_first(s)->slot].live_bytes, __ATOMIC_RELAXED);

	return live > 0 ? (uint64_t)live : 0;
}
