// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/err.h"
#include "attach_types.h"
/* Only for the bytes in them: programs and tables are found by name, the same for all kinds. */
#include "growth.skel.h"
#include "heap_pair.skel.h"
#include "heap_session.skel.h"
#include "heap_session_ctx.skel.h"

static const struct {
	const void *(*bytes)(size_t *size);
	struct {
		const char *name;
		uint32_t attach_type; /* of a program that has a name */
	} programs[KERNEL_PROGRAMS];
} kinds[LINK_KINDS] = {
	[LINK_SESSION] = { heap_session_bpf__elf_bytes,
		{ [PROGRAM_ALLOCATE] = { "allocate", ATTACH_UPROBE_SESSION },
			[PROGRAM_RELEASE] = { "release", ATTACH_UPROBE_MULTI } } },
	[LINK_SESSION_CTX] = { heap_session_ctx_bpf__elf_bytes,
		{ [PROGRAM_ALLOCATE] = { "allocate", ATTACH_UPROBE_SESSION },
			[PROGRAM_RELEASE] = { "release", ATTACH_UPROBE_MULTI } } },
	[LINK_MULTI] = { heap_pair_bpf__elf_bytes,
		{ [PROGRAM_ENTER] = { "enter", ATTACH_UPROBE_MULTI },
			[PROGRAM_LEAVE] = { "leave", ATTACH_UPROBE_MULTI } } },
	[LINK_PERF] = { heap_pair_bpf__elf_bytes,
		{ [PROGRAM_ENTER] = { "enter", 0 }, [PROGRAM_LEAVE] = { "leave", 0 } } },
};

/* libbpf's messages one level below ours: its warnings repeat what we say better. */
static int libbpf_message(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[1024];

	if (level == LIBBPF_DEBUG || log_get_level() < LOG_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = 0;
	debug("%s", line);
	return 0;
}

static struct bpf_map *find_map(const struct kernel *k, const char *name)
{
	return bpf_object__find_map_by_name(k->object, name);
}

/* The start values of a map that holds one record. */
static void *start_values(struct bpf_map *map, size_t expected_bytes)
{
	size_t bytes = 0;
	void *values = map ? (void *)(uintptr_t)bpf_map__initial_value(map, &bytes) : NULL;

	return bytes == expected_bytes ? values : NULL;
}

static int find_maps(struct kernel *k)
{
	bool all = true;

#define FIND(member)                                                                               \
	k->maps.member = find_map(k, #member);                                                     \
	all &= k->maps.member != NULL;
	KERNEL_MAPS(FIND)
#undef FIND
	k->maps.control = find_map(k, ".data.control");
	k->first = start_values(k->maps.control, sizeof(*k->first));
	k->knobs = start_values(find_map(k, ".rodata.knobs"), sizeof(*k->knobs));
	return all && k->first && k->knobs ? 0 : -ENOENT;
}

static const char *const follow_names[KERNEL_FOLLOW] = { "follow_fork", "follow_exec",
	"follow_exit" };

static int find_programs(struct kernel *k)
{
	k->birth_clock = bpf_object__find_program_by_name(k->object, "birth_clock");
	if (!k->birth_clock)
		return -ENOENT;
	for (int i = 0; i < KERNEL_FOLLOW; i++) {
		k->follow[i] = bpf_object__find_program_by_name(k->object, follow_names[i]);
		if (!k->follow[i])
			return -ENOENT;
	}
	for (int i = 0; i < KERNEL_PROGRAMS; i++) {
		const char *name = kinds[k->kind].programs[i].name;

		if (!name)
			continue;
		k->programs[i] = bpf_object__find_program_by_name(k->object, name);
		if (!k->programs[i])
			return -ENOENT;
		bpf_program__set_expected_attach_type(
			k->programs[i], kinds[k->kind].programs[i].attach_type);
	}
	return 0;
}

static int open_object(struct kernel *k, const void *bytes, size_t size)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "heaptap");

	libbpf_set_print(libbpf_message);
	k->object = bpf_object__open_mem(bytes, size, &options);
	return k->object ? find_maps(k) : -errno;
}

int kernel_open(struct kernel *k, enum link_kind kind)
{
	size_t size;
	const void *bytes = kinds[kind].bytes(&size);
	int error;

	*k = (struct kernel){ .kind = kind };
	error = open_object(k, bytes, size);
	return error ? error : find_programs(k);
}

int kernel_open_growth(struct kernel *k)
{
	bool all = true;
	size_t size;
	const void *bytes = growth_bpf__elf_bytes(&size);
	int error;

	*k = (struct kernel){ .kind = LINK_KINDS };
	error = open_object(k, bytes, size);
	if (error)
		return error;
#define FIND(member)                                                                               \
	k->maps.member = find_map(k, #member);                                                     \
	all &= k->maps.member != NULL;
	KERNEL_GROWTH_MAPS(FIND)
#undef FIND
	return all ? 0 : -ENOENT;
}

int kernel_load(struct kernel *k)
{
	k->knobs = NULL;
	k->first = NULL;
	return bpf_object__load(k->object);
}

void kernel_close(struct kernel *k)
{
	bpf_object__close(k->object);
	*k = (struct kernel){ 0 };
}

uint64_t kernel_missed_runs_of(const struct bpf_program *program)
{
	struct bpf_prog_info information = { 0 };
	uint32_t bytes = sizeof(information);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &information, &bytes))
		return 0;
	return information.recursion_misses;
}

uint64_t kernel_missed_runs(const struct kernel *k)
{
	uint64_t runs = 0;

	for (int i = 0; i < KERNEL_PROGRAMS; i++)
		if (k->programs[i])
			runs += kernel_missed_runs_of(k->programs[i]);
	return runs;
}

uint32_t kernel_birth_clock(const struct kernel *k)
{
	LIBBPF_OPTS(bpf_test_run_opts, options);
	int error = bpf_prog_test_run_opts(bpf_program__fd(k->birth_clock), &options);

	return error ? 0 : options.retval;
}
