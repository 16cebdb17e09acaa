/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one door to parsers of foreign bytes (ELF, symbols, DWARF, unwind tables). A parser reads a
 * file or a buffer that the target's owner controls and returns a flat result without pointers, so
 * that the whole exchange can pass through a pipe: a child without privileges can stand behind this
 * call without any caller knowing.
 */
#ifndef HEAPTAP_PARSE_H
#define HEAPTAP_PARSE_H

#include "buffer.h"

#define PARSE_MAX_FILES 4

/*
 * files: descriptors to read from, count of them, each parser says which (-1 or left out at the end: none);
 * in: what is asked, flat; out: the answer, flat. 0 or -errno, silently.
 */
typedef int (*parse_function)(
	const int *files, size_t count, const struct buffer *in, struct buffer *out);

struct parser {
	const char *name; /* for messages: "ELF header", "symbols" */
	parse_function run;
};

/* Runs a parser: 0, or -errno with *out empty. The descriptors stay the caller's. */
int parse_request(const struct parser *parser, const int *files, size_t count,
	const struct buffer *in, struct buffer *out);
/* For parsers. Does this one run where a file that shrinks while it is mapped kills a child only? */
static inline bool parse_is_sandboxed(void)
{
	return false;
}
/* A sign of life from one whose work is long. Cheap: call it often. */
static inline void parse_progress(void)
{
}
/* The same for the usual parser of one file. */
static inline int parse_file(
	const struct parser *parser, int fd, const struct buffer *in, struct buffer *out)
{
	return parse_request(parser, &fd, 1, in, out);
}

#endif
