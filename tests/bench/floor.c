// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "floor.h"
#include "floor.skel.h"

/* enum bpf_attach_type of kernels that have them; the headers of Debian 12 end before. */
#define ATTACH_UPROBE_MULTI   48 /* 6.6 */
#define ATTACH_UPROBE_SESSION 57 /* 6.13 */

/* The start of union bpf_attr for BPF_LINK_CREATE with .uprobe_multi, which libbpf 1.1 does not
 * know. */
struct link_create_attr {
	uint32_t prog_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path __attribute__((aligned(8)));
	uint64_t offsets;
	uint64_t ref_ctr_offsets;
	uint64_t cookies;
	uint32_t cnt;
	uint32_t multi_flags;
	uint32_t pid;
	uint32_t pad; /* the kernel refuses bytes that it does not know unless they are 0 */
};
_Static_assert(sizeof(struct link_create_attr) == 64, "layout of the kernel");

/* ---- places ---- */

/* The file and offset behind an address of this process. */
static int place_of(const void *address, struct floor_place *place)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[PATH_MAX + 128];
	int rc = -ENOENT;

	if (!maps)
		return -errno;
	while (rc && fgets(line, sizeof(line), maps)) {
		unsigned long start, end, offset;
		char path[PATH_MAX];

		/* 4095: PATH_MAX - 1 */
		if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %4095[^\n]", &start, &end, &offset,
			    path) != 4)
			continue;
		if ((unsigned long)address < start || (unsigned long)address >= end)
			continue;
		place->offset = (unsigned long)address - start + offset;
		snprintf(place->path, sizeof(place->path), "%s", path);
		rc = 0;
	}
	fclose(maps);
	return rc;
}

/* push of a 64-bit register, which the kernel emulates. */
static bool is_push(const uint8_t *code)
{
	return (code[0] & 0xf8) == 0x50 || (code[0] == 0x41 && (code[1] & 0xf8) == 0x50);
}

/* The first push behind `test %rdi,%rdi; je`, or the je itself, or the entry. */
static const uint8_t *behind_null_test(const uint8_t *entry)
{
	static const uint8_t test[] = { 0x48, 0x85, 0xff };
	const uint8_t *jump = entry + sizeof(test);
	const uint8_t *next;

	if (memcmp(entry, test, sizeof(test)))
		return entry;
	if (jump[0] == 0x74)
		next = jump + 2;
	else if (jump[0] == 0x0f && jump[1] == 0x84)
		next = jump + 6;
	else
		return entry;
	return is_push(next) ? next : jump;
}

int floor_discover(struct floor_places *places)
{
	const uint8_t *alloc = dlsym(RTLD_DEFAULT, "malloc");
	const uint8_t *release = dlsym(RTLD_DEFAULT, "free");
	struct floor_places found;

	if (!alloc || !release || place_of(alloc, &found.alloc) ||
		place_of(behind_null_test(release), &found.release))
		return bench_err(-ENOENT, "no malloc and free in this process");
	*places = found;
	return 0;
}

/* Does a function column like `free` or `free,cfree` name the function? */
static bool names_function(const char *column, const char *function)
{
	for (const char *name = column; *name; name += strspn(name, ",/|")) {
		size_t length = strcspn(name, ",/|");

		if (length == strlen(function) && !strncmp(name, function, length))
			return true;
		name += length;
	}
	return false;
}

/*
 * The place of one function; a line of the wanted module wins over an earlier one of another (ld.so
 * has a malloc too). Modules are told by their last name: /lib and /usr/lib are the same on most
 * systems.
 */
static int plan_find(
	const char *plan, const char *function, const char *module, struct floor_place *place)
{
	int rc = -ENOENT;

	for (const char *line = plan; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		cleanup_free char *text = strndup(line, strcspn(line, "\n"));
		const char *path = text ? strrchr(text, ' ') : NULL;
		char kind[16], offset[32], column[128], *end;
		uint64_t value;
		bool wanted;

		if (!path || path[1] != '/' ||
			sscanf(text, "%15s %31s %127s", kind, offset, column) != 3)
			continue;
		value = strtoull(offset, &end, 16);
		if ((strcmp(kind, "session") && strcmp(kind, "entry")) || *end ||
			!names_function(column, function))
			continue;
		wanted = !strcmp(strrchr(path, '/'), strrchr(module, '/'));
		if (rc || wanted) {
			snprintf(place->path, sizeof(place->path), "%s", path + 1);
			place->offset = value;
			rc = 0;
		}
		if (wanted)
			break;
	}
	return rc;
}

int floor_parse_plan(const char *plan, struct floor_places *places)
{
	struct floor_places found;

	if (plan_find(plan, "malloc", places->alloc.path, &found.alloc) ||
		plan_find(plan, "free", places->release.path, &found.release))
		return -ENOENT;
	*places = found;
	return 0;
}

/* ---- links ---- */

int floor_load(struct floor **floor)
{
	struct floor *skel = floor__open();
	int rc;

	if (!skel)
		return bench_err(-errno, "floors: open: %m");
	bpf_program__set_expected_attach_type(skel->progs.floor_session, ATTACH_UPROBE_SESSION);
	bpf_program__set_expected_attach_type(skel->progs.floor_entry, ATTACH_UPROBE_MULTI);
	rc = floor__load(skel);
	if (rc) {
		floor__destroy(skel);
		return bench_err(rc, "floors: load: %s", strerror(-rc));
	}
	*floor = skel;
	return 0;
}

void floor_unload(struct floor *floor)
{
	floor__destroy(floor);
}

static int link_create(
	const struct bpf_program *prog, int type, const struct floor_place *place, pid_t pid)
{
	struct link_create_attr attr = {
		.prog_fd = bpf_program__fd(prog),
		.attach_type = type,
		.path = (uintptr_t)place->path,
		.offsets = (uintptr_t)&place->offset,
		.cnt = 1,
		.pid = pid,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	if (fd < 0)
		return bench_err(
			-errno, "floors: probe at %s+0x%lx: %m", place->path, place->offset);
	return fd;
}

int floor_attach(struct floor *floor, enum floor_kind kind, const struct floor_places *places,
	pid_t pid, struct floor_links *links)
{
	bool session = kind == FLOOR_P;
	const struct bpf_program *alloc =
		session ? floor->progs.floor_session : floor->progs.floor_entry;
	struct floor_links made = FLOOR_LINKS_INIT;

	made.fds[0] = link_create(
		alloc, session ? ATTACH_UPROBE_SESSION : ATTACH_UPROBE_MULTI, &places->alloc, pid);
	if (made.fds[0] < 0)
		return made.fds[0];
	made.fds[1] =
		link_create(floor->progs.floor_entry, ATTACH_UPROBE_MULTI, &places->release, pid);
	if (made.fds[1] < 0) {
		close(made.fds[0]);
		return made.fds[1];
	}
	*links = made;
	return 0;
}

void floor_detach(struct floor_links *links)
{
	for (size_t i = 0; i < 2; i++) {
		if (links->fds[i] >= 0)
			close(links->fds[i]);
		links->fds[i] = -1;
	}
}
