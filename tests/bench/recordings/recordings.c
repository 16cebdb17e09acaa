// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What recordings cost, by the very code that writes and reads them: a simulated program with many stacks, of which
 * a part allocates and frees between two snapshots. Prints figures and judges nothing.
 *
 *   recordings FILE STACKS CHANGING SNAPSHOTS EVERY_S [--raw]    writes one, then reads it
 *   recordings FILE                                              reads one
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../../user/base/clock.h"
#include "../../../user/store/reader.h"
#include "../../../user/store/writer.h"

#define MODULES	     20
#define FRAMES	     20000
#define STACK_FRAMES 20

struct program {
	uint32_t stacks, changing;
	struct profile profile;
	struct snapshot snapshot;
	uint32_t next;
	uint64_t seed;
	double *born_s; /* by stack: its oldest block, since the start */
};

static void fail(const char *what)
{
	fprintf(stderr, "recordings: %s\n", what);
	exit(1);
}

static uint64_t random_of(struct program *p, uint64_t below)
{
	p->seed ^= p->seed << 13;
	p->seed ^= p->seed >> 7;
	p->seed ^= p->seed << 17;
	return p->seed % below;
}

static void make_program(struct program *p)
{
	uint64_t frames[STACK_FRAMES];
	char path[64], build_id[48];
	bool bad = false;

	for (int m = 0; m < MODULES; m++) {
		snprintf(path, sizeof(path), "/usr/lib/x86_64-linux-gnu/libmodule%d.so", m);
		snprintf(build_id, sizeof(build_id), "%040d", m);
		bad |= profile_add_module(&p->profile, path, build_id, m ? NULL : "glibc") != 0;
	}
	bad |= profile_add_stack(&p->profile, NULL, 0, 0) != 0;
	for (uint32_t s = 0; s < p->stacks; s++) {
		for (int f = 0; f < STACK_FRAMES; f++) {
			uint64_t place = random_of(p, FRAMES);

			frames[f] = ht_frame_native(
				HT_FRAME_CALL, (uint32_t)(place % MODULES), 0x1000 + 16 * place);
		}
		bad |= profile_add_stack(&p->profile, frames, STACK_FRAMES, 0) != 0;
	}
	p->snapshot.sites = calloc(p->stacks, sizeof(*p->snapshot.sites));
	p->snapshot.site_count = p->stacks;
	p->born_s = calloc(p->stacks, sizeof(*p->born_s));
	if (bad || !p->snapshot.sites || !p->born_s)
		fail("no memory");
	for (uint32_t s = 0; s < p->stacks; s++)
		p->snapshot.sites[s].stack = s + 1;
}

/* Names as they come beside the tracing. */
static void name_frames(struct program *p, struct writer *w)
{
	struct named_frame *frames = calloc(p->profile.frame_count, sizeof(*frames));
	struct named_level *levels = calloc(p->profile.frame_count, sizeof(*levels));
	struct names names = { frames, p->profile.frame_count, levels };

	for (uint32_t i = 0; frames && levels && i < p->profile.frame_count; i++) {
		char function[64], file[64];
		uint64_t place = (ht_frame_offset(p->profile.frames[i]) - 0x1000) / 16;

		snprintf(function, sizeof(function), "namespace::function_%llu(int, char const*)",
			(unsigned long long)place);
		snprintf(file, sizeof(file), "/usr/src/program/source_%llu.cc",
			(unsigned long long)place / 50);
		levels[i] = (struct named_level){ strdup(function), strdup(file), 10 };
		frames[i] = (struct named_frame){ .frame = p->profile.frames[i],
			.instruction = ht_frame_offset(p->profile.frames[i]) - 4,
			.first_level = i,
			.level_count = 1 };
	}
	if (!frames || !levels || writer_add_names(w, 0, &names))
		fail("no memory");
	for (uint32_t i = 0; i < p->profile.frame_count; i++) {
		free((char *)(uintptr_t)levels[i].function);
		free((char *)(uintptr_t)levels[i].file);
	}
	free(frames);
	free(levels);
}

/* From a busy server's: some hundred allocations an interval, a third of them temporary; few stacks leak. */
static void work(struct program *p, uint32_t number, uint64_t every_ns)
{
	struct totals *t = &p->snapshot.totals;
	double now_s = (double)number * (double)every_ns / NS_PER_S;

	for (uint32_t i = 0; i < p->changing; i++) {
		struct site_figures *f = &p->snapshot.sites[p->next];
		uint64_t size = 16 + p->next % 40 * 24, n = 1 + random_of(p, 2000),
			 freed = p->next % 50 ? n - n / 50 + random_of(p, n / 25 + 1) : n / 2;

		if (freed > f->live_count + n)
			freed = f->live_count + n;
		f->alloc_count += n;
		f->alloc_bytes += n * size;
		f->free_count += freed;
		f->free_bytes += freed * size;
		f->live_count += n - freed;
		f->live_bytes += (n - freed) * size;
		f->aged_count = f->live_count / 2;
		f->aged_bytes = f->live_bytes / 2;
		f->temporary_count += n / 3;
		f->temporary_bytes += n / 3 * size;
		if (p->next % 50)
			p->born_s[p->next] = now_s - (double)random_of(p, 30);
		p->next = (p->next + 1) % p->stacks;
		t->alloc_count += n;
		t->alloc_bytes += n * size;
		t->free_count += freed;
		t->free_bytes += freed * size;
		t->live_count += n - freed;
		t->live_bytes += (n - freed) * size;
	}
	for (uint32_t s = 0; s < p->stacks; s++)
		p->snapshot.sites[s].oldest_s = now_s - p->born_s[s];
	if (t->live_bytes > t->peak_live_bytes)
		t->peak_live_bytes = t->live_bytes;
}

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now_s(void)
{
	return (double)clock_monotonic_ns() / NS_PER_S;
}

