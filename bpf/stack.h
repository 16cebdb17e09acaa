/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * stack_capture(): from registers at a function's entry to module-relative frames. It never sees a
 * program's context, so that every kind of program can use it.
 *
 * The caller is read at sp, where it stands at entry whatever the code was compiled with; outer frames
 * by the rules of the code in between, and where it has none by frame pointers. A step is believed only
 * if it leads up the stack to a return address in executable memory.
 */
#ifndef HEAPTAP_BPF_STACK_H
#define HEAPTAP_BPF_STACK_H

#include "nesting.h"
#include "unwind.h"

/* The return address that a pending return probe replaced in the stack slot at `stack`, or 0. */
__noinline u64 replaced_return_address(u64 stack)
{
	struct uprobe_task *utask = current_task()->utask;
	struct return_instance *ri;

	if (!utask)
		return 0;
	ri = utask->return_instances;
	for (u32 i = 0; i < RETURN_DEPTH; i++) {
		if (!ri)
			break;
		if (ri->stack == stack)
			return ri->orig_ret_vaddr;
		ri = ri->next;
	}
	return 0;
}

/*
 * The first entry of the set of a return address. Of 50 frames in 256 sets some ten share one: two ways,
 * or each of them costs a search at each event.
 */
static __always_inline u32 pc_set(u64 pc)
{
	return (pc * 2 ^ pc >> 7) & (HT_PC_ENTRIES - 2);
}

#define PC_START HT_PC_ENTRIES /* what "follows" it is a walk's first entry */

static __always_inline struct ht_pc_entry *pc_entry(struct ht_scratch *s, u32 index)
{
	return &s->pc_cache[index & (HT_PC_ENTRIES - 1)];
}

static __always_inline int pc_is(const struct ht_pc_entry *e, u64 pc, u64 space)
{
	u64 differs = (e->pc ^ pc) | (e->space ^ space);

	asm volatile(
		""
		: "+r"(differs)); /* else clang makes it two branches, and paths, of the walk's loop */
	return !differs;
}

static __always_inline u64 pc_space(const struct ht_process *p)
{
	return (u64)p->slot << 32 | p->generation;
}

#define HASH_FACTOR 0x9e3779b97f4a7c15ULL

static __always_inline u64 hash_frame(u64 hash, u64 frame)
{
	hash = (hash ^ frame) * HASH_FACTOR;
	return hash ^ hash >> 32;
}

/* No entry of the cache has it: code that a signal interrupted is looked up anew. */
#define SPACE_NONE (~0ULL)

/*
 * Marks the spaces of walks that begin at an instruction that faulted: its frame is another one than that of a
 * call, and no call has its address, for each is longer than a byte.
 */
#define SPACE_FAULT (1ULL << 63)

static __always_inline u64 frame_in_range(
	const struct ht_range *r, enum ht_frame_tag tag, u64 pc, u32 slot)
{
	u64 offset = pc - r->bias;

	if (r->module == HT_MODULE_NONE || offset > HT_FRAME_OFFSET_MAX)
		return ht_frame_raw(slot, pc);
	return ht_frame_native(tag, r->module, offset);
}

/*
 * Some C libraries leave the code that ends a signal handler without rows: it is told by what it does,
 * mov $__NR_rt_sigreturn, %rax; syscall.
 */
static __always_inline int is_signal_return(u64 pc)
{
	u8 code[9] = {};

	if (bpf_probe_read_user(code, sizeof(code), (void *)pc))
		return 0;
	return code[0] == 0x48 && code[1] == 0xc7 && code[2] == 0xc0 && code[3] == 0x0f &&
	       !code[4] && !code[5] && !code[6] && code[7] == 0x0f && code[8] == 0x05;
}

/* The rule of code that has a mapping; `pc` is in the call, or interrupted code itself. */
static __always_inline u64 rule_in_range(const struct ht_range *r, u64 pc, int called)
{
	u64 rule = r->table ? rule_of_address(r->table, pc - r->bias) : HT_CFA_NONE;

	if (ht_rule_kind(rule) == HT_CFA_SP && !is_quick(rule))
		rule = (rule & ~HT_RULE_KIND) | HT_CFA_SP_SLOW;
	if (rule)
		return rule;
	if (called && is_signal_return(pc + 1))
		return ht_rule(HT_CFA_SIGNAL, 0, 0, 0, 0);
	return HT_RULE_FRAME_POINTER | HT_RULE_FALLBACK |
	       (r->flags & HT_RANGE_ROOT ? HT_RULE_ROOT : 0);
}

static __always_inline int is_call(const struct ht_scratch *s, int called)
{
	return called && !(s->space & SPACE_FAULT && s->walk.sp == s->fault_sp);
}

/*
 * The frame of the walk's pc, when the cache does not have it, and its rule in s->rule: 0 when it is no
 * code. Global, scalars only.
 */
