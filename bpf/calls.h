/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * The allocation state machine. Success is decided when a call returns; a block leaves the table
 * when free or realloc is entered, before the allocator can hand its address to another thread.
 *
 *   entry:  size and site are known. They travel to the return as the kind of link allows:
 *           session.h, pair.h.
 *   return: the block is counted and enters the live table, or the failure is counted.
 *
 * Every path keeps  allocated = live + freed + lost  for each process, in blocks and bytes.
 */
#ifndef HEAPTAP_BPF_CALLS_H
#define HEAPTAP_BPF_CALLS_H

#include "accept.h"
#include "select.h"

/* --- small pieces ---------------------------------------------------------------------------- */

struct ht_arguments {
	u64 di, si, dx;
};

#define SIZE_OVERFLOWED (~0ULL)

static __always_inline u64 product(u64 count, u64 size)
{
	/* BPF has no 128-bit product, and clang turns the usual checks into one: by halves. */
	u64 large = count > size ? count : size, small = count > size ? size : count;
	u64 high;

	if (small >> 32)
		return SIZE_OVERFLOWED;
	high = (large >> 32) * small + ((large & 0xffffffff) * small >> 32);
	return high >> 32 ? SIZE_OVERFLOWED : large * small;
}

static __always_inline u64 requested_bytes(u32 role, const struct ht_arguments *a)
{
	switch (role) {
	case HT_ROLE_MALLOC:
		return a->di;
	case HT_ROLE_CALLOC:
		return product(a->di, a->si);
	case HT_ROLE_ALIGNED:
	case HT_ROLE_REALLOC:
		return a->si;
	case HT_ROLE_REALLOCARRAY:
		return product(a->si, a->dx);
	default:
		return a->dx;
	}
}

static __always_inline u32 birth_now(void)
{
	return bpf_jiffies64() >> knobs.birth_shift;
}

static __always_inline struct ht_site_counters *counters_of_site(u32 site)
{
	u32 row = site * knobs.shard_count + shard_of_cpu();

	return bpf_map_lookup_elem(&site_counters, &row);
}

static __always_inline int storable(u64 address)
{
	return !(address & 7) && !(address >> HT_ADDRESS_BITS);
}

/* What sampling adds to the figures of a block. Global, scalars and one pointer: rare. */
__noinline int weigh(u64 size, u32 interval_log2, struct ht_weight *weight)
{
	if (!weight)
		return 0;
	ht_weigh(size, interval_log2, weight);
	return 0;
}

/* The bytes that a block stands for: the same at its birth and its death. */
static __always_inline u64 weighted_bytes(const struct ht_block *block)
{
	struct ht_weight weight = {};

	if (block->interval)
		weigh(block->size, block->interval, &weight);
	return block->size + (weight.bytes >> 8);
}

/* Adds to the three sums of one kind what a sampled block stands for beyond itself. */
__noinline int count_excess(u32 site, u32 freed, u64 size, u32 interval_log2)
{
	struct ht_site_counters *c = counters_of_site(site);
	struct ht_weight weight = {};
	u32 noise = bpf_get_prandom_u32();
	u64 count, bytes;

	if (!c)
		return 0;
	ht_weigh(size, interval_log2, &weight);
	count = ht_count_variance(&weight, noise);
	bytes = ht_bytes_variance(&weight, size, noise);
	add(freed ? &c->free_excess_count : &c->alloc_excess_count, weight.count);
	add(freed ? &c->free_excess_bytes : &c->alloc_excess_bytes, weight.bytes);
	add(freed ? &c->free_variance_count : &c->alloc_variance_count, count);
	add(freed ? &c->free_variance_bytes : &c->alloc_variance_bytes, bytes);
	return 0;
}

static __always_inline void count_lost(
	struct ht_process_counters *c, enum ht_lost why, const struct ht_block *block)
{
	struct ht_weight weight = {};

	add(&c->lost_count[why], 1);
	add(&c->lost_bytes[why], block->size);
	if (!block->interval)
		return;
	weigh(block->size, block->interval, &weight);
	add(&c->lost_excess_count, weight.count);
	add(&c->lost_excess_bytes, weight.bytes);
}

