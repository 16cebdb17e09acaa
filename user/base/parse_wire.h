/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What heaptap and its parser children say to each other, on a stream socket; inside base/ only.
 *
 *   child    hello                 once, in the sandbox: what of it could be had
 *   heaptap  question, in          with the descriptors, by SCM_RIGHTS
 *   child    progress...           while it works
 *            answer, out
 *
 * Both ends run the same executable: structures travel as they are.
 */
#ifndef HEAPTAP_PARSE_WIRE_H
#define HEAPTAP_PARSE_WIRE_H

#include "parse.h"

#define PARSE_MAGIC	    0x68747031U
#define PARSE_CHILD_SOCKET  3
#define PARSE_MAX_IN_BYTES  (64ULL << 20)  /* four million addresses */
#define PARSE_MAX_OUT_BYTES (128ULL << 20) /* unwind tables of the largest programs: 40 MB */

struct parse_question {
	uint32_t magic;
	uint32_t parser; /* index in the table of parsers */
	uint32_t file_count;
	uint32_t present; /* a bit for each file that is not -1 */
	uint64_t in_bytes;
};

enum parse_reply_kind { PARSE_HELLO = 1, PARSE_PROGRESS, PARSE_ANSWER };

struct parse_reply {
	uint32_t magic;
	uint32_t kind;
	int32_t error;	 /* of the sandbox (hello) or the parser (answer): 0 or -errno */
	uint32_t layers; /* enum sandbox_layer, of a hello */
	uint64_t out_bytes;
};

/* Runs a parser in this process; parse_here() checks its answer too. *out is empty before. */
int parse_run(const struct parser *parser, const int *files, size_t count, const struct buffer *in,
	struct buffer *out);
int parse_here(const struct parser *parser, const int *files, size_t count, const struct buffer *in,
	struct buffer *out);

/* The heaptap side: asks a child; parser is an index in the table given to parse_sandbox(). */
int parse_ask(const struct parser *parser, uint32_t index, const int *files, size_t count,
	const struct buffer *in, struct buffer *out);

/* The child's side: serves requests on PARSE_CHILD_SOCKET until its other end is closed. */
_Noreturn void parse_serve(const struct parser *const *parsers, size_t count);

#endif