__noinline u64 frame_slowly(u32 scratch_index, u32 slot)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch_index);
	struct ht_process *p = bpf_map_lookup_elem(&processes, &slot);
	struct ht_pc_entry *set;
	struct ht_range *r;
	u64 pc, frame, rule;
	u32 index;
	int called, replaced = 0;

	if (!s || !p)
		return 0;
	called = s->space != SPACE_NONE;
	pc = s->walk.pc - called;
	index = range_of_pc(pc, slot);
	if (index == RANGE_NONE) {
		/* The trampoline of a pending return probe is in no mapping that the loader lists. */
		pc = replaced_return_address(s->walk.sp - sizeof(u64));
		if (!pc)
			return 0;
		s->walk.pc = pc--;
		index = range_of_pc(pc, slot);
		replaced = 1;
	}
	r = bpf_map_lookup_elem(&ranges, &index);
	if (!r)
		return 0;
	rule = rule_in_range(r, pc, called);
	/* Nobody called the code that ends a signal handler: the kernel made it the return address. */
	if (ht_rule_kind(rule) == HT_CFA_SIGNAL)
		frame = frame_in_range(r, HT_FRAME_PC, s->walk.pc, slot);
	else
		frame = frame_in_range(
			r, is_call(s, called) ? HT_FRAME_CALL : HT_FRAME_PC, pc, slot);
	s->rule = rule;
	if (!called)
		s->space = s->walk_space;
	else if (!replaced) { /* else true of this slot of the stack only */
		set = pc_entry(s, pc_set(s->walk.pc));
		*pc_entry(s, pc_set(s->walk.pc) + 1) = *set;
		*set = (struct ht_pc_entry){
			.pc = s->walk.pc, .frame = frame, .space = s->space, .rule = rule
		};
	}
	return frame;
}

/*
 * The frame of the walk's pc, which is not in the entry that was guessed after the one at `before`, and its
 * rule in s->rule, its entry in s->pc_at: 0 when it is no code. Out of line, for the verifier follows each
 * path through a step again at every frame. Global, scalars only.
 */
__noinline u64 frame_unguessed(u32 scratch_index, u32 slot, u32 before)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch_index);
	struct ht_pc_entry *e;
	u32 at;

	if (!s)
		return 0;
	at = pc_set(s->walk.pc);
	e = pc_entry(s, at);
	if (!pc_is(e, s->walk.pc, s->space)) {
		e = pc_entry(s, at + 1);
		at += pc_is(e, s->walk.pc, s->space);
	}
	s->pc_at = at;
	s->pc_next[before & (2 * HT_PC_ENTRIES - 1)] = at;
	if (!pc_is(e, s->walk.pc, s->space))
		return frame_slowly(scratch_index, slot);
	s->rule = e->rule;
	return e->frame;
}

/* Counts a walk that is not whole, or not by rows alone. Global, scalars only. */
__noinline int walk_told(u32 scratch_index, u32 slot, int end)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch_index);

	if (!s)
		return 0;
	if (s->seen & HT_RULE_FALLBACK)
		count_unwind(slot, HT_UNWIND_FALLBACK);
	if (end == HT_STEP_ROOT)
		return 0;
	/*
	 * A C library without rows: main's caller, unless it stands alone, a function of it that keeps no
	 * frame pointer.
	 */
	if (end == HT_UNWIND_NO_ROWS && s->rule & HT_RULE_ROOT && s->frame_count > 1)
		return 0;
	if (!s->frame_count) {
		/* That there is a caller is certain, so it is kept even where no mapping is known yet. */
		s->frames[0] = ht_frame_raw(slot, s->walk.pc - 1);
		s->hash = hash_frame(0, s->frames[0]);
		s->frame_count = 1;
	}
	s->flags =
		end == HT_UNWIND_DEPTH ? HT_STACK_DEPTH | HT_STACK_TRUNCATED : HT_STACK_TRUNCATED;
	count_unwind(slot, end);
	return 0;
}

/* See bpf/growth.bpf.c; where calls are counted it costs one in a hundred ns. */
#ifndef JUMP_BACK
#define JUMP_BACK
#endif

/*
 * Walks from s->walk on, whose pc is a return address, and leaves frames, their count and hash. Returns
 * HT_STEP_ROOT, or the enum ht_unwind for which the stack ends before it. What each frame needs is kept
 * in registers: through memory the steps would wait for each other. For the same reason the cache's entry
 * of a frame is guessed from the one before: its rule is at hand before its pc has been read.
 */