static __always_inline void count_allocation(const struct ht_block *block)
{
	struct ht_site_counters *c = counters_of_site(block->site);

	/* First: whoever sees the allocation counted sees all of it. */
	if (block->interval)
		count_excess(block->site, 0, block->size, block->interval);
	if (!c)
		return;
	add(&c->alloc_count, 1);
	add(&c->alloc_bytes, block->size);
}

static __always_inline void count_failure(u32 site)
{
	struct ht_site_counters *c = counters_of_site(site);

	if (c)
		add(&c->failed_count, 1);
}

/*
 * Each call that was let through ends in exactly one of count_allocation(), count_failure() and
 * count_uncounted(), and that last: once their sum equals `started`, all effects of all calls are
 * to be seen.
 */
static __always_inline void count_uncounted(struct ht_process_counters *counters)
{
	add(&counters->finished_uncounted, 1);
}

/* A free of a block that is not in the table. After fork it may be one of the parent's. */
static __always_inline void count_untracked(
	const struct ht_process *p, struct ht_process_counters *counters)
{
	add(p->origin == HT_ORIGIN_FORK ? &counters->untracked_inherited
					: &counters->untracked_frees,
		1);
}

/* --- the two transitions: a block is born, a block dies --------------------------------------- */

static __always_inline void count_free(
	struct ht_process *p, const struct ht_block *block, int temporary)
{
	struct ht_site_counters *c = counters_of_site(block->site);

	live_bytes_shrink(p, weighted_bytes(block));
	if (block->interval)
		count_excess(block->site, 1, block->size, block->interval);
	if (!c)
		return;
	add(&c->free_count, 1);
	add(&c->free_bytes, block->size);
	if (temporary) {
		add(&c->temporary_count, 1);
		add(&c->temporary_bytes, block->size);
	}
}

/* One message for each number of segments: the loader answers it with one more. */
static __noinline void tell_pressure(void)
{
	u32 used = live_segments_used();
	struct ht_message *m;

	if (control.pressure_told >= used || used >= HT_MAX_SEGMENTS)
		return;
	if (__sync_lock_test_and_set(&control.pressure_told, used) >= used)
		return;
	m = bpf_ringbuf_reserve(&messages, sizeof(*m), 0);
	if (!m) {
		control.pressure_told = used - 1;
		return;
	}
	m->kind = HT_MESSAGE_LIVE_PRESSURE;
	m->subject = used;
	bpf_ringbuf_submit(m, 0);
}

/* Enters a block into the live table; whatever does not fit is counted as lost, with its bytes. */
static __always_inline void block_enter(struct ht_process *p, struct ht_process_counters *counters,
	u64 address, const struct ht_block *block)
{
	struct ht_block old = {};
	int met;

	if (!storable(address)) {
		count_lost(counters, HT_LOST_ADDRESS, block);
		return;
	}
	met = live_insert(ht_key(p->slot, address), block, &old);
	if (met & LIVE_PRESSED)
		tell_pressure();
	if (met & LIVE_REPLACED && p->armed) {
		count_lost(counters, HT_LOST_MISSED_FREE, &old);
		live_bytes_shrink(p, weighted_bytes(&old));
	} else if (met & LIVE_REPLACED) {
		/* Disarmed: frees are not seen any more, and calls in flight still return. It was one. */
		count_free(p, &old, 0);
	}
	if (!(met & LIVE_INSERTED)) {
		count_lost(counters, HT_LOST_LIVE_FULL, block);
		return;
	}
	live_bytes_grow(p, weighted_bytes(block));
}

static __always_inline void count_birth(struct ht_process *p, struct ht_process_counters *counters,
	u64 address, const struct ht_block *block)
{
	struct ht_thread *thread = thread_of(current_pid_tgid());

	if (thread) {
		thread->allocated = ht_key(p->slot, address);
		thread->freed = 0;
	}
	block_enter(p, counters, address, block);
	count_allocation(block);
}

