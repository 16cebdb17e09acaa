/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Sessions: one program at entry and return, with eight bytes between the two. malloc and its like
 * put size and site into that cookie; realloc and posix_memalign also leave a record in `calls`.
 */
#ifndef HEAPTAP_BPF_SESSION_H
#define HEAPTAP_BPF_SESSION_H

#include "programs.h"

/*
 * The return of a call that call_begin() saw. Without its record only the cookie's size and site
 * are left. Global and scalars only: verified once.
 */
__noinline int call_end(u32 slot_interval, u32 role_site, u64 cookie_size, u64 result, u64 sp)
{
	u32 slot = slot_interval & 0xffff;
	struct ht_process *p = bpf_map_lookup_elem(&processes, &slot);
	struct ht_process_counters *counters = counters_of_slot(slot);
	struct ht_call_key key = { .pid_tgid = current_pid_tgid(), .sp = sp };
	struct ht_call *record = bpf_map_lookup_elem(&calls, &key), call = {};
	int recorded = record != NULL;

	if (!p || !counters)
		return 0;
	if (record) {
		call = *record;
		bpf_map_delete_elem(&calls, &key);
	} else {
		call.size = cookie_size;
		call.site = role_site & ((1U << 26) - 1);
		call.birth = birth_now();
		call.interval = slot_interval >> 16;
	}
	call_finish(p, counters, &call, role_site >> 26, recorded, result);
	return 0;
}

/* Returns the cookie that the call's return will be given; 0: its return is not wanted. */
static __always_inline u64 allocation_begin(struct pt_regs *ctx)
{
	struct ht_regs regs = { .pc = ctx->ip, .sp = ctx->sp, .bp = ctx->bp, .bx = ctx->bx };
	struct ht_arguments a = { .di = ctx->di, .si = ctx->si, .dx = ctx->dx };
	u64 pid_tgid = current_pid_tgid(), bytes, recorded = 0;
	struct ht_process *p = current_process(pid_tgid);
	struct ht_process_counters *counters;
	u32 site, role, interval;

	if (!p || !is_accepted(ctx, p))
		return 0;
	if (has_pending_returns() && nested_slow(p->slot, regs.sp)) {
		pulse_idle(p->slot);
		return 0;
	}
	role = bpf_get_attach_cookie(ctx) & 0xff;
	bytes = requested_bytes(role, &a);
	interval = select_request(p, pid_tgid, role, bytes, a.di, &regs, 1);
	if (interval == HT_NOT_FOLLOWED && !holds_old_block(p->slot, role, a.di))
		return 0;
	counters = counters_of_slot(p->slot);
	if (!counters)
		return 0;
	/* In exact mode by the calls that were let through, which is all of them. */
	if (!p->selective && pulse_due((u32)counters->started))
		pulse_mark(p->slot, HT_PULSE_ALLOC);
	site = interval == HT_NOT_FOLLOWED ? p->slot : site_of_caller(&regs, p);
	/* Asked for again: else the verifier follows the walk once for each role that it knows. */
	role = bpf_get_attach_cookie(ctx) & 0xff;
	if (reallocates(role) || role == HT_ROLE_POSIX_MEMALIGN || bytes > HT_COOKIE_SIZE_MAX) {
		call_begin(p->slot | interval << 16, role << 26 | site, bytes, a.di, regs.sp);
		if (bytes > HT_COOKIE_SIZE_MAX)
			bytes = HT_COOKIE_SIZE_MAX;
		recorded = HT_COOKIE_RECORDED;
	}
	add(&counters->started, 1);
	if (knobs.timed && counters->timing_ns)
		pulse_mark_end(p->slot, HT_PULSE_ALLOC);
	return HT_COOKIE_SET | recorded | (u64)site << HT_COOKIE_SITE_SHIFT |
	       (u64)interval << HT_COOKIE_SIZE_BITS | bytes;
}

static __always_inline void allocation_end(struct pt_regs *ctx, u64 cookie)
{
	/* The return popped its address: sp at entry was one word below. */
	u64 result = ctx->ax, sp = ctx->sp - sizeof(u64);
	u32 site_id = cookie >> HT_COOKIE_SITE_SHIFT & HT_COOKIE_SITE_MASK, slot;
	u32 interval = cookie >> HT_COOKIE_SIZE_BITS & HT_COOKIE_INTERVAL_MASK;
	u64 bytes = cookie & HT_COOKIE_SIZE_MAX;
	struct ht_site *site = bpf_map_lookup_elem(&sites, &site_id);
	struct ht_process_counters *counters;
	struct ht_block block = {};
	struct ht_thread *thread;
	struct ht_process *p;
	u64 begun_ns = 0;

	if (!site)
		return;
	slot = site->slot;
	p = bpf_map_lookup_elem(&processes, &slot);
	counters = counters_of_slot(slot);
	thread = thread_of(current_pid_tgid());
	if (!p || !counters || !thread)
		return;
	if (pulse_turn(thread))
		begun_ns = pulse_begin(slot, HT_PULSE_RETURN);
	if (cookie & HT_COOKIE_RECORDED) {
		u32 role = bpf_get_attach_cookie(ctx) & 0xff;

		call_end(slot | interval << 16, role << 26 | site_id, bytes, result, sp);
		if (begun_ns)
			pulse_end(slot, HT_PULSE_RETURN, begun_ns);
		return;
	}
	block.size = bytes;
	block.interval = interval;
	block.site = site_id;
	block.birth = birth_now();
	plain_end(p, counters, &block, bytes, result);
	if (begun_ns)
		pulse_end(slot, HT_PULSE_RETURN, begun_ns);
}

/*
 * All of a session program. The kernel gives the entry a cookie of 0 (handler_chain() in
 * kernel/events/uprobes.c), and ours is never 0: that tells the two apart without another call.
 */
static __always_inline int session_run(struct pt_regs *ctx, u64 *cookie)
{
	if (*cookie) {
		allocation_end(ctx, *cookie);
		return 0;
	}
	*cookie = allocation_begin(ctx);
	return !*cookie; /* 1: no return probe for this call */
}

SEC("uprobe/release")
int release(struct pt_regs *ctx)
{
	free_begin(ctx);
	return 0;
}

#endif
