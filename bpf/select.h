/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Which requests are followed: by size, thread, sampling and calling module, in the order of what
 * each costs. All of it comes before a stack is looked at, and of what is not followed nothing
 * remains: no count, and with sessions no return probe.
 */
#ifndef HEAPTAP_BPF_SELECT_H
#define HEAPTAP_BPF_SELECT_H

#include "intern.h"

static __always_inline int reallocates(u32 role)
{
	return role == HT_ROLE_REALLOC || role == HT_ROLE_REALLOCARRAY;
}

/* --- calls inside a call that was not followed ----------------------------------------------- */

/*
 * A call that is followed leaves a pending return, by which the calls inside it are known. One that
 * is not followed leaves none: were the malloc inside realloc(NULL, n) a request of its own, it would
 * be drawn twice. So such a call is remembered, unless it is malloc, which calls no other: a later call
 * of the same thread belongs to it when it was called from within that function's code, or was
 * jumped to: from the same place of the stack, with the same return address, and another function.
 *
 * What is remembered is dropped at the first call that does not belong. Threads whose ids collide may
 * drop each other's; then a call inside a call is drawn twice, once in a blue moon.
 */
#define DECLINED_CODE_BYTES 4096 /* no allocator function is longer, nor far from the next */

/* Global, scalars only. */
__noinline int in_declined(u32 place, u64 pc, u64 sp)
{
	struct ht_thread *t = bpf_map_lookup_elem(&threads, &place);
	u64 caller, depth;

	if (!t)
		return 0;
	depth = t->declined_sp - sp;
	if (!depth && pc != t->declined_pc && t->declined_return &&
		read_word(sp) == t->declined_return) {
		t->declined_inner_pc = pc;
		return 1;
	}
	if (depth && depth < NESTING_BYTES) {
		caller = read_word(sp);
		if (caller - t->declined_pc < DECLINED_CODE_BYTES ||
			caller - t->declined_inner_pc < DECLINED_CODE_BYTES) {
			t->declined_inner_pc = pc;
			return 1;
		}
	}
	t->declined_sp = 0;
	return 0;
}

/* Functions that may end in a jump to another one: realloc(NULL, n) to malloc, memalign to aligned_alloc. */
static __always_inline int may_jump(u32 role, u64 argument)
{
	return role == HT_ROLE_ALIGNED || role == HT_ROLE_REALLOCARRAY ||
	       (role == HT_ROLE_REALLOC && !argument);
}

static __always_inline void remember_declined(
	struct ht_thread *t, u32 role, u64 argument, const struct ht_regs *regs)
{
	if (role == HT_ROLE_MALLOC)
		return;
	t->declined_pc = t->declined_inner_pc = regs->pc;
	t->declined_return = may_jump(role, argument) ? read_word(regs->sp) : 0;
	t->declined_sp = regs->sp;
}

/* --- conditions ------------------------------------------------------------------------------ */

/* The end of a draw that did not pass, rare and long. Global, scalars only. */
__noinline int sample_point(u32 place, u64 ticks, u64 before)
{
	struct ht_thread *t = bpf_map_lookup_elem(&threads, &place);
	u64 random = (u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();

	return t && ht_sample_point(&t->sample_left, ticks, before, random);
}

static __always_inline int is_sampled(struct ht_thread *t, u32 place, u64 bytes, u32 interval_log2)
{
	u64 ticks = ht_ticks(bytes, interval_log2);
	s64 before;

	return !ht_sample_passes(&t->sample_left, ticks, &before) &&
	       sample_point(place, ticks, before);
}

/* Global, scalars only. */
__noinline int is_called_from(u32 slot, u32 module, u64 sp)
{
	u32 index = range_of_pc(read_word(sp) - 1, slot);
	struct ht_range *r = bpf_map_lookup_elem(&ranges, &index);

	return r && r->module == module;
}

/* The interval of a request that is followed, or HT_NOT_FOLLOWED. `nests`: see in_declined(). */
static __always_inline u32 select_among(struct ht_process *p, u64 pid_tgid, u32 role, u64 bytes,
	u64 argument, const struct ht_regs *regs, int nests)
{
	u32 place = (u32)pid_tgid & (HT_THREAD_SLOTS - 1), interval = p->interval_log2;
	struct ht_thread *t = bpf_map_lookup_elem(&threads, &place);
	u64 begun_ns = 0;

	if (!t)
		return HT_NOT_FOLLOWED;
	if (pulse_turn(t))
		begun_ns = pulse_begin(p->slot, HT_PULSE_ALLOC);
	if (nests && t->declined_sp && in_declined(place, regs->pc, regs->sp)) {
		if (begun_ns)
			pulse_end(p->slot, HT_PULSE_ALLOC, begun_ns);
		return HT_NOT_FOLLOWED;
	}
	if (bytes >= p->min_bytes && bytes <= p->max_bytes &&
		(!p->thread || p->thread == (u32)pid_tgid) &&
		(!interval || is_sampled(t, place, bytes, interval)) &&
		(!p->module || is_called_from(p->slot, p->module - 1, regs->sp))) {
		if (begun_ns)
			pulse_hand_over(p->slot, begun_ns);
		return interval;
	}
	if (nests)
		remember_declined(t, role, argument, regs);
	if (begun_ns)
		pulse_end(p->slot, HT_PULSE_ALLOC, begun_ns);
	return HT_NOT_FOLLOWED;
}

/* Timed are the entries here, for of those that are not followed nothing more comes. */
static __always_inline u32 select_request(struct ht_process *p, u64 pid_tgid, u32 role, u64 bytes,
	u64 argument, const struct ht_regs *regs, int nests)
{
	return p->selective ? select_among(p, pid_tgid, role, bytes, argument, regs, nests) : 0;
}

/*
 * Must a call be followed whose new block is not: may its old block be one of ours? Where the table
 * has spilled the answer is yes without looking further; the call then ends without a count.
 */
static __always_inline int holds_old_block(u32 slot, u32 role, u64 argument)
{
	return reallocates(role) && argument && live_may_hold(ht_key(slot, argument));
}

#endif