static __always_inline int walk(struct ht_scratch *s, u32 scratch_index, u32 process)
{
	u64 pc = s->walk.pc, slot = s->walk.sp - sizeof(u64), hash = 0, frame, rule;
	int end = HT_STEP_CALLED;
	u32 i = 0, at = PC_START;

	while (i < HT_MAX_FRAMES) {
		u32 before = at & (2 * HT_PC_ENTRIES - 1);
		const struct ht_pc_entry *e = pc_entry(s, at = s->pc_next[before]);

		if (pc_is(e, pc, s->space)) {
			frame = e->frame;
			rule = e->rule;
		} else {
			s->walk.pc = pc;
			s->walk.sp = slot + sizeof(u64);
			frame = frame_unguessed(scratch_index, process, before);
			pc = s->walk.pc;
			rule = s->rule;
			at = s->pc_at;
			if (!frame) {
				end = HT_UNWIND_NO_CODE;
				break;
			}
		}
		s->frames[i++] = frame;
		asm volatile("" : "+r"(i)); /* else clang counts in a second variable, in memory */
		hash = (hash ^ frame) * HASH_FACTOR;
		if (step_quickly(s, rule, &pc, &slot)) {
			JUMP_BACK;
			continue;
		}
		s->walk.pc = pc;
		s->walk.sp = slot + sizeof(u64);
		s->rule = rule;
		end = step_slowly(scratch_index);
		pc = s->walk.pc;
		slot = s->walk.sp - sizeof(u64);
		if (end == HT_STEP_INTERRUPTED) {
			s->space = SPACE_NONE;
			s->end = 0; /* the stack may be another one */
		} else if (end != HT_STEP_CALLED) {
			break;
		}
		end = HT_STEP_CALLED;
	}
	s->walk.sp = slot + sizeof(u64);
	s->frame_count = i;
	s->hash = hash ^ hash >> 32;
	return end == HT_STEP_CALLED ? HT_UNWIND_DEPTH : end;
}

/* Walks from the code at s->walk.pc, whose stack begins at sp; s->space and the pc are set. */
static __always_inline void walk_from(
	struct ht_scratch *s, u32 scratch_index, u32 slot, u64 sp, const struct ht_regs *regs)
{
	u32 count;
	int end;

	s->walk.bp = regs->bp;
	s->walk.bp_at = 0;
	s->walk.bx = regs->bx;
	s->walk.bx_at = 0;
	s->walk.interrupted_sp = 0;
	s->seen = 0;
	if (knobs.truth_every)
		s->regs = *regs;
	end = walk(s, scratch_index, slot);
	s->flags = 0;
	if (end != HT_STEP_ROOT || s->seen & HT_RULE_FALLBACK)
		walk_told(scratch_index, slot, end);
	/* Read back: the verifier would follow the rest once for each count that it knows. */
	count = *(volatile u32 *)&s->frame_count;
	learn_extent(s, s->walk.sp - sp);
	/* Stacks are stored and compared in whole chunks. */
#pragma unroll
	for (u32 k = 0; k < HT_CHUNK_FRAMES; k++)
		s->frames[(count & HT_MAX_FRAMES) + k] = 0;
}

/*
 * Captures the stack above a function that is about to run, into the scratch buffer: frames,
 * frame_count, hash, flags. regs->sp is where its return address is. 0, or -1 when not even the caller
 * can be read.
 */
static __always_inline int stack_capture(
	struct ht_scratch *s, u32 scratch_index, u32 slot, const struct ht_regs *regs)
{
	struct ht_process *p = bpf_map_lookup_elem(&processes, &slot);
	u64 sp = regs->sp;

	if (!p || window_read(s, scratch_index, sp, s->extent + HT_STACK_SLACK))
		return -1;
	s->space = s->walk_space = pc_space(p);
	s->walk.pc = window_word(s, sp);
	s->walk.sp = sp + sizeof(u64);
	walk_from(s, scratch_index, slot, sp, regs);
	return 0;
}

/*
 * The same for a thread that entered the kernel at regs->pc: by a system call, whose instruction is the
 * one before, or, `faulted`, by an exception at that instruction. The page of its stack pointer may be
 * the very one that is being made.
 */
static __always_inline int stack_capture_entered(
	struct ht_scratch *s, u32 scratch_index, u32 slot, const struct ht_regs *regs, int faulted)
{
	struct ht_process *p = bpf_map_lookup_elem(&processes, &slot);
	u64 sp = regs->sp;

	if (!p)
		return -1;
	/* Without it each word is read where it is needed. */
	window_read(s, scratch_index, sp, s->extent + HT_STACK_SLACK);
	s->space = s->walk_space = pc_space(p);
	s->walk.pc = regs->pc;
	if (faulted) {
		/* As if called from there: the walk looks one byte before its pc. */
		s->space |= SPACE_FAULT;
		s->fault_sp = sp; /* no other frame has it */
		s->walk.pc++;
	}
	s->walk.sp = sp;
	walk_from(s, scratch_index, slot, sp, regs);
	return 0;
}

#endif
