// SPDX-License-Identifier: GPL-2.0-or-later
/* Figures of one target out of the tables: sites, counters, stacks, and their sums. */
#include <bpf/libbpf.h>
#include <errno.h>

#include "../../include/sampling.h"
#include "read_internal.h"

/*
 * A frame of a program whose mappings were not known yet when it called: they are by now. What has no file stays raw.
 */
static uint64_t named_frame(const struct session *s, uint64_t frame)
{
	const struct target *t = NULL;
	uint64_t address = ht_frame_raw_address(frame);

	if (ht_frame_tag(frame) != HT_FRAME_RAW)
		return frame;
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->has_slot && s->targets[i]->slot == ht_frame_raw_slot(frame))
			t = s->targets[i];
	for (uint32_t i = 0; t && t->known && i < t->range_count; i++) {
		const struct ht_range *r = &t->ranges[i];

		if (address >= r->start && address < r->end && r->module != HT_MODULE_NONE)
			return ht_frame_native(HT_FRAME_CALL, r->module, address - r->bias);
	}
	return frame;
}

int read_stacks(struct session *s)
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
				frames[i] = named_frame(
					s, s->tables.chunks[chunk].frames[i % HT_CHUNK_FRAMES]);
		}
		if (profile_add_stack(&s->profile, frames, n, stack->flags))
			return -ENOMEM;
	}
	return 0;
}

uint64_t read_whole(uint64_t excess, int bits)
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

		sum.free_excess_count += table_load(&c->free_excess_count);
		sum.free_excess_bytes += table_load(&c->free_excess_bytes);
		sum.alloc_excess_count += table_load(&c->alloc_excess_count);
		sum.alloc_excess_bytes += table_load(&c->alloc_excess_bytes);
		sum.free_variance_count += table_load(&c->free_variance_count);
		sum.free_variance_bytes += table_load(&c->free_variance_bytes);
		sum.alloc_variance_count += table_load(&c->alloc_variance_count);
		sum.alloc_variance_bytes += table_load(&c->alloc_variance_bytes);
	}
	f->alloc_count += read_whole(sum.alloc_excess_count, 16);
	f->alloc_bytes += read_whole(sum.alloc_excess_bytes, 8);
	f->free_count += read_whole(sum.free_excess_count, 16);
	f->free_bytes += read_whole(sum.free_excess_bytes, 8);
	e->variance.alloc_count = (double)sum.alloc_variance_count;
	e->variance.alloc_bytes = (double)sum.alloc_variance_bytes * (1 << HT_VARIANCE_BYTES_SHIFT);
	e->variance.free_count = (double)sum.free_variance_count;
	e->variance.free_bytes = (double)sum.free_variance_bytes * (1 << HT_VARIANCE_BYTES_SHIFT);
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

/* Of a hundred thousand sites each cache line counts: all that exact mode has is in the first of a row. */
static void read_shards(const struct session *s, uint32_t id, struct site_figures *f)
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
		f->free_count += table_load(&c->free_count);
		f->free_bytes += table_load(&c->free_bytes);
		f->alloc_count += table_load(&c->alloc_count);
		f->alloc_bytes += table_load(&c->alloc_bytes);
		f->failed_count += table_load(&c->failed_count);
		f->temporary_count += table_load(&c->temporary_count);
		f->temporary_bytes += table_load(&c->temporary_bytes);
	}
}

uint64_t read_site(const struct session *s, uint32_t id, struct snapshot *snap, uint32_t at)
{
	struct site_figures *f = &snap->sites[at];
	const struct profile_stack *stack;
	struct totals *t = &snap->totals;
	uint64_t ended;

	read_shards(s, id, f);
	stack = &s->profile.stacks[f->stack];
	ended = f->alloc_count + f->failed_count;
	snap->frames_walked += f->alloc_count * stack->frame_count;
	snap->events += ended + f->free_count;
	if (snap->estimates) {
		add_excess(s, id, f, &snap->estimates[at]);
		add_samples(t, &snap->estimates[at]);
	}
	t->alloc_count += f->alloc_count;
	t->alloc_bytes += f->alloc_bytes;
	t->free_count += f->free_count;
	t->free_bytes += f->free_bytes;
	t->failed_count += f->failed_count;
	if (stack->flags & HT_STACK_TRUNCATED)
		t->truncated_count += f->alloc_count;
	return ended;
}

void read_counters(const struct session *s, const struct target *target, struct snapshot *snap)
{
	struct totals *t = &snap->totals;
	uint64_t excess_count = 0, excess_bytes = 0, started = 0, uncounted = 0;

	for (uint32_t shard = 0; shard < s->tables.shards; shard++) {
		const struct ht_process_counters *c =
			&s->tables.process_counters[target->slot * s->tables.shards + shard];

		t->untracked_frees +=
			table_load(&c->untracked_frees) + table_load(&c->untracked_inherited);
		t->untracked_inherited += table_load(&c->untracked_inherited);
		uncounted += table_load(&c->finished_uncounted);
		started += table_load(&c->started);
		excess_count += table_load(&c->lost_excess_count);
		excess_bytes += table_load(&c->lost_excess_bytes);
		for (int i = 0; i < HT_LOST_REASONS; i++) {
			snap->lost[i] += table_load(&c->lost_count[i]);
			t->lost_count += table_load(&c->lost_count[i]);
			t->lost_bytes += table_load(&c->lost_bytes[i]);
		}
		for (int i = 0; i < HT_UNATTRIBUTED_REASONS; i++)
			snap->unattributed[i] += table_load(&c->unattributed[i]);
		for (int i = 0; i < HT_UNWIND_REASONS; i++)
			snap->unwind[i] += table_load(&c->unwind[i]);
	}
	t->samples.lost_count = t->lost_count;
	t->samples.lost_bytes = t->lost_bytes;
	t->lost_count += read_whole(excess_count, 16);
	t->lost_bytes += read_whole(excess_bytes, 8);
	t->peak_live_bytes = table_load(&s->tables.processes[target->slot].peak_live_bytes);
	/* What of these has ended is taken off by who has read the sites. */
	t->in_flight = started - uncounted;
}

uint64_t read_runs(const struct session *s, const struct target *target)
{
	uint64_t runs = 0;

	for (uint32_t i = 0; i < HT_THREAD_SLOTS; i++)
		runs += __atomic_load_n(&s->tables.threads[i].turns, __ATOMIC_RELAXED);
	for (uint32_t shard = 0; shard < s->tables.shards; shard++)
		runs += table_load(
			&s->tables.process_counters[target->slot * s->tables.shards + shard]
				 .started);
	return runs;
}