/* --- calls with a record --------------------------------------------------------------------- */

/*
 * A record that is still there under this thread and stack pointer belongs to a call that never
 * returned (longjmp, or a thread that was killed and its id given again): its old block is lost.
 */
static __always_inline void abandon(
	struct ht_process *p, struct ht_process_counters *counters, const struct ht_call *call)
{
	if (!call->old_key)
		return;
	count_lost(counters, HT_LOST_ABANDONED, &call->old_block);
	live_bytes_shrink(p, weighted_bytes(&call->old_block));
}

/*
 * Leaves a record for the return: 1, or 0 when the table is full. Global and scalars only: verified
 * once.
 */
__noinline int call_begin(u32 slot_interval, u32 role_site, u64 size, u64 argument, u64 sp)
{
	u32 slot = slot_interval & 0xffff;
	struct ht_call call = { .size = size,
		.argument = argument,
		.role = role_site >> 26,
		.site = role_site & ((1U << 26) - 1),
		.birth = birth_now(),
		.interval = slot_interval >> 16 };
	struct ht_process *p = bpf_map_lookup_elem(&processes, &slot);
	struct ht_process_counters *counters = counters_of_slot(slot);
	struct ht_call_key key = { .pid_tgid = current_pid_tgid(), .sp = sp };
	struct ht_call *stale;

	if (!p || !counters)
		return 0;
	if (reallocates(call.role) && argument) {
		u64 block_key = ht_key(slot, argument);

		if (storable(argument) && live_take(block_key, &call.old_block))
			call.old_key = block_key;
	}
	if (!bpf_map_update_elem(&calls, &key, &call, BPF_NOEXIST))
		return 1;
	stale = bpf_map_lookup_elem(&calls, &key);
	if (stale) {
		abandon(p, counters, stale);
		*stale = call;
		return 1;
	}
	/* The old block's fate is unknown from here on; the new one will still be counted. */
	if (call.old_key) {
		count_lost(counters, HT_LOST_IN_FLIGHT_FULL, &call.old_block);
		live_bytes_shrink(p, weighted_bytes(&call.old_block));
	} else if (reallocates(call.role) && argument) {
		count_untracked(p, counters);
	}
	return 0;
}

static __always_inline struct ht_block new_block(const struct ht_call *call)
{
	return (struct ht_block){ .size = call->size,
		.interval = call->interval,
		.site = call->site,
		.birth = call->birth };
}

/*
 * Sampled, the new block is drawn by its own size, whatever became of the old one: both estimates stay
 * unbiased. It is then as old as this call, for of most old blocks the birth is not known.
 */
static __always_inline void realloc_end(struct ht_process *p, struct ht_process_counters *counters,
	const struct ht_call *call, int recorded, u64 result)
{
	int followed = call->interval != HT_NOT_FOLLOWED;
	struct ht_block block = new_block(call);

	if (result || (recorded && call->argument && !call->size)) {
		if (call->old_key) {
			count_free(p, &call->old_block, 0);
			if (!call->interval)
				block.birth = call->old_block.birth;
		} else if (recorded && call->argument) {
			count_untracked(p, counters);
		}
		if (result && followed)
			count_birth(p, counters, result, &block);
		else
			count_uncounted(counters);
		return;
	}
	if (call->old_key) {
		/*
		 * Failed: the old block lives on. It never left the totals, so it only goes back.
		 */
		u64 address = call->old_key & ((1ULL << HT_ADDRESS_BITS) - 1) & ~HT_KEY_STATE_MASK;

		live_bytes_shrink(p, weighted_bytes(&call->old_block));
		block_enter(p, counters, address, &call->old_block);
	}
	if (call->size && followed)
		count_failure(call->site);
	else
		count_uncounted(counters);
}

