/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Only the outermost allocator call of a thread counts: realloc(NULL, n) jumps to malloc,
 * reallocarray calls realloc through the PLT, musl's aligned_alloc calls malloc.
 *
 * The kernel already keeps what is needed: every pending return probe of a thread is an entry of
 * current->utask->return_instances, innermost first, with the function's probed address (func), the
 * stack slot of its return address (stack) and the address it replaced (orig_ret_vaddr). Entries of
 * calls that were left by longjmp stay in that list, and a signal handler may run in the middle of
 * an allocator: neither makes a call nested.
 */
#ifndef HEAPTAP_BPF_NESTING_H
#define HEAPTAP_BPF_NESTING_H

#include "process.h"
#include "ranges.h"
#include "scratch.h"

#define RETURN_DEPTH 64 /* the kernel's own limit of pending return probes a thread */

/*
 * Allocators use little stack of their own. A pending call further away than this is one that a
 * signal handler interrupted, or a stale entry below another stack (coroutines).
 */
#define NESTING_BYTES 65536

/*
 * No signal frame fits between two calls closer than this: ucontext and siginfo alone take 440
 * bytes.
 */
#define SIGNAL_FRAME_BYTES 440

static __always_inline u64 read_word(u64 address)
{
	u64 word = 0;

	bpf_probe_read_user(&word, sizeof(word), (void *)address);
	return word;
}

static __always_inline u64 trampoline_address(struct task_struct *task)
{
	struct xol_area *area = task->mm->uprobes_state.xol_area;

	return area ? area->vaddr : 0;
}

/* struct rt_sigframe of x86-64 (arch/x86/include/asm/sigframe.h), in words from its pretcode. */
#define SIGFRAME_UC_FLAGS  1
#define SIGFRAME_UC_LINK   2
#define SIGFRAME_SP	   21
#define SIGFRAME_CS	   24
#define SIGFRAME_WORDS	   25
#define SIGFRAME_UC_KNOWN  7 /* UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS */
#define SIGFRAME_USER_CS   0x33
#define SIGFRAME_SCAN_STEP 512

/*
 * Does a signal frame begin in the SIGFRAME_SCAN_STEP bytes from base on, whose interrupted code
 * ran at or below limit? Told by its contents, not by the restorer's address, which differs by C
 * library.
 */
__noinline int signal_frame_at(u32 scratch_index, u64 base, u64 limit)
{
	struct ht_scratch *scratch = bpf_map_lookup_elem(&scratches, &scratch_index);
	u64 *words;

	if (!scratch)
		return 0;
	words = (u64 *)scratch->stack;
	if (bpf_probe_read_user(words, SIGFRAME_SCAN_STEP + SIGFRAME_WORDS * 8, (void *)base))
		return 0;
	for (u32 i = 0; i < SIGFRAME_SCAN_STEP / 8; i++) {
		u64 interrupted = words[i + SIGFRAME_SP], at = base + i * 8;
		u64 flags = words[i + SIGFRAME_UC_FLAGS];

		if (flags && flags <= SIGFRAME_UC_KNOWN && !words[i + SIGFRAME_UC_LINK] &&
			(words[i + SIGFRAME_CS] & 0xffff) == SIGFRAME_USER_CS && interrupted > at &&
			interrupted <= limit)
			return 1;
	}
	return 0;
}

__noinline int signal_frame_between(u64 sp, u64 limit)
{
	u32 scratch = scratch_claim();
	int found = 0;

	if (scratch == SCRATCH_NONE)
		return 0;
	for (u32 step = 0; step < NESTING_BYTES / SIGFRAME_SCAN_STEP; step++) {
		u64 base = sp + step * SIGFRAME_SCAN_STEP;

		if (base >= limit)
			break;
		found = signal_frame_at(scratch, base, limit);
		if (found)
			break;
	}
	scratch_release(scratch);
	return found;
}