/* Bytes given to write(), whether or not they have reached a disk yet. */
static double written_mb(void)
{
	FILE *f = fopen("/proc/self/io", "r");
	char line[128];
	double bytes = 0;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "wchar: ", 7))
			bytes = strtod(line + 7, NULL);
	if (f)
		fclose(f);
	return bytes / 1e6;
}

static double file_mb(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : (double)st.st_size / 1e6;
}

static void write_recording(
	const char *path, struct program *p, uint32_t snapshots, uint64_t every_ns, bool raw)
{
	struct writer_options options = { raw ? UINT64_MAX : WRITER_FULL_NS, WRITER_THIN_NS };
	struct process process = { .pid = 1, .comm = "simulated", .exe = "", .cgroup = "" };
	uint64_t began = 1750000000ULL * NS_PER_S;
	struct target_facts facts = {
		.process = &process, .armed_realtime_ns = began, .mode = "exact"
	};
	struct writer *w;
	uint32_t target, id;
	double cpu, simulation = 0;

	make_program(p);
	if (writer_create(&w, path, &options) || writer_add_scope(w, &facts.scope) ||
		writer_add_target(w, &facts, &target) || writer_add_profile(w, target, &p->profile))
		exit(1);
	name_frames(p, w);
	cpu = cpu_s();
	for (uint32_t i = 0; i < snapshots; i++) {
		struct moment moment = { .kind = i ? SNAPSHOT_INTERVAL : SNAPSHOT_START,
			.elapsed_ns = i * every_ns };
		double before = cpu_s();

		if (i)
			work(p, i, every_ns);
		simulation += cpu_s() - before;
		p->snapshot.realtime_ns = began + i * every_ns;
		if (writer_add_snapshot(w, target, &p->snapshot, &moment, &id))
			exit(1);
	}
	cpu = cpu_s() - cpu - simulation;
	if (writer_end_target(w, target, "signal", began + snapshots * every_ns) || writer_close(w))
		exit(1);
	printf("wrote %u snapshots, %u of %u stacks changing, every %.0f s%s: %.0f MB, %.0f MB "
	       "written\n",
		snapshots, p->changing, p->stacks, (double)every_ns / NS_PER_S,
		raw ? ", all kept" : "", file_mb(path), written_mb());
	printf("cpu %.1f s: %.2f us a changed stack, %.2f %% of a core at 1,000 a second\n", cpu,
		cpu / snapshots / p->changing * 1e6, cpu / snapshots / p->changing * 1e5);
}

/* --- reading ------------------------------------------------------------------------------------- */

static void line(const char *what, double began, const struct recording *r)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("%-28s %7.3f s, at most %ld MB of memory so far, %u snapshots\n", what,
		now_s() - began, usage.ru_maxrss >> 10, recording_snapshot_count(r));
}

static void read_recording(const char *path)
{
	struct recording *r;
	struct snapshot a = { 0 }, b = { 0 };
	uint32_t count;
	double began = now_s();

	if (recording_open(&r, path))
		exit(1);
	count = recording_snapshot_count(r);
	line("open, all totals (timeline)", began, r);
	if (!count)
		return;
	if (recording_read_sites(r, recording_snapshot(r, count - 1), &a))
		exit(1);
	line("newest, figures", began, r);
	if (recording_read_stacks(r, NULL, 0))
		exit(1);
	line("newest, with all names", began, r);
	if (recording_read_sites(r, recording_snapshot(r, count / 2), &b))
		exit(1);
	line("and another, for a diff", began, r);
	printf("%u and %u sites, live %llu and %llu bytes\n", a.site_count, b.site_count,
		(unsigned long long)a.totals.live_bytes, (unsigned long long)b.totals.live_bytes);
	snapshot_release(&a);
	snapshot_release(&b);
	recording_close(r);
}

int main(int argc, char **argv)
{
	struct program p = { .seed = 88172645463325252ULL };

	if (argc == 2) {
		read_recording(argv[1]);
		return 0;
	}
	if (argc < 6)
		fail("usage: recordings FILE [STACKS CHANGING SNAPSHOTS EVERY_S [--raw]]");
	p.stacks = (uint32_t)strtoul(argv[2], NULL, 10);
	p.changing = (uint32_t)strtoul(argv[3], NULL, 10);
	write_recording(argv[1], &p, (uint32_t)strtoul(argv[4], NULL, 10),
		strtoul(argv[5], NULL, 10) * NS_PER_S, argc > 6);
	profile_release(&p.profile);
	snapshot_release(&p.snapshot);
	return 0;
}
