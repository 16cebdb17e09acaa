/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names and lines of addresses in one ELF file: a parser of foreign bytes, called through
 * parse_request(). The file's own symbols, those of a separate debug file, and DWARF lines, by
 * elfutils.
 */
#ifndef HEAPTAP_SYMBOLS_H
#define HEAPTAP_SYMBOLS_H

#include "../base/parse.h"

struct symbols_query {
	uint64_t address; /* in the ELF's own address space */
	uint32_t is_call; /* it lies inside a call instruction, whose first byte is wanted */
	uint32_t reserved;
};

#define SYMBOLS_NO_TEXT 0xffffffffU

struct symbols_answer {
	uint64_t address;	  /* of the instruction */
	uint64_t function_offset; /* of it, from the function's first byte */
	uint32_t function;	  /* texts: bytes from the answer's start, or SYMBOLS_NO_TEXT */
	uint32_t file;
	uint32_t line; /* 0: unknown */
	uint32_t reserved;
};

/*
 * in: struct symbols_query []; out: as many struct symbols_answer, then the texts. -ENOEXEC: no ELF
 * file.
 */
extern const struct parser symbols_parser;

#endif
