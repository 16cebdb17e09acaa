// SPDX-License-Identifier: GPL-2.0-or-later
#include "growth.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/err.h"
#include "../target/maps.h"

#define MAPS_LIMIT (64U << 20)
#define READ_TRIES 5

/* Those that are always needed come first. */
static const char *const programs[GROWTH_LINKS] = { "rss_stat", "forked", "syscall_done" };
#define COUNTING 2

static struct bpf_program *program(const struct kernel *kernel, const char *name)
{
	return bpf_object__find_program_by_name(kernel->object, name);
}

/* --- load ------------------------------------------------------------------------------------ */

int growth_configure(struct growth *g, struct kernel *kernel)
{
	int cpus = libbpf_num_possible_cpus(), error;

	if (cpus < 0)
		return cpus;
	g->cpus = (uint32_t)cpus;
	kernel->knobs->cpu_count = (uint16_t)cpus;
	kernel->knobs->page_shift = (uint16_t)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
	error = bpf_map__set_max_entries(kernel->maps.growth, TABLES_MAX_PROCESSES);
	if (!error)
		error = bpf_map__set_max_entries(
			kernel->maps.growth_cpus, TABLES_MAX_PROCESSES * g->cpus);
	if (!error)
		error = bpf_map__set_max_entries(kernel->maps.growth_counters,
			TABLES_MAX_PROCESSES * kernel->knobs->shard_count);
	if (!error)
		error = bpf_map__set_max_entries(kernel->maps.traced_mms, HT_MM_PLACES);
	return error;
}

static void *map_array(struct growth *g, int at, const struct bpf_map *map)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = (size_t)bpf_map__value_size(map) * bpf_map__max_entries(map);
	void *mapped;

	bytes = (bytes + page - 1) & ~(page - 1);
	mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	if (mapped == MAP_FAILED)
		return NULL;
	g->mappings[at] = (struct mapping){ mapped, bytes };
	return mapped;
}

/* --- mappings -------------------------------------------------------------------------------- */

static struct mapped *mapped_of(struct growth *g, uint32_t site)
{
	struct mapped *all;

	if (site < g->mapped_count)
		return &g->mapped[site];
	all = realloc(g->mapped, (site + 1024UL) * sizeof(*all));
	if (!all)
		return NULL;
	memset(all + g->mapped_count, 0, (site + 1024UL - g->mapped_count) * sizeof(*all));
	g->mapped = all;
	g->mapped_count = site + 1024;
	return &g->mapped[site];
}

static void unmapped(void *context, uint32_t site, uint64_t bytes)
{
	struct growth *g = context;
	struct mapped *m = mapped_of(g, site);

	g->unmapped += bytes;
	if (m)
		m->unmapped += bytes;
}

static void discarded(void *context, uint32_t site, uint64_t bytes)
{
	struct growth *g = context;
	struct mapped *m = mapped_of(g, site);

	g->discarded += bytes;
	if (m)
		m->discarded += bytes;
}

static uint64_t whole_pages(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) & ~(page - 1);
}

static void count_call(struct growth *g, uint32_t site, uint64_t bytes)
{
	struct mapped *m = mapped_of(g, site);

	if (!m)
		return;
	m->calls++;
	m->bytes += bytes;
}

static int map(struct growth *g, uint64_t start, uint64_t bytes, uint32_t site)
{
	count_call(g, site, bytes);
	return intervals_map(&g->intervals, start, bytes, site, unmapped, g);
}

/* Only what is new behind the old bytes is the caller's. */
static int move(struct growth *g, const struct ht_mapping *m)
{
	uint64_t old = whole_pages(m->old_bytes), bytes = whole_pages(m->bytes);

	count_call(g, m->site, bytes > old ? bytes - old : 0);
	return intervals_move(
		&g->intervals, m->old_address, old, m->address, bytes, m->site, unmapped, g);
}

/* The program's own heap: brk says only where it ends now. */
static int move_brk(struct growth *g, uint64_t end, uint32_t site)
{
	uint64_t old = g->brk;

	end = whole_pages(end);
	g->brk = end;
	if (!old || end == old)
		return 0;
	return end > old ? map(g, old, end - old, site)
			 : intervals_unmap(&g->intervals, end, old - end, unmapped, g);
}

