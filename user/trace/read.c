// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading the tables into snapshots, one a target. Programs may run meanwhile: counters are read before the live
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
#include "read_internal.h"

/* Of a site's live blocks: struct ht_weight, added up. */
struct live_excess {
	struct ht_weight live, aged;
};

/* One target's part of a reading. */
struct part {
	struct target *target;
	struct snapshot *snapshot;
	struct live_excess *excess; /* by its sites; NULL: nothing was sampled */
	uint64_t ended;		    /* calls of allocating functions */
	uint64_t runs_before;
};

#define NO_PART UINT32_MAX

/* So many ended targets are not left until the next report. */
#define ENDED_MAX 64

struct scan {
	struct session *session;
	struct part *parts;
	uint32_t part_count;
	uint32_t *part_of_slot;
	uint32_t site_count;	 /* of the session */
	uint32_t *index_of_site; /* in the sites of its part */
	uint32_t now;		 /* birth units */
};

/* w (w-1), the share of a sampled block in the variance of a sum: include/sampling.h. */
static double share(double size, double excess)
{
	return (size + excess) * excess;
}

static void scan_excess(struct part *part, uint32_t at, const struct ht_block *block, bool aged)
{
	struct variances *v = &part->snapshot->estimates[at].variance;
	struct live_excess *e = &part->excess[at];
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

static void add_live_excess(struct part *part, uint32_t at, struct site_figures *f)
{
	struct site_estimates *e = &part->snapshot->estimates[at];
	const struct live_excess *excess = &part->excess[at];
	struct totals *t = &part->snapshot->totals;

	e->samples.live_count = f->live_count;
	e->samples.live_bytes = f->live_bytes;
	f->live_count += read_whole(excess->live.count, 16);
	f->live_bytes += read_whole(excess->live.bytes, 8);
	f->aged_count += read_whole(excess->aged.count, 16);
	f->aged_bytes += read_whole(excess->aged.bytes, 8);
	t->samples.live_count += e->samples.live_count;
	t->samples.live_bytes += e->samples.live_bytes;
	t->variance.live_count += e->variance.live_count;
	t->variance.live_bytes += e->variance.live_bytes;
	t->variance.aged_count += e->variance.aged_count;
	t->variance.aged_bytes += e->variance.aged_bytes;
}

/* Once the scan is over: what the live blocks stand for, and totals. */
static void add_live(struct part *part)
{
	struct totals *t = &part->snapshot->totals;

	for (uint32_t i = 0; i < part->snapshot->site_count; i++) {
		struct site_figures *f = &part->snapshot->sites[i];

		if (part->excess)
			add_live_excess(part, i, f);
		t->live_count += f->live_count;
		t->live_bytes += f->live_bytes;
		t->aged_count += f->aged_count;
		t->aged_bytes += f->aged_bytes;
	}
}

static void scan_block(struct scan *scan, struct part *part, const struct ht_block *block)
{
	uint32_t at = scan->index_of_site[block->site];
	struct site_figures *f = &part->snapshot->sites[at];
	double min_age_s = part->snapshot->min_age_s;
	/*
	 * The clock was read before the scan: a block born since then has no age, not a huge one.
	 */
	int32_t units = (int32_t)(scan->now - block->birth);
	double age_s = units > 0 ? units * scan->session->tables.birth_unit_s : 0;

	f->live_count++;
	f->live_bytes += block->size;
	if (age_s > f->oldest_s)
		f->oldest_s = age_s;
	if (age_s >= min_age_s) {
		f->aged_count++;
		f->aged_bytes += block->size;
	}
	if (part->excess && block->interval)
		scan_excess(part, at, block, age_s >= min_age_s);
}

static void scan_bucket(struct scan *scan, const struct ht_bucket *bucket)
{
	const struct ht_site *sites = scan->session->tables.sites;

	for (int way = 0; way < HT_BUCKET_BLOCKS; way++) {
		uint64_t key = __atomic_load_n(&bucket->keys[way], __ATOMIC_ACQUIRE);
		struct ht_block block;
		uint32_t slot = ht_key_slot(key);

		if ((key & HT_KEY_STATE_MASK) != HT_KEY_LIVE || slot >= TABLES_MAX_PROCESSES ||
			scan->part_of_slot[slot] == NO_PART)
			continue;
		block = bucket->blocks[way];
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		/* Freed, and perhaps taken by another block, while we looked: part of the skew. */
		if (__atomic_load_n(&bucket->keys[way], __ATOMIC_RELAXED) != key ||
			block.site >= scan->site_count || sites[block.site].slot != slot)
			continue;
		scan_block(scan, &scan->parts[scan->part_of_slot[slot]], &block);
	}
}

/* --- by target ----------------------------------------------------------------------------------- */

static struct part *part_of_site(const struct scan *scan, uint32_t site)
{
	uint32_t slot = scan->session->tables.sites[site].slot;
	uint32_t part = slot < TABLES_MAX_PROCESSES ? scan->part_of_slot[slot] : NO_PART;

	return part == NO_PART ? NULL : &scan->parts[part];
}

/* Which sites are whose, and room for their figures. */
static int divide_sites(struct scan *scan)
{
	for (uint32_t slot = 0; slot < TABLES_MAX_PROCESSES; slot++)
		scan->part_of_slot[slot] = NO_PART;
	for (uint32_t i = 0; i < scan->part_count; i++)
		scan->part_of_slot[scan->parts[i].target->slot] = i;
	for (uint32_t site = 0; site < scan->site_count; site++) {
		struct part *part = part_of_site(scan, site);

		if (part)
			scan->index_of_site[site] = part->snapshot->site_count++;
	}
	for (uint32_t i = 0; i < scan->part_count; i++) {
		struct part *part = &scan->parts[i];
		uint32_t n = part->snapshot->site_count;
		bool sampled = part->target->was_sampled;
		int error = snapshot_reserve(part->snapshot, n, sampled);

		if (error)
			return error;
		if (!sampled)
			continue;
		part->excess = calloc(n + 1UL, sizeof(*part->excess));
		if (!part->excess)
			return -ENOMEM;
	}
	return 0;
}

/* All that the counters of sites tell, in one pass over them. */
static void read_sites(struct scan *scan)
{
	for (uint32_t site = 0; site < scan->site_count; site++) {
		struct part *part = part_of_site(scan, site);

		if (part)
			part->ended += read_site(
				scan->session, site, part->snapshot, scan->index_of_site[site]);
	}
}

static struct snapshot empty_snapshot(
	const struct session *s, const struct target *t, double min_age_s)
{
	return (struct snapshot){
		.realtime_ns = clock_realtime_ns(),
		.monotonic_ns = clock_monotonic_ns(),
		.min_age_s = min_age_s,
		.rules = s->rules,
		.sampled = t->was_sampled,
		.filtered = s->was_filtered,
	};
}

static void begin_part(struct session *s, struct part *part)
{
	struct snapshot *snap = part->snapshot;

	part->runs_before = read_runs(s, part->target);
	target_look_for_probes(s, part->target);
	snap->removed_probes = part->target->removed_probes;
	snap->missed_events = kernel_missed_runs(&s->kernel);
	unwinder_figures(&s->tables.unwinder, &snap->unwinder);
}

static void finish_part(struct session *s, struct part *part)
{
	struct snapshot *snap = part->snapshot;
	bool ended = part->target->state == TARGET_ENDED;

	add_live(part);
	snap->events += snap->totals.untracked_frees;
	snap->skew = s->armed && !ended ? read_runs(s, part->target) - part->runs_before : 0;
	snap->totals.in_flight -= part->ended;
	/* A call that ended between the two readings. */
	if ((int64_t)snap->totals.in_flight < 0)
		snap->totals.in_flight = 0;
	if (s->drained || ended) {
		snap->abandoned_calls = snap->totals.in_flight;
		snap->totals.in_flight = 0;
	}
}

/* All parts in one pass over each table. */
static int read_heap(struct scan *scan)
{
	struct session *s = scan->session;

	if (!s->drained)
		session_sweep_calls(s, false);
	for (uint32_t i = 0; i < scan->part_count; i++)
		begin_part(s, &scan->parts[i]);
	/* Ended calls before begun ones: the difference is never too small. */
	read_sites(scan);
	for (uint32_t i = 0; i < scan->part_count; i++)
		read_counters(s, scan->parts[i].target, scan->parts[i].snapshot);
	scan->now = kernel_birth_clock(&s->kernel);
	for (uint32_t segment = 0; segment < s->tables.segments; segment++)
		for (uint32_t b = 0; b < s->tables.segment_buckets; b++)
			scan_bucket(scan, &s->tables.live[segment][b]);
	for (uint32_t i = 0; i < scan->part_count; i++)
		finish_part(s, &scan->parts[i]);
	return 0;
}

/* Address space that sites hold and have given up. */
static int read_mappings(const struct scan *scan, struct snapshot *snap)
{
	const struct growth *g = &scan->session->growth;
	uint64_t *mapped CLEANUP_FREE = calloc(scan->site_count + 1UL, sizeof(*mapped));

	if (!mapped)
		return -ENOMEM;
	growth_mapped(g, mapped, scan->site_count);
	for (uint32_t site = 0; site < scan->site_count; site++) {
		struct site_figures *f = &snap->sites[scan->index_of_site[site]];

		/* What was there before the attach has no stack: it is the empty site's of the slot. */
		if (!part_of_site(scan, site) || f->domain != HT_DOMAIN_MMAP)
			continue;
		f->live_bytes = mapped[site];
		if (site < g->mapped_count) {
			f->alloc_count = g->mapped[site].calls;
			f->alloc_bytes = g->mapped[site].bytes;
			f->free_bytes = g->mapped[site].unmapped;
			f->discarded_bytes = g->mapped[site].discarded;
		}
	}
	return 0;
}

/* There is one part. */
static int read_growth(struct scan *scan)
{
	struct session *s = scan->session;
	struct target *t = scan->parts->target;
	struct snapshot *snap = scan->parts->snapshot;
	uint64_t before = growth_events(&s->growth, &s->tables, t->slot);

	growth_follow(&s->growth);
	read_counters(s, t, snap);
	snap->totals.in_flight = 0;
	growth_read(&s->growth, &s->tables, &t->process, t->slot, &snap->growth);
	read_sites(scan);
	/* The site of what found no room for a stack of its own. */
	snap->sites[scan->index_of_site[t->slot]].domain = HT_DOMAIN_RSS;
	snap->missed_events = growth_missed(&s->growth, &s->kernel);
	snap->events = growth_events(&s->growth, &s->tables, t->slot);
	snap->skew = snap->events - before;
	unwinder_figures(&s->tables.unwinder, &snap->unwinder);
	return read_mappings(scan, snap);
}

static int read_parts(struct scan *scan)
{
	struct session *s = scan->session;
	int error = read_stacks(s);

	if (!error)
		error = divide_sites(scan);
	if (error)
		return error;
	return s->mode == HT_MODE_GROWTH ? read_growth(scan) : read_heap(scan);
}

static int read_into(struct session *s, struct part *parts, uint32_t count)
{
	uint32_t *part_of_slot CLEANUP_FREE = calloc(TABLES_MAX_PROCESSES, sizeof(uint32_t));
	uint32_t *index_of_site CLEANUP_FREE = NULL;
	struct scan scan = { .session = s,
		.parts = parts,
		.part_count = count,
		.part_of_slot = part_of_slot,
		.site_count = session_sites_used(s) };
	int error = -ENOMEM;

	scan.index_of_site = index_of_site = calloc(scan.site_count + 1UL, sizeof(uint32_t));
	if (part_of_slot && index_of_site)
		error = read_parts(&scan);
	for (uint32_t i = 0; i < count; i++)
		free(parts[i].excess);
	return error ? err(error, "out of memory") : 0;
}

static bool has_figures(const struct target *t)
{
	return t->has_slot && !t->read;
}

int read_each(struct session *s,
	int (*take)(struct session *s, struct target *t, struct snapshot *snapshot))
{
	struct part *parts CLEANUP_FREE = calloc(s->target_count + 1UL, sizeof(*parts));
	struct snapshot *all CLEANUP_FREE = calloc(s->target_count + 1UL, sizeof(*all));
	uint32_t count = 0;
	int error;

	if (!parts || !all)
		return err(-ENOMEM, "out of memory");
	for (uint32_t i = 0; i < s->target_count; i++) {
		if (!has_figures(s->targets[i]))
			continue;
		all[count] = empty_snapshot(s, s->targets[i], 0);
		parts[count] = (struct part){ .target = s->targets[i], .snapshot = &all[count] };
		count++;
	}
	error = count ? read_into(s, parts, count) : 0;
	for (uint32_t i = 0; i < count; i++) {
		if (!error && take(s, parts[i].target, &all[i]))
			error = err(-ENOMEM, "out of memory");
		snapshot_release(&all[i]);
	}
	return error;
}

/* The same, and what is known beside the tables; `read_s` is of all of them. */
static int read_and_describe(struct session *s, struct part *parts, uint32_t count)
{
	uint64_t begun_ns;
	double read_s;
	int error;

	session_update_costs(s);
	begun_ns = clock_thread_ns();
	error = read_into(s, parts, count);
	read_s = (double)(clock_thread_ns() - begun_ns) / NS_PER_S;
	for (uint32_t i = 0; !error && i < count; i++) {
		parts[i].snapshot->read_s = read_s;
		if (target_describe(s, parts[i].target, parts[i].snapshot))
			error = err(-ENOMEM, "out of memory");
	}
	return error;
}

int session_read(struct session *s, double min_age_s, struct snapshot *snapshot)
{
	struct snapshot snap = empty_snapshot(s, session_first(s), min_age_s);
	struct part part = { .target = session_first(s), .snapshot = &snap };
	int error = read_and_describe(s, &part, 1);

	if (error)
		snapshot_release(&snap);
	else
		*snapshot = snap;
	return error;
}

static double seconds(uint64_t from, uint64_t to)
{
	return to > from ? (double)(to - from) / NS_PER_S : 0;
}

static double age_that_counts(double min_age_s, bool young, double elapsed_s)
{
	return young && min_age_s > elapsed_s / 2 ? elapsed_s / 2 : min_age_s;
}

static double min_age_of(const struct session *s, const struct target *t)
{
	uint64_t end = t->ended_ns ? t->ended_ns : clock_monotonic_ns();

	return age_that_counts(s->min_age_s, s->young, seconds(t->begun_ns, end));
}

/* Into `last`: the last figures of those that have ended since, and with `all` what the others have now. */
static int read_targets(struct session *s, bool all)
{
	struct part *parts CLEANUP_FREE = calloc(s->target_count + 1UL, sizeof(*parts));
	uint32_t count = 0;
	int error;

	if (!parts)
		return err(-ENOMEM, "out of memory");
	for (uint32_t i = 0; i < s->target_count; i++) {
		struct target *t = s->targets[i];

		if (t->read || (!all && t->state != TARGET_ENDED))
			continue;
		t->last = empty_snapshot(s, t, min_age_of(s, t));
		parts[count++] = (struct part){ .target = t, .snapshot = &t->last };
	}
	error = count ? read_and_describe(s, parts, count) : 0;
	for (uint32_t i = 0; i < s->target_count; i++)
		s->targets[i]->read |= s->targets[i]->state == TARGET_ENDED;
	return error;
}

int read_ended(struct session *s)
{
	uint32_t ended = 0;
	int error;

	for (uint32_t i = 0; i < s->target_count; i++)
		ended += s->targets[i]->state == TARGET_ENDED && !s->targets[i]->read;
	if (ended < ENDED_MAX)
		return 0;
	error = read_targets(s, false);
	if (error)
		return error;
	target_free_slots(s);
	/* Of processes that came and went without an event there is nothing to say. */
	for (uint32_t i = s->target_count; i-- > 1;)
		if (s->targets[i]->read && !s->targets[i]->last.events)
			target_drop(s, s->targets[i]);
	return 0;
}

int session_read_all(struct session *s, double min_age_s, bool young, struct readings *readings)
{
	uint32_t count = s->target_count;
	struct reading *all = calloc(count + 1UL, sizeof(*all));
	int error;

	if (!all)
		return err(-ENOMEM, "out of memory");
	s->min_age_s = min_age_s;
	s->young = young;
	error = read_targets(s, true);
	if (error) {
		free(all);
		return error;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct target *t = s->targets[i];
		uint64_t end = t->ended_ns ? t->ended_ns : clock_monotonic_ns();

		all[i] = (struct reading){ .target = t,
			.ended = t->ended,
			.elapsed_s = seconds(t->begun_ns, end),
			.interval_s = seconds(t->reported_ns, end),
			.snapshot = t->last };
		t->last = (struct snapshot){ 0 };
		t->reported_ns = end;
	}
	*readings = (struct readings){ all, count };
	return 0;
}

void session_retire_ended(struct session *s)
{
	target_free_slots(s);
	for (uint32_t i = s->target_count; i-- > 0;)
		if (s->targets[i]->read && s->target_count > 1)
			target_drop(s, s->targets[i]);
}

void readings_release(struct readings *readings)
{
	for (uint32_t i = 0; i < readings->count; i++)
		snapshot_release(&readings->all[i].snapshot);
	free(readings->all);
	*readings = (struct readings){ 0 };
}
