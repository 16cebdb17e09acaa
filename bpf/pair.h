/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Entry and return as two programs, where the kernel has no sessions. Nothing travels from one to
 * the other by itself: every call leaves a record in `calls`, under its thread and the place of its
 * return address. And the kernel runs the return program after each call, also after those that
 * were not followed, so that
 *
 *   a return without a record is none of ours,
 *   a return with one ends the call by the record's role, not by its own: realloc(NULL, n) jumps to
 *     malloc, so that two functions return at once, and either may be told first,
 *   a call that is not followed takes away what a call that never returned left at its place.
 *
 * When the table is full the return will find nothing: such a call counts at its entry, as a block
 * that was allocated and lost.
 */
#ifndef HEAPTAP_BPF_PAIR_H
#define HEAPTAP_BPF_PAIR_H

#include "programs.h"

/* Whoever called at sp is not followed: a record that stands there is another call's. */
__noinline int call_forget(u32 slot, u64 sp)
{
	struct ht_process *p = bpf_map_lookup_elem(&processes, &slot);
	struct ht_process_counters *counters = counters_of_slot(slot);
	struct ht_call_key key = { .pid_tgid = current_pid_tgid(), .sp = sp };
	struct ht_call *stale = bpf_map_lookup_elem(&calls, &key);

	if (!p || !counters || !stale)
		return 0;
	abandon(p, counters, stale);
	bpf_map_delete_elem(&calls, &key);
	return 0;
}

static __always_inline int nesting_of(u32 slot, u64 sp)
{
	return has_pending_returns() ? nested_slow(slot, sp) : 0;
}

/* A call that is not followed. One that was jumped to shares its place with a call that may be. */
static __always_inline void pair_pass(u32 slot, u64 sp, int nesting)
{
	if (nesting != NESTED_HERE)
		call_forget(slot, sp);
}

static __always_inline void count_unrecorded(
	struct ht_process_counters *counters, const struct ht_block *block, u64 bytes)
{
	/* No address space holds it: this one fails. */
	if (bytes >> HT_ADDRESS_BITS) {
		count_failure(block->site);
		return;
	}
	count_lost(counters, HT_LOST_IN_FLIGHT_FULL, block);
	count_allocation(block);
}

static __always_inline void pair_begin(struct pt_regs *ctx, u32 role)
{
	struct ht_regs regs = { .pc = ctx->ip, .sp = ctx->sp, .bp = ctx->bp, .bx = ctx->bx };
	struct ht_arguments a = { .di = ctx->di, .si = ctx->si, .dx = ctx->dx };
	u64 pid_tgid = current_pid_tgid(), bytes;
	u32 *slot = slot_of_tgid(pid_tgid >> 32), site, interval;
	struct ht_process_counters *counters;
	struct ht_block block = {};
	struct ht_process *p;
	int nesting;

	if (!slot)
		return;
	p = current_process(pid_tgid);
	/* The other link's program looks after what stands at this place. */
	if (p && !is_accepted(ctx, p))
		return;
	nesting = nesting_of(*slot, regs.sp);
	if (!p || nesting) {
		if (p)
			pulse_idle(p->slot);
		pair_pass(*slot, regs.sp, nesting);
		return;
	}
	bytes = requested_bytes(role, &a);
	/* The kernel has a return pending for every call: no need to remember those not followed. */
	interval = select_request(p, pid_tgid, role, bytes, a.di, &regs, 0);
	if (interval == HT_NOT_FOLLOWED && !holds_old_block(p->slot, role, a.di)) {
		pair_pass(*slot, regs.sp, nesting);
		return;
	}
	counters = counters_of_slot(p->slot);
	if (!counters)
		return;
	if (!p->selective && pulse_due((u32)counters->started))
		pulse_mark(p->slot, HT_PULSE_ALLOC);
	site = interval == HT_NOT_FOLLOWED ? p->slot : site_of_caller(&regs, p);
	add(&counters->started, 1);
	if (call_begin(p->slot | interval << 16, role << 26 | site, bytes, a.di, regs.sp))
		goto out;
	if (interval == HT_NOT_FOLLOWED) {
		count_uncounted(counters);
		goto out;
	}
	block.size = bytes;
	block.interval = interval;
	block.site = site;
	count_unrecorded(counters, &block, bytes);
out:
	if (knobs.timed && counters->timing_ns)
		pulse_mark_end(p->slot, HT_PULSE_ALLOC);
}

/* Global, scalars only: the return of a call of a traced process. */
__noinline int pair_return(u64 sp, u64 result)
{
	struct ht_call_key key = { .pid_tgid = current_pid_tgid(), .sp = sp };
	struct ht_process_counters *counters;
	struct ht_call *record, call;
	struct ht_process *p;
	struct ht_site *site;
	u32 id, slot;

	record = bpf_map_lookup_elem(&calls, &key);
	if (!record)
		return 0;
	call = *record;
	bpf_map_delete_elem(&calls, &key);
	id = call.site;
	site = bpf_map_lookup_elem(&sites, &id);
	if (!site)
		return 0;
	slot = site->slot;
	p = bpf_map_lookup_elem(&processes, &slot);
	counters = counters_of_slot(slot);
	if (p && counters)
		call_finish(p, counters, &call, call.role, 1, result);
	return 0;
}

static __always_inline void pair_end(struct pt_regs *ctx)
{
	u64 pid_tgid = current_pid_tgid(), begun_ns = 0;
	u32 *slot = slot_of_tgid(pid_tgid >> 32);
	struct ht_thread *thread = thread_of(pid_tgid);

	if (!slot || !thread)
		return;
	if (pulse_turn(thread))
		begun_ns = pulse_begin(*slot, HT_PULSE_RETURN);
	/* The return popped its address: sp at entry was one word below. */
	pair_return(ctx->sp - sizeof(u64), ctx->ax);
	if (begun_ns)
		pulse_end(*slot, HT_PULSE_RETURN, begun_ns);
}

#endif