static int on_mapping(void *context, void *data, size_t size)
{
	struct growth *g = context;
	const struct ht_mapping *m = data;
	uint64_t bytes;

	if (size < sizeof(*m))
		return 0;
	bytes = whole_pages(m->bytes);
	switch (m->call) {
	case HT_MAPPING_MMAP:
		return map(g, m->address, bytes, m->site);
	case HT_MAPPING_MUNMAP:
		return intervals_unmap(&g->intervals, m->address, bytes, unmapped, g);
	case HT_MAPPING_MREMAP:
		return move(g, m);
	case HT_MAPPING_BRK:
		return move_brk(g, m->address, m->site);
	case HT_MAPPING_MADVISE:
		intervals_visit(&g->intervals, m->address, bytes, discarded, g);
		return 0;
	default:
		return 0;
	}
}

/* What was mapped before the attach is of the site without a stack, which has its slot's number. */
static int read_mappings(struct growth *g, const struct process *p, uint32_t slot)
{
	struct buffer text CLEANUP_BUFFER = { 0 }, maps CLEANUP_BUFFER = { 0 };
	const struct map_entry *entries;
	char path[64];
	int error;

	snprintf(path, sizeof(path), "/proc/%d/maps", process_live_thread(p));
	error = buffer_read_file(&text, path, MAPS_LIMIT);
	if (!error)
		error = maps_parse((const char *)text.data, text.length, &maps);
	entries = (const void *)maps.data;
	g->brk = whole_pages(process_heap_start(p)); /* unless there is a heap already */
	for (size_t i = 0; !error && i < maps.length / sizeof(*entries); i++) {
		const struct map_entry *m = &entries[i];

		error = intervals_map(
			&g->intervals, m->start, m->end - m->start, slot, unmapped, g);
		if (m->path_length == strlen("[heap]") &&
			!memcmp(text.data + m->path, "[heap]", m->path_length))
			g->brk = m->end;
	}
	return error;
}

void growth_follow(struct growth *g)
{
	if (g->ring)
		ring_buffer__consume(g->ring);
}

void growth_mapped(const struct growth *g, uint64_t *bytes, uint32_t count)
{
	for (size_t i = 0; i < g->intervals.count; i++) {
		const struct interval *v = &g->intervals.all[i];

		if (v->site < count)
			bytes[v->site] += v->end - v->start;
	}
}

/* --- attach, begin --------------------------------------------------------------------------- */

int growth_map(struct growth *g, struct kernel *kernel)
{
	g->records = map_array(g, 0, kernel->maps.growth);
	g->counters = map_array(g, 1, kernel->maps.growth_counters);
	if (!g->records || !g->counters)
		return err(-errno, "cannot map the kernel's tables: %s", strerror(errno));
	g->ring = ring_buffer__new(bpf_map__fd(kernel->maps.mappings), on_mapping, g, NULL);
	return g->ring ? 0 : err(-errno, "cannot read the kernel's messages: %s", strerror(errno));
}

int growth_attach(struct growth *g, const struct kernel *kernel, bool mappings)
{
	for (uint32_t i = 0; i < (mappings ? GROWTH_LINKS : COUNTING); i++) {
		struct bpf_program *p = program(kernel, programs[i]);
		struct bpf_link *link = p ? bpf_program__attach(p) : NULL;
		int error = -errno;

		if (!link)
			return err(error, "the kernel refuses to tell of %s: %s",
				i < COUNTING ? "pages" : "system calls", strerror(-error));
		g->links[g->link_count++] = link;
	}
	g->follows_mappings = mappings;
	return 0;
}

/* Runs the program `look` over the threads of the process: the count as it is. 0 or -errno. */
static int look(
	struct growth *g, const struct kernel *kernel, const struct process *p, uint32_t slot)
{
	union bpf_iter_link_info information = { .task.pid = (uint32_t)p->pid };
	LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &information,
		.link_info_len = sizeof(information));
	struct bpf_link *link = bpf_program__attach_iter(program(kernel, "look"), &options);
	char nothing[64];
	int fd, error = 0;

	if (!link)
		return -errno;
	__atomic_store_n(&g->records[slot].wanted, 1, __ATOMIC_RELEASE);
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0)
		error = -errno;
	while (fd >= 0 && read(fd, nothing, sizeof(nothing)) > 0)
		;
	if (fd >= 0)
		close(fd);
	bpf_link__destroy(link);
	if (!error && __atomic_load_n(&g->records[slot].wanted, __ATOMIC_ACQUIRE))
		error = -ESRCH;
	return error;
}

int growth_begin(
	struct growth *g, const struct kernel *kernel, const struct process *p, uint32_t slot)
{
	int error = read_mappings(g, p, slot);

