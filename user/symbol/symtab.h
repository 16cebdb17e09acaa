/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Functions of addresses by the symbol tables of ELF files. One pass over the symbols answers all
 * addresses; nothing is sorted but what covers one of them.
 */
#ifndef HEAPTAP_SYMTAB_H
#define HEAPTAP_SYMTAB_H

#include <libelf.h>
#include <stddef.h>
#include <stdint.h>

struct symtab_match {
	const char *name; /* as it stands in the file, which has to live as long; NULL: unknown */
	uint64_t start;
};

/*
 * addresses: sorted, each once. files: of one module, whose tables complete each other; NULL: none.
 * Of several symbols at an address the innermost function with a size is taken, then the nearest
 * without one; of names of one function the most public. 0 or -ENOMEM.
 */
int symtab_find(Elf *const *files, size_t file_count, const uint64_t *addresses, size_t count,
	struct symtab_match *matches);

/* The first of the sorted addresses that is not below an address; count when there is none. */
size_t symtab_first(const uint64_t *addresses, size_t count, uint64_t address);

#endif
