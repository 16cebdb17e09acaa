/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tracing needs of an ELF file, as one flat record: how it is loaded, who it is, and where
 * given functions are. A parser of foreign bytes: called through parse_request().
 */
#ifndef HEAPTAP_ELF_H
#define HEAPTAP_ELF_H

#include "../base/parse.h"

#define ELF_MAX_LOADS	  16
#define ELF_MAX_BUILD_ID  32
#define ELF_MAX_FUNCTIONS 256 /* a file with more of the few names asked for means harm */

struct elf_load {
	uint64_t offset;  /* in the file */
	uint64_t address; /* in the ELF's own address space */
	uint64_t file_bytes;
	uint32_t executable;
	uint32_t reserved;
};

struct elf_function {
	uint32_t name; /* index in the list of names asked for */
	uint32_t reserved;
	uint64_t address; /* in the ELF's own address space */
	uint64_t offset;  /* in the file */
	uint64_t bytes;	  /* of code; 0: unknown */
};

struct elf_info {
	uint32_t machine;	  /* EM_* */
	uint32_t type;		  /* ET_EXEC, ET_DYN */
	uint32_t build_id_length; /* 0: none */
	uint8_t build_id[ELF_MAX_BUILD_ID];
	uint32_t load_count;
	struct elf_load loads[ELF_MAX_LOADS];
	uint32_t has_symbols; /* a .symtab or .dynsym with any function in it */
	uint32_t function_count;
	struct elf_function functions[]; /* one a (name, address) */
};

/*
 * in: names of functions to look for, each ended by a NUL. out: a struct elf_info. Functions are
 * looked for in .dynsym and .symtab; only defined ones in executable memory count. -ENOEXEC: not a
 * usable ELF file.
 */
extern const struct parser elf_parser;

/*
 * The file offset's address in the ELF's own space, or UINT64_MAX when no executable segment holds
 * it.
 */
uint64_t elf_address_of_offset(const struct elf_info *info, uint64_t offset);

#define ELF_BUILD_ID_TEXT (2 * ELF_MAX_BUILD_ID + 1)
/* In lower-case hex, "" when there is none. Returns text. */
const char *elf_build_id_text(char text[ELF_BUILD_ID_TEXT], const struct elf_info *info);

#endif