	if (error)
		debug("the mappings of pid %d are not known: %s", p->pid, strerror(-error));
	error = look(g, kernel, p, slot);
	if (!error && !g->records[slot].mm)
		error = -ESRCH;
	if (error == -ESRCH)
		return err(error, "pid %d (%s) exited before tracing began", p->pid, p->comm);
	return error ? err(error, "cannot look at the memory of pid %d: %s", p->pid,
			       strerror(-error))
		     : 0;
}

/* --- read ------------------------------------------------------------------------------------ */

static uint64_t load(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

uint64_t growth_events(const struct growth *g, const struct tables *t, uint32_t slot)
{
	uint64_t events = 0;

	for (uint32_t i = 0; i < t->shards; i++)
		events += load(&g->counters[slot * t->shards + i].events);
	return events;
}

uint64_t growth_missed(const struct growth *g, const struct kernel *kernel)
{
	uint64_t missed = 0;

	for (uint32_t i = 0; i < GROWTH_LINKS; i++)
		missed += kernel_missed_runs_of(program(kernel, programs[i]));
	(void)g;
	return missed;
}

static void read_counters(
	const struct growth *g, const struct tables *t, uint32_t slot, struct growth_figures *f)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	*f = (struct growth_figures){ .counted = true,
		.start_bytes = g->records[slot].start[HT_COUNT_ANON] * (int64_t)page,
		.swap_start_bytes = g->records[slot].start[HT_COUNT_SWAP] * (int64_t)page,
		.end_bytes = -1,
		.huge_bytes = -1,
		.swap_end_bytes = -1 };
	for (uint32_t shard = 0; shard < t->shards; shard++) {
		const struct ht_growth_counters *c = &g->counters[slot * t->shards + shard];

		for (int i = 0; i < HT_GROWTH_CAUSE_COUNT; i++) {
			f->grown[i] += load(&c->grown[i]);
			f->shrunk[i] += load(&c->shrunk[i]);
		}
		f->swapped_out += load(&c->swapped_out);
		f->swapped_in += load(&c->swapped_in);
		f->swap_dropped += load(&c->swap_dropped);
		f->fork_copied += load(&c->fork_copied);
		f->mapping_drops += load(&c->mapping_drops);
	}
}

/*
 * The sum on both sides of a look at /proc: a process that grows meanwhile makes them differ, and a quiet moment
 * is waited for a little.
 */
static void read_now(const struct growth *g, const struct tables *t, const struct process *p,
	uint32_t slot, struct growth_figures *f)
{
	for (int i = 0; i < READ_TRIES; i++) {
		struct growth_figures before;
		struct process_memory memory;
		int64_t skew;

		read_counters(g, t, slot, &before);
		process_read_memory(p, false, &memory);
		read_counters(g, t, slot, f);
		skew = growth_sum(f) - growth_sum(&before);
		f->skew_bytes = (uint64_t)(skew < 0 ? -skew : skew);
		if (__atomic_load_n(&g->records[slot].ended, __ATOMIC_RELAXED))
			break; /* by exec: what /proc shows is another memory */
		f->end_bytes = memory.rss_anon;
		f->swap_end_bytes = memory.swap;
		if (!skew)
			break;
	}
}

void growth_end(struct growth *g, const struct tables *t, const struct process *p, uint32_t slot)
{
	read_now(g, t, p, slot, &g->ended);
}

void growth_read(struct growth *g, const struct tables *t, const struct process *p, uint32_t slot,
	struct growth_figures *figures)
{
	if (g->ended.counted)
		*figures = g->ended;
	else
		read_now(g, t, p, slot, figures);
	figures->mappings = g->follows_mappings;
	figures->unmapped_bytes = g->unmapped;
	figures->discarded_bytes = g->discarded;
	for (size_t i = 0; i < g->intervals.count; i++)
		figures->mapped_bytes += g->intervals.all[i].end - g->intervals.all[i].start;
}

/* --- detach, close --------------------------------------------------------------------------- */

void growth_detach(struct growth *g)
{
	for (uint32_t i = 0; i < g->link_count; i++)
		bpf_link__destroy(g->links[i]);
	g->link_count = 0;
	growth_follow(g);
}

void growth_release(struct growth *g)
{
	growth_detach(g);
	for (size_t i = 0; i < ARRAY_SIZE(g->mappings); i++)
		if (g->mappings[i].at)
			munmap(g->mappings[i].at, g->mappings[i].bytes);
	ring_buffer__free(g->ring);
	intervals_release(&g->intervals);
	free(g->mapped);
	*g = (struct growth){ 0 };
}
