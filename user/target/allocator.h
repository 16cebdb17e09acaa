/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions that make up an allocator, and whose allocator it is. */
#ifndef HEAPTAP_ALLOCATOR_H
#define HEAPTAP_ALLOCATOR_H

#include "../../include/records.h"
#include "elf.h"

struct allocator_function {
	const char *name;
	enum ht_role role;
	uint8_t arguments; /* registers that must still be untouched where the probe stands */
};

extern const struct allocator_function allocator_functions[];
extern const size_t allocator_function_count;

/*
 * The names for elf_parser: those of allocator_functions in their order, then marks of the C
 * libraries.
 */
int allocator_names(struct buffer *names);

static inline bool allocator_is_function(uint32_t name)
{
	return name < allocator_function_count;
}

/*
 * "glibc", "musl", "jemalloc", "tcmalloc", "mimalloc", "other"; NULL when the file defines no
 * allocator.
 */
const char *allocator_of(const struct elf_info *info);
/* Does the file start main and threads, so that stacks end in it? */
bool allocator_starts_programs(const struct elf_info *info);

/* Does it also define operator new, which need not pass through malloc? */
bool allocator_has_own_new(const struct elf_info *info);

#endif