static __always_inline int on_signal_stack(struct task_struct *task, u64 address)
{
	return address - task->sas_ss_sp <= task->sas_ss_size;
}

struct ht_text {
	u64 start, end;
};

/* About the size of a C library: what counts as its code while the mappings are not known. */
#define UNKNOWN_TEXT_BYTES (2 << 20)

/*
 * Is this the address of a planned function, and which mapping holds it? While a program starts, its
 * mappings are not known yet: then every pending return counts as ours. Global, scalars only.
 */
__noinline u64 planned_range(u64 func, u32 slot)
{
	u32 index = range_of_pc(func, slot);
	struct ht_range *r = bpf_map_lookup_elem(&ranges, &index);
	struct ht_planned key = {};

	if (!r)
		return RANGE_NONE;
	key.address = func - r->bias;
	key.module = r->module;
	return bpf_map_lookup_elem(&planned, &key) ? index : RANGE_NONE;
}

static __always_inline int planned_text(u64 func, u32 slot, struct ht_text *text)
{
	struct ht_process *p = bpf_map_lookup_elem(&processes, &slot);
	u32 index = planned_range(func, slot);
	struct ht_range *r = bpf_map_lookup_elem(&ranges, &index);

	if (r) {
		text->start = r->start;
		text->end = r->end;
		return 1;
	}
	text->start = func - UNKNOWN_TEXT_BYTES;
	text->end = func + UNKNOWN_TEXT_BYTES;
	return p && !p->ranges;
}

/*
 * Is the call at sp made on behalf of the one whose return is pending at `stack`, and not by a program
 * that left that one by longjmp? The trampoline may still stand in a slot that is left: but then the
 * caller is, as before, the program, and neither the allocator nor a library that helps it.
 */
static __always_inline int called_by(
	u32 slot, u64 sp, u64 stack, u64 trampoline, u64 outer_return, const struct ht_text *outer)
{
	u64 caller = read_word(sp);

	/* A jump from one probed function to another leaves the slot with the trampoline in it. */
	if (stack == sp)
		return caller == trampoline;
	if (read_word(stack) != trampoline)
		return 0;
	if (caller - outer->start < outer->end - outer->start)
		return 1;
	return range_of_pc(caller - 1, slot) != range_of_pc(outer_return - 1, slot);
}

#define NESTED_BELOW 1 /* in an allocator call further up the stack */
#define NESTED_HERE  2 /* in one that jumped here: both have one place for the return address */

/*
 * Is the call at sp part of a pending allocator call? 0 or NESTED_*. Global, with scalars only:
 * verified once, and off the path of a call that has nothing pending.
 */
__noinline int nested_slow(u32 slot, u64 sp)
{
	struct task_struct *task = current_task();
	struct return_instance *ri = task->utask->return_instances;
	u64 trampoline = trampoline_address(task);

	for (u32 i = 0; i < RETURN_DEPTH; i++) {
		u64 stack, outer_return, func;
		struct ht_text outer;

		if (!ri)
			return 0;
		stack = ri->stack;
		func = ri->func;
		outer_return = ri->orig_ret_vaddr;
		ri = ri->next;
		if (stack < sp || stack - sp > NESTING_BYTES)
			continue;
		if (!planned_text(func, slot, &outer) ||
			!called_by(slot, sp, stack, trampoline, outer_return, &outer))
			continue;
		if (stack == sp)
			return NESTED_HERE;
		if (task->sas_ss_size && on_signal_stack(task, sp) && !on_signal_stack(task, stack))
			return 0;
		return stack - sp < SIGNAL_FRAME_BYTES || !signal_frame_between(sp, stack);
	}
	return 0;
}

/* Without any there is no allocator call that this one could be part of: nearly always. */
static __always_inline int has_pending_returns(void)
{
	struct task_struct *task = current_task();

	return task->utask && task->utask->return_instances;
}

#endif
