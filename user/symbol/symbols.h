/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names and lines of addresses in one ELF file: a parser of foreign bytes, called through
 * parse_request(). It opens nothing: it reads the files that it is given and no other.
 */
#ifndef HEAPTAP_SYMBOLS_H
#define HEAPTAP_SYMBOLS_H

#include "../base/parse.h"

enum symbols_file {
	SYMBOLS_MODULE,
	SYMBOLS_DEBUG,	       /* its separate debug file, or -1 */
	SYMBOLS_SUPPLEMENTARY, /* what dwz took out of several debug files, or -1 */
	SYMBOLS_FILES
};

struct symbols_query {
	uint64_t address; /* in the ELF's own address space */
	uint32_t is_call; /* it lies inside a call instruction, whose first byte is wanted */
	uint32_t reserved;
};

#define SYMBOLS_NO_TEXT	   0xffffffffU
#define SYMBOLS_MAX_LEVELS 64U

struct symbols_answer {
	uint64_t address;	  /* of the instruction */
	uint64_t function_offset; /* of it, from the first byte of the last level's function */
	uint32_t levels;	  /* struct symbols_level []: bytes from the answer's start */
	uint32_t
		level_count; /* 1 to SYMBOLS_MAX_LEVELS: innermost first, all but the last inlined */
};

struct symbols_level {
	uint32_t function; /* texts: bytes from the answer's start, or SYMBOLS_NO_TEXT */
	uint32_t file;
	uint32_t line; /* 0: unknown */
};

/*
 * files: enum symbols_file; in: struct symbols_query []; out: as many struct symbols_answer, then
 * levels and texts. -ENOEXEC: no ELF file.
 */
extern const struct parser symbols_parser;

#endif
