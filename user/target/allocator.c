// SPDX-License-Identifier: GPL-2.0-or-later
#include "allocator.h"

#include <string.h>

const struct allocator_function allocator_functions[] = {
	{ "malloc", HT_ROLE_MALLOC, 1 },
	{ "calloc", HT_ROLE_CALLOC, 2 },
	{ "realloc", HT_ROLE_REALLOC, 2 },
	{ "reallocarray", HT_ROLE_REALLOCARRAY, 3 },
	{ "posix_memalign", HT_ROLE_POSIX_MEMALIGN, 3 },
	{ "aligned_alloc", HT_ROLE_ALIGNED, 2 },
	{ "memalign", HT_ROLE_ALIGNED, 2 },
	{ "valloc", HT_ROLE_MALLOC, 1 },
	{ "pvalloc", HT_ROLE_MALLOC, 1 },
	{ "free", HT_ROLE_FREE, 1 },
	{ "cfree", HT_ROLE_FREE, 1 },
	{ "free_sized", HT_ROLE_FREE, 1 }, /* C23 */
	{ "free_aligned_sized", HT_ROLE_FREE, 1 },
};
const size_t allocator_function_count = ARRAY_SIZE(allocator_functions);

/*
 * In the order of preference: a jemalloc built into a program that is linked statically is
 * jemalloc.
 */
static const struct allocator_mark {
	const char *symbol;
	const char *allocator;
} marks[] = {
	{ "mallctl", "jemalloc" }, { "je_mallctl", "jemalloc" }, { "mi_malloc", "mimalloc" },
	{ "tc_malloc", "tcmalloc" }, { "gnu_get_libc_version", "glibc" },
	{ "__libc_memalign", "glibc" }, /* in static programs, with malloc */
	{ "__libc_malloc_impl", "musl" }, { "__libc_start_main", NULL },
	{ "_Znwm", NULL }, /* operator new(unsigned long) */
};
#define MARK_START (ARRAY_SIZE(marks) - 2)
#define MARK_NEW   (ARRAY_SIZE(marks) - 1)

int allocator_names(struct buffer *names)
{
	for (size_t i = 0; i < allocator_function_count; i++)
		buffer_append(names, allocator_functions[i].name,
			strlen(allocator_functions[i].name) + 1);
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		buffer_append(names, marks[i].symbol, strlen(marks[i].symbol) + 1);
	return buffer_failed(names);
}

static bool defines(const struct elf_info *info, uint32_t name)
{
	for (uint32_t i = 0; i < info->function_count; i++)
		if (info->functions[i].name == name)
			return true;
	return false;
}

static bool defines_function(const struct elf_info *info, const char *name)
{
	for (uint32_t i = 0; i < allocator_function_count; i++)
		if (!strcmp(allocator_functions[i].name, name))
			return defines(info, i);
	return false;
}

const char *allocator_of(const struct elf_info *info)
{
	if (!defines_function(info, "malloc") || !defines_function(info, "free"))
		return NULL;
	for (uint32_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (marks[i].allocator && defines(info, (uint32_t)allocator_function_count + i))
			return marks[i].allocator;
	return "other";
}

bool allocator_starts_programs(const struct elf_info *info)
{
	return defines(info, (uint32_t)(allocator_function_count + MARK_START));
}

bool allocator_has_own_new(const struct elf_info *info)
{
	return defines(info, (uint32_t)(allocator_function_count + MARK_NEW));
}
