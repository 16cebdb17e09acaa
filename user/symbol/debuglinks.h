/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who a file is and which other files it says hold its debug information: a parser of foreign
 * bytes, called through parse_request(). The names in it are the file's choice.
 */
#ifndef HEAPTAP_DEBUGLINKS_H
#define HEAPTAP_DEBUGLINKS_H

#include "../base/parse.h"
#include "../target/elf.h"

#define DEBUGLINKS_NAME 1024

struct build_id {
	uint32_t length; /* 0: none */
	uint8_t bytes[ELF_MAX_BUILD_ID];
};

struct debuglinks {
	struct build_id id;
	uint32_t has_dwarf;
	uint32_t has_symtab;
	/* .gnu_debuglink: a name without directories, and the CRC-32 of the file; "": none */
	char name[DEBUGLINKS_NAME];
	uint32_t crc;
	/* .gnu_debugaltlink: a path, and the build id of the file; "": none */
	char alt_name[DEBUGLINKS_NAME];
	struct build_id alt_id;
};

/* files: one; in: nothing; out: a struct debuglinks. -ENOEXEC: no ELF file. */
extern const struct parser debuglinks_parser;

/* Runs it, and believes nothing of the answer but that it may be wrong: 0 or -errno. */
int debuglinks_read(int fd, struct debuglinks *links);

#endif
