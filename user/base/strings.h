/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Texts kept once: equal texts have one address, which stays valid until strings_release(). Many
 * frames share few functions and fewer files.
 */
#ifndef HEAPTAP_STRINGS_H
#define HEAPTAP_STRINGS_H

#include "table.h"

struct strings {
	struct table by_hash; /* of the text -> index of texts */
	char **texts;
	size_t count;
	struct strings_chunk *chunks; /* where the bytes are; the newest first */
};

/* The one copy of `length` bytes, ended by a NUL. NULL: no memory. */
const char *strings_intern(struct strings *s, const char *text, size_t length);
void strings_release(struct strings *s);

#endif
