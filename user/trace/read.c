// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading the tables into a snapshot. Programs may run meanwhile: counters are read before the live
 * table is scanned, and events counted on both sides of it, so that the report can say how much the
 * two may differ.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "../../include/sampling.h"
#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/err.h"
#include "session_internal.h"

static uint64_t load(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* The stacks that the profile does not have yet. */
static int read_stacks(struct session *s)
{
	uint32_t used = __atomic_load_n(&s->tables.control->next_stack, __ATOMIC_ACQUIRE);
	uint32_t most = bpf_map__max_entries(s->kernel.maps.stacks);
	uint32_t chunks = bpf_map__max_entries(s->kernel.maps.chunks);

	if (used > most)
		used = most;
	for (uint32_t id = s->profile.stack_count; id < used; id++) {
		const struct ht_stack *stack = &s->tables.stacks[id];
		uint16_t n = stack->native_frames;
		uint64_t frames[HT_MAX_FRAMES + 1] = { 0 };

		/* An id is given before its record is written: the next reading has it. */
		if (id && !__atomic_load_n(&stack->hash, __ATOMIC_ACQUIRE) && s->armed)
			break;
		for (uint16_t i = 0; i < n && i < HT_MAX_FRAMES; i++) {
			uint32_t chunk = stack->first_chunk + i / HT_CHUNK_FRAMES;

			if (chunk < chunks)
				frames[i] = s->tables.chunks[chunk].frames[i % HT_CHUNK_FRAMES];
		}
		if (profile_add_stack(&s->profile, frames, n, stack->flags))
			return -ENOMEM;
	}
	return 0;
}

/* Weights and sizes add up in fixed point, and are rounded once. */
static uint64_t whole(uint64_t excess, int bits)
{
	return (excess + (1ULL << (bits - 1))) >> bits;
}

/* What was sampled stands for more than itself: makes estimates of counts, and says how good they are. */
static void add_excess(
	const struct session *s, uint32_t id, struct site_figures *f, struct site_estimates *e)
{
	struct ht_site_counters sum = { 0 };

	e->samples.alloc_count = f->alloc_count;
	e->samples.alloc_bytes = f->alloc_bytes;
	e->samples.free_count = f->free_count;
	e->samples.free_bytes = f->free_bytes;
	for (uint32_t shard = 0; shard < s->tables.shards; shard++) {
		const struct ht_site_counters *c =
			&s->tables.site_counters[id * s->tables.shards + shard];

		sum.free_excess_count += load(&c->free_excess_count);
		sum.free_excess_bytes += load(&c->free_excess_bytes);
		sum.alloc_excess_count += load(&c->alloc_excess_count);
		sum.alloc_excess_bytes += load(&c->alloc_excess_bytes);
		sum.free_variance_count += load(&c->free_variance_count);
		sum.free_variance_bytes += load(&c->free_variance_bytes);
		sum.alloc_variance_count += load(&c->alloc_variance_count);
		sum.alloc_variance_bytes += load(&c->alloc_variance_bytes);
	}
	f->alloc_count += whole(sum.alloc_excess_count, 16);
	f->alloc_bytes += whole(sum.alloc_excess_bytes, 8);
	f->free_count += whole(sum.free_excess_count, 16);
	f->free_bytes += whole(sum.free_excess_bytes, 8);
	e->variance.alloc_count = (double)sum.alloc_variance_count;
	e->variance.alloc_bytes = (double)sum.alloc_variance_bytes * (1 << HT_VARIANCE_BYTES_SHIFT);
	e->variance.free_count = (double)sum.free_variance_count;
	e->variance.free_bytes = (double)sum.free_variance_bytes * (1 << HT_VARIANCE_BYTES_SHIFT);
}

/* Of a hundred thousand sites each cache line counts: all that exact mode has is in the first of a row. */
static void read_site(const struct session *s, uint32_t id, struct site_figures *f)
{
	const struct ht_site *site = &s->tables.sites[id];
	const struct ht_site_counters *c = &s->tables.site_counters[id * s->tables.shards];

	/* A site whose stack's record is still being written shows without frames this once. */
	*f = (struct site_figures){ .stack = site->stack < s->profile.stack_count ? site->stack : 0,
		.domain = site->domain,
		.thread = site->thread };
	for (uint32_t shard = 0; shard < s->tables.shards; shard++, c++) {
		/*
		 * Frees first: a block freed between two reads must not make a negative live count.
		 */
		f->free_count += load(&c->free_count);
		f->free_bytes += load(&c->free_bytes);
		f->alloc_count += load(&c->alloc_count);
		f->alloc_bytes += load(&c->alloc_bytes);
		f->failed_count += load(&c->failed_count);
		f->temporary_count += load(&c->temporary_count);
		f->temporary_bytes += load(&c->temporary_bytes);
	}
}

static void add_samples(struct totals *t, const struct site_estimates *e)
{
	t->samples.alloc_count += e->samples.alloc_count;
	t->samples.alloc_bytes += e->samples.alloc_bytes;
	t->samples.free_count += e->samples.free_count;
	t->samples.free_bytes += e->samples.free_bytes;
	t->variance.alloc_count += e->variance.alloc_count;
	t->variance.alloc_bytes += e->variance.alloc_bytes;
	t->variance.free_count += e->variance.free_count;
	t->variance.free_bytes += e->variance.free_bytes;
}

/* All that the counters of sites tell, in one pass over them: figures, totals, how many calls have ended. */
static void read_sites(const struct session *s, struct snapshot *snap, uint64_t *ended)
{
	const struct profile_stack *stacks = s->profile.stacks;
	struct totals *t = &snap->totals;

	for (uint32_t id = 0; id < snap->site_count; id++) {
		struct site_figures *f = &snap->sites[id];

		read_site(s, id, f);
		snap->frames_walked += f->alloc_count * stacks[f->stack].frame_count;
		*ended += f->alloc_count + f->failed_count;
		snap->events += f->alloc_count + f->free_count + f->failed_count;
		if (snap->estimates) {
			add_excess(s, id, f, &snap->estimates[id]);
			add_samples(t, &snap->estimates[id]);
		}
		t->alloc_count += f->alloc_count;
		t->alloc_bytes += f->alloc_bytes;
		t->free_count += f->free_count;
		t->free_bytes += f->free_bytes;
		t->failed_count += f->failed_count;
		if (stacks[f->stack].flags & HT_STACK_TRUNCATED)
			t->truncated_count += f->alloc_count;
	}
}

static void read_counters(const struct session *s, struct snapshot *snap)
{
	struct totals *t = &snap->totals;
	uint64_t excess_count = 0, excess_bytes = 0;

	for (uint32_t shard = 0; shard < s->tables.shards; shard++) {
		const struct ht_process_counters *c =
			&s->tables.process_counters[s->slot * s->tables.shards + shard];

		t->untracked_frees += load(&c->untracked_frees) + load(&c->untracked_inherited);
		excess_count += load(&c->lost_excess_count);
		excess_bytes += load(&c->lost_excess_bytes);
		for (int i = 0; i < HT_LOST_REASONS; i++) {
			snap->lost[i] += load(&c->lost_count[i]);
			t->lost_count += load(&c->lost_count[i]);
			t->lost_bytes += load(&c->lost_bytes[i]);
		}
		for (int i = 0; i < HT_UNATTRIBUTED_REASONS; i++)
			snap->unattributed[i] += load(&c->unattributed[i]);
		for (int i = 0; i < HT_UNWIND_REASONS; i++)
			snap->unwind[i] += load(&c->unwind[i]);
	}
	t->samples.lost_count = t->lost_count;
	t->samples.lost_bytes = t->lost_bytes;
	t->lost_count += whole(excess_count, 16);
	t->lost_bytes += whole(excess_bytes, 8);
	t->peak_live_bytes = load(&s->tables.processes[s->slot].peak_live_bytes);
}

/* Runs of our programs so far: at least as many as events. */
static uint64_t count_runs(const struct session *s)
{
	uint64_t runs = 0;

	for (uint32_t i = 0; i < HT_THREAD_SLOTS; i++)
		runs += __atomic_load_n(&s->tables.threads[i].turns, __ATOMIC_RELAXED);
	for (uint32_t shard = 0; shard < s->tables.shards; shard++)
		runs += load(
			&s->tables.process_counters[s->slot * s->tables.shards + shard].started);
	return runs;
}

/* Of a site's live blocks: struct ht_weight, added up. */
struct live_excess {
	struct ht_weight live, aged;
};

struct scan {
	const struct session *session;
	struct snapshot *snapshot;
	struct live_excess *excess; /* by site; NULL: nothing was sampled */
	uint32_t site_count;
	uint32_t now; /* birth units */
	double min_age_s;
};

/* w (w-1), the share of a sampled block in the variance of a sum: include/sampling.h. */
static double share(double size, double excess)
{
	return (size + excess) * excess;
}

static void scan_excess(struct scan *scan, const struct ht_block *block, bool aged)
{
	struct variances *v = &scan->snapshot->estimates[block->site].variance;
	struct live_excess *e = &scan->excess[block->site];
	struct ht_weight w;
	double count, bytes;

	ht_weigh(block->size, block->interval, &w);
	count = share(1, (double)w.count / (1 << 16));
	bytes = share((double)block->size, (double)w.bytes / (1 << 8));
	e->live.count += w.count;
	e->live.bytes += w.bytes;
	v->live_count += count;
	v->live_bytes += bytes;
	if (!aged)
		return;
	e->aged.count += w.count;
	e->aged.bytes += w.bytes;
	v->aged_count += count;
	v->aged_bytes += bytes;
}

/* Once the scan is over: what the live blocks stand for, and totals. */
static void add_live(struct scan *scan)
{
	struct totals *t = &scan->snapshot->totals;

	for (uint32_t i = 0; i < scan->site_count; i++) {
		struct site_figures *f = &scan->snapshot->sites[i];

		if (scan->excess) {
			struct site_estimates *e = &scan->snapshot->estimates[i];

			e->samples.live_count = f->live_count;
			e->samples.live_bytes = f->live_bytes;
			f->live_count += whole(scan->excess[i].live.count, 16);
			f->live_bytes += whole(scan->excess[i].live.bytes, 8);
			f->aged_count += whole(scan->excess[i].aged.count, 16);
			f->aged_bytes += whole(scan->excess[i].aged.bytes, 8);
			t->samples.live_count += e->samples.live_count;
			t->samples.live_bytes += e->samples.live_bytes;
			t->variance.live_count += e->variance.live_count;
			t->variance.live_bytes += e->variance.live_bytes;
			t->variance.aged_count += e->variance.aged_count;
			t->variance.aged_bytes += e->variance.aged_bytes;
		}
		t->live_count += f->live_count;
		t->live_bytes += f->live_bytes;
		t->aged_count += f->aged_count;
		t->aged_bytes += f->aged_bytes;
	}
}

static void scan_block(struct scan *scan, const struct ht_block *block)
{
	struct site_figures *f = &scan->snapshot->sites[block->site];
	/*
	 * The clock was read before the scan: a block born since then has no age, not a huge one.
	 */
	int32_t units = (int32_t)(scan->now - block->birth);
	double age_s = units > 0 ? units * scan->session->tables.birth_unit_s : 0;

	f->live_count++;
	f->live_bytes += block->size;
	if (age_s > f->oldest_s)
		f->oldest_s = age_s;
	if (age_s >= scan->min_age_s) {
		f->aged_count++;
		f->aged_bytes += block->size;
	}
	if (scan->excess && block->interval)
		scan_excess(scan, block, age_s >= scan->min_age_s);
}

static void scan_bucket(struct scan *scan, const struct ht_bucket *bucket)
{
	for (int way = 0; way < HT_BUCKET_BLOCKS; way++) {
		uint64_t key = __atomic_load_n(&bucket->keys[way], __ATOMIC_ACQUIRE);
		struct ht_block block;

		if ((key & HT_KEY_STATE_MASK) != HT_KEY_LIVE ||
			ht_key_slot(key) != scan->session->slot)
			continue;
		block = bucket->blocks[way];
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		/* Freed, and perhaps taken by another block, while we looked: part of the skew. */
		if (__atomic_load_n(&bucket->keys[way], __ATOMIC_RELAXED) != key ||
			block.site >= scan->site_count)
			continue;
		scan_block(scan, &block);
	}
}

/* Address space that sites hold and have given up. */
static int read_mappings(const struct session *s, struct snapshot *snap)
{
	const struct growth *g = &s->growth;
	uint64_t *mapped CLEANUP_FREE = calloc(snap->site_count, sizeof(*mapped));

	if (!mapped)
		return -ENOMEM;
	growth_mapped(g, mapped, snap->site_count);
	for (uint32_t i = 0; i < snap->site_count; i++) {
		struct site_figures *f = &snap->sites[i];

		/* What was there before the attach has no stack: it is the empty site's of the slot. */
		if (f->domain != HT_DOMAIN_MMAP)
			continue;
		f->live_bytes = mapped[i];
		if (i < g->mapped_count) {
			f->alloc_count = g->mapped[i].calls;
			f->alloc_bytes = g->mapped[i].bytes;
			f->free_bytes = g->mapped[i].unmapped;
			f->discarded_bytes = g->mapped[i].discarded;
		}
	}
	return 0;
}

static int read_growth(struct session *s, struct snapshot *snap)
{
	uint64_t before = growth_events(&s->growth, &s->tables, s->slot), ended = 0;

	growth_follow(&s->growth);
	read_counters(s, snap);
	growth_read(&s->growth, &s->tables, &s->process, s->slot, &snap->growth);
	read_sites(s, snap, &ended);
	/* The site of what found no room for a stack of its own. */
	snap->sites[s->slot].domain = HT_DOMAIN_RSS;
	snap->missed_events = growth_missed(&s->growth, &s->kernel);
	snap->events = growth_events(&s->growth, &s->tables, s->slot);
	snap->skew = snap->events - before;
	return read_mappings(s, snap);
}

/* 0 or -ENOMEM. */
static int read_heap(struct session *s, struct snapshot *snap)
{
	struct scan scan = {
		.session = s,
		.snapshot = snap,
		.site_count = snap->site_count,
		.min_age_s = snap->min_age_s,
	};
	struct live_excess *excess CLEANUP_FREE = NULL;
	uint64_t before, ended = 0;

	if (snap->estimates) {
		scan.excess = excess = calloc(snap->site_count + 1UL, sizeof(*excess));
		if (!excess)
			return -ENOMEM;
	}
	if (!s->drained)
		session_sweep_calls(s, false);
	session_look_for_probes(s);
	snap->removed_probes = s->removed_probes;
	before = count_runs(s);
	read_counters(s, snap);
	read_sites(s, snap, &ended);
	snap->events += snap->totals.untracked_frees;
	snap->totals.in_flight = s->drained ? 0 : session_unfinished(s, ended);
	snap->missed_events = kernel_missed_runs(&s->kernel);
	scan.now = kernel_birth_clock(&s->kernel);
	for (uint32_t segment = 0; segment < s->tables.segments; segment++)
		for (uint32_t b = 0; b < s->tables.segment_buckets; b++)
			scan_bucket(&scan, &s->tables.live[segment][b]);
	add_live(&scan);
	snap->skew = s->armed ? count_runs(s) - before : 0;
	return 0;
}

int session_read_tables(struct session *s, double min_age_s, struct snapshot *snapshot)
{
	struct snapshot snap = { .realtime_ns = clock_realtime_ns(),
		.monotonic_ns = clock_monotonic_ns(),
		.min_age_s = min_age_s,
		.rules = s->rules,
		.sampled = s->was_sampled,
		.filtered = s->was_filtered,
		.abandoned_calls = s->abandoned_calls };
	int error = read_stacks(s);

	if (!error)
		error = snapshot_reserve(&snap, session_sites_used(s), s->was_sampled);
	if (!error)
		error = s->mode == HT_MODE_GROWTH ? read_growth(s, &snap) : read_heap(s, &snap);
	if (error) {
		snapshot_release(&snap);
		return err(-ENOMEM, "out of memory");
	}
	unwinder_figures(&s->tables.unwinder, &snap.unwinder);
	*snapshot = snap;
	return 0;
}
