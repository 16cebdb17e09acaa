/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What DWARF says of addresses: the line, and which functions were inlined there. Only the units
 * that cover an address are read, each once: its lines, sorted, and of its functions those that
 * hold one of the addresses.
 */
#ifndef HEAPTAP_SOURCE_H
#define HEAPTAP_SOURCE_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/buffer.h"

/* Texts stand in the Dwarf, which has to live as long. */
struct source_level {
	const char *function;  /* NULL: unknown */
	const char *file;      /* NULL: unknown */
	const char *directory; /* that a relative file is in; NULL: unknown */
	uint32_t line;
	bool mangled; /* the function's name is its linker's, not its programmer's */
};

struct source_place {
	uint32_t first_level; /* index of the levels */
	uint32_t level_count; /* innermost first; 0: nothing is known */
	uint64_t start;	      /* of the function that the others are inlined into; 0: unknown */
};

/*
 * addresses: sorted, each once; places: as many; levels: struct source_level []. 0 or -ENOMEM: what
 * is broken in the file is unknown.
 */
int source_find(Dwarf *dwarf, const uint64_t *addresses, size_t count, struct source_place *places,
	struct buffer *levels);

#endif
