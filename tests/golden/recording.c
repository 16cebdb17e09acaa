// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writes the recording that the golden files show, through the very code that records: three snapshots of a process,
 * with what names of the field look like, and what they should not.
 *
 *   recording FILE [OTHER]    OTHER: of another run on another host, with two processes of the same program
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/base/clock.h"
#include "../../user/store/writer.h"

#define MODULES (sizeof(modules) / sizeof(modules[0]))
#define BEGAN	(1767225600ULL * NS_PER_S) /* 2026-01-01 */

static const char *const modules[][3] = {
	{ "/usr/bin/server", "00112233445566778899aabbccddeeff00112233", NULL },
	{ "/usr/lib/x86_64-linux-gnu/libc.so.6", "d1704d25fbbb72fa95d517b883131828c0883fe9",
		"glibc" },
	{ "/usr/lib/lib with \"quotes\", commas.so", "", NULL },
};

struct place {
	uint32_t module;
	uint64_t address;
	struct named_level levels[3];
	uint32_t level_count;
};

enum { MAIN, START, PARSE, CACHE, STRDUP, NAMELESS, WEIRD, JIT, PLACES };
static const struct place places[PLACES] = {
	[MAIN] = { 0, 0x1234, { { "main", "/src/server/main.cc", 42 } }, 1 },
	[START] = { 1, 0x27249, { { "__libc_start_main", "../csu/libc-start.c", 360 } }, 1 },
	[PARSE] = { 0, 0x2000,
		{ { "Buffer::grow(unsigned long)", "/src/server/buffer.h", 17 },
			{ "Parser::push(char)", "/src/server/parser.cc", 88 },
			{ "Parser::parse(std::string const&)", "/src/server/parser.cc", 120 } },
		3 },
	[CACHE] = { 0, 0x3000,
		{ { "Cache<std::map<int, char>, 8>::put(int; char)", "/src/server/cache.cc", 7 } },
		1 },
	[STRDUP] = { 1, 0x8a1c5, { { "__strdup", "./string/strdup.c", 42 } }, 1 },
	[NAMELESS] = { 2, 0x77, { { NULL, NULL, 0 } }, 1 },
	[WEIRD] = { 2, 0x99, { { "na\xc3\xafve \"name\", with\nnewline \xff", "/src/ü.c", 1 } },
		1 },
	[JIT] = { UINT32_MAX, 0x7f0000001000, { { "LazyCompile:~render app.js:3", NULL, 0 } }, 1 },
};

static const uint8_t stacks[][6] = {
	{ PLACES }, { PARSE, MAIN, START, PLACES }, { CACHE, MAIN, START, PLACES },
	{ STRDUP, CACHE, MAIN, START, PLACES }, { NAMELESS, MAIN, START, PLACES },
	{ WEIRD, NAMELESS, MAIN, START, PLACES }, { JIT, MAIN, START, PLACES },
	{ STRDUP, PLACES }, /* truncated */
};
#define STACKS (sizeof(stacks) / sizeof(stacks[0]))

/* Of each stack at each snapshot: allocated, freed, size of a block. */
static const uint64_t figures[3][STACKS][3] = {
	{ { 0 } },
	{ { 3, 1, 10 }, { 1000, 990, 4096 }, { 50, 0, 1000 }, { 50, 10, 31 }, { 7, 0, 1 },
		{ 2, 0, 0 }, { 0 }, { 9, 9, 64 } },
	{ { 3, 1, 10 }, { 2000, 1500, 4096 }, { 90, 90, 1000 }, { 60, 40, 31 }, { 7, 0, 1 },
		{ 4, 0, 0 }, { 11, 0, 123 }, { 9, 9, 64 } },
};

static uint64_t frame_of(uint32_t place)
{
	const struct place *p = &places[place];

	return p->module == UINT32_MAX ? ht_frame_raw(0, p->address)
				       : ht_frame_native(HT_FRAME_CALL, p->module, p->address + 4);
}

static void make_profile(struct profile *p)
{
	bool bad = false;

	for (size_t m = 0; m < MODULES; m++)
		bad |= profile_add_module(p, modules[m][0], modules[m][1], modules[m][2]) != 0;
	for (size_t s = 0; s < STACKS; s++) {
		uint64_t frames[6];
		uint16_t n = 0;

		for (; stacks[s][n] != PLACES; n++)
			frames[n] = frame_of(stacks[s][n]);
		bad |= profile_add_stack(p, frames, n, s == STACKS - 1 ? HT_STACK_TRUNCATED : 0) !=
		       0;
	}
	if (bad)
		exit(1);
}

static void add_names(struct writer *w, uint32_t target)
{
	struct named_frame named[PLACES];
	struct named_level levels[3 * PLACES];
	uint32_t at = 0;

	for (uint32_t i = 0; i < PLACES; i++) {
		named[i] = (struct named_frame){ .frame = frame_of(i),
			.instruction = places[i].address,
			.function_offset = 0x10,
			.first_level = at,
			.level_count = places[i].level_count,
			.jit = i == JIT };
		for (uint32_t l = 0; l < places[i].level_count; l++)
			levels[at++] = places[i].levels[l];
	}
	if (writer_add_names(w, target, &(struct names){ named, PLACES, levels }))
		exit(1);
}

