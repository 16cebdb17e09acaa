// SPDX-License-Identifier: GPL-2.0-or-later
/* How processes are chosen, what runs a program file, and figures of several targets together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../user/model/profile.h"
#include "../../user/target/interpreter.h"
#include "../../user/target/select.h"

static bool has(const char *cgroup, const char *line)
{
	return selection_has_cgroup(cgroup, line, strlen(line));
}

static void cgroups_of_both_versions(void **state)
{
	(void)state;
	/* Version 2, by the path in the hierarchy and by that in the file system. */
	assert_true(has("/system.slice", "0::/system.slice"));
	assert_true(has("/system.slice/", "0::/system.slice/nginx.service"));
	assert_false(has("/system.slice", "0::/system.slice2"));
	assert_false(has("/system.slice/nginx", "0::/system.slice"));
	assert_true(has("/sys/fs/cgroup/system.slice", "0::/system.slice/a"));
	assert_true(has("/sys/fs/cgroup/unified/a", "0::/a/b"));
	assert_false(has("/sys/fs/cgroup/a", "0::/b"));
	/* Version 1: a mount for each controller, or several. */
	assert_true(has("/docker/1", "5:memory:/docker/1"));
	assert_true(has("/sys/fs/cgroup/memory/docker", "5:memory:/docker/1"));
	assert_true(has("/sys/fs/cgroup/cpu,cpuacct/docker", "4:cpu,cpuacct:/docker"));
	assert_true(has("/sys/fs/cgroup/systemd/user.slice", "1:name=systemd:/user.slice/x"));
	assert_false(has("/sys/fs/cgroup/memory/docker", "5:pids:/docker"));
	assert_false(has("/sys/fs/cgroup/mem/docker", "5:memory:/docker"));
	/* The root is everything. */
	assert_true(has("/", "0::/"));
	assert_true(has("/", "0::/a"));
	assert_true(has("/sys/fs/cgroup", "0::/a"));
	/* What no kernel writes. */
	assert_false(has("/a", ""));
	assert_false(has("/a", "0"));
	assert_false(has("/a", "0:"));
	assert_false(has("/a", ":"));
}

static int file_of(const void *bytes, size_t n)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	return fd;
}

static enum interpreter interpreter(const void *bytes, size_t n, char *to, size_t size)
{
	int fd = file_of(bytes, n);
	enum interpreter kind = interpreter_of_fd(fd, to, size);

	close(fd);
	return kind;
}

static void interpreters_of_scripts(void **state)
{
	char to[64];

	(void)state;
	assert_int_equal(interpreter("#!/bin/sh -e\n", 13, to, sizeof(to)), INTERPRETER_SCRIPT);
	assert_string_equal(to, "/bin/sh");
	assert_int_equal(
		interpreter("#! \t/usr/bin/env python3\n", 25, to, sizeof(to)), INTERPRETER_SCRIPT);
	assert_string_equal(to, "/usr/bin/env");
	assert_int_equal(interpreter("#!\n", 3, to, sizeof(to)), INTERPRETER_NONE);
	assert_int_equal(interpreter("#!/bin/sh", 9, to, 4), INTERPRETER_NONE);
	assert_int_equal(interpreter("", 0, to, sizeof(to)), INTERPRETER_NONE);
}

static void interpreters_of_programs(void **state)
{
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr program;
		char path[16];
	} file = { .path = "/lib/ld.so" };
	char to[64];

	(void)state;
	memcpy(file.header.e_ident, ELFMAG, SELFMAG);
	file.header.e_ident[EI_CLASS] = ELFCLASS64;
	file.header.e_phentsize = sizeof(Elf64_Phdr);
	file.header.e_phoff = offsetof(__typeof__(file), program);
	file.header.e_phnum = 1;
	file.program.p_type = PT_INTERP;
	file.program.p_offset = offsetof(__typeof__(file), path);
	file.program.p_filesz = strlen(file.path) + 1;
	assert_int_equal(interpreter(&file, sizeof(file), to, sizeof(to)), INTERPRETER_LOADER);
	assert_string_equal(to, "/lib/ld.so");
	/* Without its NUL, behind the file's end, too long, many. */
	file.program.p_filesz = strlen(file.path);
	assert_int_equal(interpreter(&file, sizeof(file), to, sizeof(to)), INTERPRETER_NONE);
	file.program.p_filesz = 60;
	assert_int_equal(interpreter(&file, sizeof(file), to, sizeof(to)), INTERPRETER_NONE);
	file.program.p_filesz = UINT64_MAX;
	assert_int_equal(interpreter(&file, sizeof(file), to, sizeof(to)), INTERPRETER_NONE);
	file.header.e_phnum = 0xffff;
	assert_int_equal(interpreter(&file, sizeof(file), to, sizeof(to)), INTERPRETER_NONE);
	file.header.e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(interpreter(&file, sizeof(file), to, sizeof(to)), INTERPRETER_NONE);
}

static struct snapshot snapshot_of(struct site_figures *sites, uint32_t count, uint64_t base)
{
	struct snapshot s = { .site_count = count,
		.realtime_ns = base,
		.totals = { .alloc_count = base, .live_bytes = 2 * base, .untracked_frees = 3 },
		.events = base };

	s.sites = calloc(count, sizeof(*sites));
	assert_non_null(s.sites);
	memcpy(s.sites, sites, count * sizeof(*sites));
	s.lost[HT_LOST_LIVE_FULL] = base;
	return s;
}

static void sites_of_one_stack_become_one(void **state)
{
	struct site_figures first[] = { { .stack = 1, .alloc_count = 5, .oldest_s = 2 },
		{ .stack = 2, .alloc_count = 7 } };
	struct site_figures second[] = { { .stack = 2, .alloc_count = 10, .oldest_s = 9 },
		{ .stack = 1, .thread = 8, .alloc_count = 1 },
		{ .stack = 1, .domain = HT_DOMAIN_MMAP, .alloc_count = 2 } };
	struct snapshot a = snapshot_of(first, 2, 100), b = snapshot_of(second, 3, 200),
			sum = { 0 };

	(void)state;
	assert_int_equal(snapshot_add(&sum, &a), 0);
	assert_int_equal(snapshot_add(&sum, &b), 0);
	assert_int_equal(sum.site_count, 4);
	assert_int_equal(sum.sites[0].alloc_count, 5);
	assert_int_equal(sum.sites[1].alloc_count, 17);
	assert_int_equal((int)sum.sites[1].oldest_s, 9);
	assert_int_equal(sum.totals.alloc_count, 300);
	assert_int_equal(sum.totals.live_bytes, 600);
	assert_int_equal(sum.totals.untracked_frees, 6);
	assert_int_equal(sum.lost[HT_LOST_LIVE_FULL], 300);
	assert_int_equal(sum.events, 300);
	assert_int_equal(sum.realtime_ns, 100);
	snapshot_release(&a);
	snapshot_release(&b);
	snapshot_release(&sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cgroups_of_both_versions),
		cmocka_unit_test(interpreters_of_scripts),
		cmocka_unit_test(interpreters_of_programs),
		cmocka_unit_test(sites_of_one_stack_become_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