static __always_inline void memalign_end(struct ht_process *p, struct ht_process_counters *counters,
	const struct ht_call *call, int recorded, u64 result)
{
	struct ht_block block = new_block(call);
	u64 address = 0;
	u32 why = HT_LOST_IN_FLIGHT_FULL;

	if ((u32)result) {
		count_failure(call->site);
		return;
	}
	if (recorded) {
		why = HT_LOST_RESULT_UNREADABLE;
		if (!bpf_probe_read_user(&address, sizeof(address), (void *)call->argument)) {
			count_birth(p, counters, address, &block);
			return;
		}
	}
	count_lost(counters, why, &block);
	count_allocation(&block);
}

/* The request is told apart from the block's size, which has no room for one that overflowed. */
static __always_inline void plain_end(struct ht_process *p, struct ht_process_counters *counters,
	const struct ht_block *block, u64 bytes, u64 result)
{
	if (result)
		count_birth(p, counters, result, block);
	else if (bytes)
		count_failure(block->site);
	else
		count_uncounted(counters);
}

/* The return of a call: with its record, or with no more than its size and site. */
static __always_inline void call_finish(struct ht_process *p, struct ht_process_counters *counters,
	const struct ht_call *call, u32 role, int recorded, u64 result)
{
	struct ht_block block = new_block(call);

	if (reallocates(role))
		realloc_end(p, counters, call, recorded, result);
	else if (role == HT_ROLE_POSIX_MEMALIGN)
		memalign_end(p, counters, call, recorded, result);
	else
		plain_end(p, counters, &block, call->size, result);
}

/* --- what all kinds of link share ----------------------------------------------------------- */

static __always_inline u32 site_of_caller(const struct ht_regs *regs, const struct ht_process *p)
{
	u32 thread = p->by_thread ? (u32)current_pid_tgid() : 0;
	u32 scratch = scratch_claim(), site;

	if (scratch == SCRATCH_NONE) {
		count_unattributed(p->slot, HT_UNATTRIBUTED_SCRATCH_BUSY);
		return p->slot;
	}
	site = site_of_stack(scratch, p->slot << 8 | HT_DOMAIN_HEAP, thread, regs);
	if (knobs.truth_every)
		truth_ship(scratch, p->slot);
	scratch_release(scratch);
	return site;
}

static __always_inline void free_sampled(struct ht_process *p, u64 address)
{
	struct ht_block block = {};

	/* Nearly all are of blocks that were never followed: one cache line, and done. */
	if (storable(address) && live_take(ht_key(p->slot, address), &block))
		count_free(p, &block, 0);
}

static __always_inline void free_exactly(
	struct ht_process *p, struct ht_thread *thread, u64 address)
{
	u64 key = ht_key(p->slot, address);
	struct ht_process_counters *counters;
	int temporary = thread->allocated == key;
	/* A free that only passes the block on to another one, which is probed too. */
	int again = thread->freed == key;
	struct ht_block block = {};

	if (temporary)
		thread->allocated = 0;
	thread->freed = key;
	if (storable(address) && live_take(key, &block)) {
		count_free(p, &block, temporary);
		return;
	}
	counters = again ? NULL : counters_of_slot(p->slot);
	if (counters)
		count_untracked(p, counters);
}

static __always_inline void free_begin(struct pt_regs *ctx)
{
	u64 pid_tgid = current_pid_tgid(), address = ctx->di, begun_ns = 0;
	struct ht_thread *thread;
	struct ht_process *p;

	if (!address)
		return;
	p = current_process(pid_tgid);
	if (!p || !is_accepted(ctx, p))
		return;
	/*
	 * The plan may have placed the probe behind pushes: the cookie's second byte undoes them.
	 */
	if (has_pending_returns() &&
		nested_slow(p->slot,
			ctx->sp + (bpf_get_attach_cookie(ctx) >> 8 & 0xff) * sizeof(u64))) {
		pulse_idle(p->slot);
		return;
	}
	thread = thread_of(pid_tgid);
	if (!thread)
		return;
	if (pulse_turn(thread))
		begun_ns = pulse_begin(p->slot, HT_PULSE_FREE);
	if (p->interval_log2)
		free_sampled(p, address);
	else
		free_exactly(p, thread, address);
	if (begun_ns)
		pulse_end(p->slot, HT_PULSE_FREE, begun_ns);
}

#endif
