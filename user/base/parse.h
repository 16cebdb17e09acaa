/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one door to parsers of foreign bytes (ELF, symbols, DWARF, unwind tables). A parser reads a
 * file or a buffer that the target's owner controls and returns a flat result without pointers, so
 * that the whole exchange passes through a socket:
 *
 *   caller -> parse_request() -> [ in process ]                      unit tests, fuzzers
 *                             -> [ child without privileges ]        after parse_sandbox()
 *
 * A parser that crashes or hangs in a child costs the answer about one file, with one message. The
 * answer is as hostile as the file: the parser's check runs on it in the caller's process.
 */
#ifndef HEAPTAP_PARSE_H
#define HEAPTAP_PARSE_H

#include "buffer.h"

#define PARSE_MAX_FILES 4

/*
 * files: descriptors to read from, count of them, each parser says which (-1 or left out at the end: none);
 * in: what is asked, flat; out: the answer, flat. 0 or -errno, silently. In a child only these
 * descriptors can be read: paths, /proc and the network are not there, and a look-up by path fails
 * with ENOENT.
 */
typedef int (*parse_function)(
	const int *files, size_t count, const struct buffer *in, struct buffer *out);
/*
 * Does everything in the answer that callers take for an index, an offset, a count or a text that
 * ends lie inside it? It must hold for any bytes, not only for those that the parser writes. 0 or
 * -EBADMSG, silently.
 */
typedef int (*parse_check)(const struct buffer *in, const struct buffer *out);

struct parser {
	const char *name; /* what it reads out of a file, for messages: "names", "unwind rules" */
	parse_function run;
	parse_check check; /* NULL: callers take the answer for plain bytes */
};

/*
 * Runs a parser: 0, or -errno with *out empty. The descriptors stay the caller's; their file
 * offsets are shared with the parser. Any thread may call it: each has a child of its own, which ends
 * with the thread. There are four at most, so that more threads that ask wait or replace one.
 *
 * -EIO: the parser crashed or hung on this file now (with a message) or before (silently): it is
 * not asked again. -EAGAIN: no child could be started, with a message.
 */
int parse_request(const struct parser *parser, const int *files, size_t count,
	const struct buffer *in, struct buffer *out);
/* The same for the usual parser of one file. */
static inline int parse_file(
	const struct parser *parser, int fd, const struct buffer *in, struct buffer *out)
{
	return parse_request(parser, &fd, 1, in, out);
}

/*
 * From here on requests go to children: this executable run again under the name PARSE_CHILD, each
 * in the sandbox of sandbox.h. Started when first needed. In such a child the call serves requests
 * and does not return, so it stands first in main(), before descriptors or threads are made.
 *
 * parsers: all that will be asked for; the table lives as long as the program.
 */
#define PARSE_CHILD "heaptap-parser"
void parse_sandbox(char **argv, const struct parser *const *parsers, size_t count);
/* Ends the children. Later requests start new ones. */
void parse_sandbox_end(void);

/*
 * A parser that gives no sign of life for this long hangs. Ten seconds: the symbols of the largest
 * programs take about one, and a report can wait so long for the names of a file once.
 */
#define PARSE_TIMEOUT_MS 10000
void parse_sandbox_set_timeout(unsigned int ms);

/* For parsers. Is this a child, so that a file that shrinks while it is mapped may kill us? */
bool parse_is_sandboxed(void);
/* A sign of life from one whose work is long, for up to PARSE_TOTAL_MS. Cheap: call it often. */
void parse_progress(void);
#define PARSE_TOTAL_MS 120000

#endif
