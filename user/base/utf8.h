/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names come from the target: what reaches a terminal or a JSON reader is valid and harmless. */
#ifndef HEAPTAP_UTF8_H
#define HEAPTAP_UTF8_H

#include "buffer.h"

/* Bytes of the UTF-8 sequence at p, 0 when it is not a valid one (RFC 3629). p ends with a NUL. */
int utf8_length(const char *p);
/* The same, but 0 also for what a terminal would obey: C0, DEL, and C1, which is U+0080 to U+009F. */
int utf8_printable(const char *p);
/* Appends a name, with '?' for each byte that is not part of something printable. */
void utf8_append_printable(struct buffer *b, const char *text);

#endif