static void add_snapshot(struct writer *w, uint32_t target, int number, int factor)
{
	struct site_figures sites[STACKS];
	struct snapshot s = { .realtime_ns = BEGAN + (uint64_t)number * 10 * NS_PER_S,
		.min_age_s = 10,
		.rules.sample_bytes = 1,
		.sites = sites,
		.site_count = STACKS };
	struct moment m = {
		.kind = number == 0   ? SNAPSHOT_START
			: number == 1 ? SNAPSHOT_MARK
				      : SNAPSHOT_END,
		.label = number == 1 ? "warm" : NULL,
		.elapsed_ns = (uint64_t)number * 10 * NS_PER_S,
		.usage = { .rss = 8 << 20,
			.rss_anon = (5 + number) << 20,
			.rss_file = (3 - number) << 20,
			.rss_shmem = 0,
			.pss = number == 2 ? -1 : 7 << 20,
			.swap = 0,
			.cgroup_usage = 100 << 20,
			.cgroup_limit = number ? 512 << 20 : -1,
			.minor_faults = 1000,
			.major_faults = 1,
			.cpu_ms = 50 * number,
			.threads = 3,
			.mem_total = 16LL << 30,
			.mem_available = 8LL << 30,
			.host_cpu = number ? 0.5 : -1 },
	};
	struct totals *t = &s.totals;
	uint32_t id;

	for (size_t i = 0; i < STACKS; i++) {
		const uint64_t *f = figures[number][i];
		uint64_t live = f[0] - f[1], n = (uint64_t)factor;

		sites[i] = (struct site_figures){ .stack = (uint32_t)i,
			.thread = i % 2 ? 100 : 0,
			.alloc_count = n * f[0],
			.alloc_bytes = n * f[0] * f[2],
			.free_count = n * f[1],
			.free_bytes = n * f[1] * f[2],
			.live_count = n * live,
			.live_bytes = n * live * f[2],
			.aged_count = live / 2,
			.aged_bytes = live / 2 * f[2],
			.temporary_count = f[1] / 3,
			.temporary_bytes = f[1] / 3 * f[2],
			.failed_count = i == 1 ? 2 : 0,
			.oldest_s = live ? 5.5 : 0 };
		t->alloc_count += sites[i].alloc_count;
		t->alloc_bytes += sites[i].alloc_bytes;
		t->free_count += sites[i].free_count;
		t->free_bytes += sites[i].free_bytes;
		t->live_count += sites[i].live_count;
		t->live_bytes += sites[i].live_bytes;
		t->aged_count += sites[i].aged_count;
		t->aged_bytes += sites[i].aged_bytes;
		t->failed_count += sites[i].failed_count;
	}
	t->truncated_count = sites[STACKS - 1].alloc_count;
	t->peak_live_bytes = number < 2 ? t->live_bytes : t->live_bytes + 1000;
	t->untracked_frees = 12;
	s.events = t->alloc_count + t->free_count;
	s.unattributed[0] = number ? 3 : 0;
	if (writer_add_snapshot(w, target, &s, &m, &id))
		exit(1);
}

static struct writer *create(const char *path)
{
	struct writer_options options = { WRITER_FULL_NS, WRITER_THIN_NS };
	struct writer *w = NULL;

	if (writer_create(&w, path, &options) || writer_set_meta(w, "host", "golden"))
		exit(1);
	return w;
}

static uint32_t add_process(struct writer *w, const struct profile *profile, pid_t pid)
{
	struct process process = { .pid = pid,
		.comm = "server",
		.exe = "/usr/bin/server",
		.cgroup = "/system.slice/server.service",
		.start_realtime_ns = BEGAN - 3600 * NS_PER_S };
	struct target_facts facts = { 0, &process, BEGAN, "exact", "asked for", "session", NULL };
	uint32_t target;

	if (writer_add_scope(w, &facts.scope) || writer_add_target(w, &facts, &target) ||
		writer_add_profile(w, facts.scope, profile))
		exit(1);
	add_names(w, facts.scope);
	for (uint32_t m = 0; m < MODULES; m++)
		if (writer_add_mapping(w, target, m))
			exit(1);
	return target;
}

/* Of one process, or of two that are twice and thrice as large. */
static void write_recording(const char *path, pid_t pid, bool two)
{
	struct writer *w = create(path);
	struct profile profile = { 0 };
	uint32_t targets[2];

	make_profile(&profile);
	targets[0] = add_process(w, &profile, pid);
	if (two)
		targets[1] = add_process(w, &profile, pid + 1);
	for (int i = 0; i < 3; i++) {
		add_snapshot(w, targets[0], i, two ? 2 : 1);
		if (two)
			add_snapshot(w, targets[1], i, 3);
	}
	if (writer_end_target(w, targets[0], "signal", BEGAN + 21 * NS_PER_S) ||
		(two && writer_end_target(w, targets[1], "signal", BEGAN + 21 * NS_PER_S)) ||
		writer_close(w))
		exit(1);
	profile_release(&profile);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	write_recording(argv[1], 4711, false);
	if (argc > 2)
		write_recording(argv[2], 815, true);
	return 0;
}
