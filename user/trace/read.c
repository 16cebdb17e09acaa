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
	const struct target *target;
	struct snapshot *snapshot;
	struct live_excess *excess; /* by its sites; NULL: nothing was sampled */
	uint64_t events_before;
};

#define NO_PART UINT32_MAX

/* So many ended targets are not left until the next report. */
#define ENDED_MAX 64

struct scan {
	const struct session *session;
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
	struct variances *v = &part->snapshot->sites[at].variance;
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

/* Once the scan is over. */
static void add_live_excess(struct part *part)
{
	for (uint32_t i = 0; i < part->snapshot->site_count; i++) {
		struct site_figures *f = &part->snapshot->sites[i];

		f->samples.live_count = f->live_count;
		f->samples.live_bytes = f->live_bytes;
		if (!part->excess)
			continue;
		f->live_count += read_whole(part->excess[i].live.count, 16);
		f->live_bytes += read_whole(part->excess[i].live.bytes, 8);
		f->aged_count += read_whole(part->excess[i].aged.count, 16);
		f->aged_bytes += read_whole(part->excess[i].aged.bytes, 8);
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

static uint64_t site_events(const struct session *s, uint32_t site)
{
	uint64_t events = 0;

	for (uint32_t shard = 0; shard < s->tables.shards; shard++) {
		const struct ht_site_counters *c =
			&s->tables.site_counters[site * s->tables.shards + shard];

		events += table_load(&c->alloc_count) + table_load(&c->free_count) +
			  table_load(&c->failed_count);
	}
	return events;
}

/* Into `events` of the snapshots. */
static void count_events(struct scan *scan)
{
	const struct session *s = scan->session;

	for (uint32_t i = 0; i < scan->part_count; i++) {
		struct part *part = &scan->parts[i];

		part->snapshot->events = 0;
		for (uint32_t shard = 0; shard < s->tables.shards; shard++) {
			const struct ht_process_counters *c =
				&s->tables.process_counters[part->target->slot * s->tables.shards +
							    shard];

			part->snapshot->events += table_load(&c->untracked_frees) +
						  table_load(&c->untracked_inherited);
		}
	}
	for (uint32_t site = 0; site < scan->site_count; site++) {
		struct part *part = part_of_site(scan, site);

		if (part)
			part->snapshot->events += site_events(s, site);
	}
}

/* Which sites are whose, and room for their figures. */
static int divide_sites(struct scan *scan)
{
	const struct session *s = scan->session;

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

		part->snapshot->sites = calloc(n + 1UL, sizeof(*part->snapshot->sites));
		if (s->was_sampled)
			part->excess = calloc(n + 1UL, sizeof(*part->excess));
		if (!part->snapshot->sites || (s->was_sampled && !part->excess))
			return -ENOMEM;
	}
	return 0;
}

static void read_sites(struct scan *scan)
{
	for (uint32_t site = 0; site < scan->site_count; site++) {
		struct part *part = part_of_site(scan, site);
		struct site_figures *f;

		if (!part)
			continue;
		f = &part->snapshot->sites[scan->index_of_site[site]];
		read_site(scan->session, site, f);
		part->snapshot->totals.in_flight -= f->samples.alloc_count + f->failed_count;
	}
}

static struct snapshot empty_snapshot(const struct session *s, double min_age_s)
{
	return (struct snapshot){
		.realtime_ns = clock_realtime_ns(),
		.monotonic_ns = clock_monotonic_ns(),
		.min_age_s = min_age_s,
		.rules = s->rules,
		.sampled = s->was_sampled,
		.filtered = s->was_filtered,
	};
}

static void finish_part(struct session *s, struct part *part)
{
	struct snapshot *snap = part->snapshot;

	add_live_excess(part);
	snap->skew = snap->events - part->events_before;
	/* A site whose stack's record is still being written shows without frames this once. */
	for (uint32_t i = 0; i < snap->site_count; i++)
		if (snap->sites[i].stack >= s->profile.stack_count)
			snap->sites[i].stack = 0;
	read_totals(s, snap);
	/* A call that ended between the two readings. */
	if ((int64_t)snap->totals.in_flight < 0)
		snap->totals.in_flight = 0;
	if (s->drained || part->target->state == TARGET_ENDED) {
		snap->abandoned_calls = snap->totals.in_flight;
		snap->totals.in_flight = 0;
	}
}

/* All parts in one pass over each table. */
static int read_parts(struct scan *scan)
{
	struct session *s = (struct session *)scan->session;
	int error;

	if (!s->drained)
		session_sweep_calls(s, false);
	error = divide_sites(scan);
	if (error)
		return error;
	count_events(scan);
	for (uint32_t i = 0; i < scan->part_count; i++) {
		struct part *part = &scan->parts[i];

		part->events_before = part->snapshot->events;
		target_look_for_probes(s, (struct target *)part->target);
		part->snapshot->removed_probes = part->target->removed_probes;
		unwinder_figures(&s->tables.unwinder, &part->snapshot->unwinder);
		part->snapshot->missed_events = kernel_missed_runs(&s->kernel);
	}
	/* Ended calls before begun ones: the difference is never too small. */
	read_sites(scan);
	for (uint32_t i = 0; i < scan->part_count; i++) {
		struct totals *t = &scan->parts[i].snapshot->totals;
		uint64_t ended = t->in_flight;

		read_counters(s, scan->parts[i].target, scan->parts[i].snapshot);
		t->in_flight += ended;
	}
	scan->now = kernel_birth_clock(&s->kernel);
	for (uint32_t segment = 0; segment < s->tables.segments; segment++)
		for (uint32_t b = 0; b < s->tables.segment_buckets; b++)
			scan_bucket(scan, &s->tables.live[segment][b]);
	count_events(scan);
	error = read_stacks(s);
	for (uint32_t i = 0; !error && i < scan->part_count; i++)
		finish_part(s, &scan->parts[i]);
	return error;
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

int session_read(struct session *s, double min_age_s, struct snapshot *snapshot)
{
	struct snapshot snap = empty_snapshot(s, min_age_s);
	struct part part = { .target = session_first(s), .snapshot = &snap };
	int error = read_into(s, &part, 1);

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
		t->last = empty_snapshot(s, min_age_of(s, t));
		parts[count++] = (struct part){ .target = t, .snapshot = &t->last };
	}
	error = count ? read_into(s, parts, count) : 0;
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
