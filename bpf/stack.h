/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * stack_capture(): from registers at a function's entry to module-relative frames. It never sees a
 * program's context, so that every kind of program can use it.
 *
 * The caller is read at sp, where it stands at entry whatever the code was compiled with; outer
 * frames by the chain of frame pointers, believed only as long as each link leads up the stack to a
 * return address in executable memory.
 */
#ifndef HEAPTAP_BPF_STACK_H
#define HEAPTAP_BPF_STACK_H

#include "nesting.h"

struct ht_regs {
	u64 pc;
	u64 sp;
	u64 bp;
};

/* A saved frame pointer may lie this far above the frame before; more is not a stack. */
#define FRAME_BYTES_MAX (16ULL << 20)

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

/* Of 50 frames in 256 sets some ten share one: two ways, or each of them costs a search at each event. */
static __always_inline struct ht_pc_entry *pc_set(struct ht_scratch *s, u64 pc)
{
	return s->pc_cache[pc * 0x9e3779b97f4a7c15ULL >> 56 & (HT_PC_SETS - 1)];
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

static __always_inline u64 frame_in_range(const struct ht_range *r, u64 pc, u32 slot)
{
	u64 offset = pc - r->bias;

	if (r->module == HT_MODULE_NONE || offset > HT_FRAME_OFFSET_MAX)
		return ht_frame_raw(slot, pc);
	return ht_frame_native(HT_FRAME_CALL, r->module, offset);
}

/*
 * The frame of a return address found in the stack slot at `stack`, when the cache does not have
 * it: 0 when it is no code. Global, scalars only.
 */
__noinline u64 frame_of_return(u32 scratch_index, u32 slot, u64 address, u64 stack)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch_index);
	struct ht_process *p = bpf_map_lookup_elem(&processes, &slot);
	struct ht_pc_entry *set;
	struct ht_range *r;
	u64 pc = address - 1, frame;
	u32 index = range_of_pc(pc, slot);
	int replaced = 0;

	if (!s || !p)
		return 0;
	if (index == RANGE_NONE) {
		/* The trampoline of a pending return probe is in no mapping that the loader lists. */
		pc = replaced_return_address(stack) - 1;
		index = range_of_pc(pc, slot);
		replaced = 1;
	}
	r = bpf_map_lookup_elem(&ranges, &index);
	if (!r)
		return 0;
	frame = frame_in_range(r, pc, slot);
	s->root = r->flags & HT_RANGE_ROOT;
	if (replaced) /* true of this slot of the stack only */
		return frame;
	set = pc_set(s, pc);
	set[1] = set[0];
	set[0] = (struct ht_pc_entry){
		.pc = pc, .frame = frame, .space = pc_space(p), .root = s->root
	};
	return frame;
}

/*
 * Makes the user stack from base on available, up to `bytes` of it, at most a page: 0 or -1. A read
 * that runs into the page behind the stack costs a fault, five times the read: where that page
 * begins is remembered.
 */
static __always_inline int window_read(struct ht_scratch *s, u64 base, u32 bytes)
{
	u32 offset = base & (HT_STACK_BYTES - 1), rest = HT_STACK_BYTES - offset;

	if (bytes > HT_STACK_BYTES)
		bytes = HT_STACK_BYTES;
	s->base = base;
	if (bytes <= rest || base + rest != s->absent) {
		s->valid = bytes;
		if (!bpf_probe_read_user(s->stack + offset, bytes, (void *)base))
			return 0;
	}
	s->valid = rest;
	if (rest >= 2 * sizeof(u64) &&
		!bpf_probe_read_user(s->stack + offset, rest, (void *)base)) {
		s->absent = base + rest;
		return 0;
	}
	s->valid = 0;
	return -1;
}

/* The same for a frame that the first read does not reach. Global, scalars only. */
__noinline int window_move(u32 scratch_index, u64 base)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch_index);

	return s ? window_read(s, base, HT_STACK_BYTES) : -1;
}

/*
 * How much to read at first: what the last stacks of this CPU needed. Reading a page for a few
 * frames costs 30 ns and a quarter of the L1 cache; reading twice 90 ns.
 */
static __always_inline void learn_extent(struct ht_scratch *s, u64 used)
{
	if (used > s->extent)
		s->extent = used + HT_STACK_SLACK;
	else
		s->extent -= (s->extent - used) >> 6;
}

/*
 * The stack word at an address that the window holds; masked, not compared, to spare the verifier a
 * branch.
 */
static __always_inline u64 window_word(const struct ht_scratch *s, u64 address)
{
	u64 at = (s->base & (HT_STACK_BYTES - 1)) + (address - s->base);

	return *(const u64 *)(s->stack + (at & (sizeof(s->stack) - sizeof(u64))));
}

static __always_inline u64 hash_frame(u64 hash, u64 frame)
{
	hash = (hash ^ frame) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

static __always_inline u64 cached_frame(
	struct ht_scratch *s, u32 scratch_index, u32 slot, u64 space, u64 address, u64 stack)
{
	struct ht_pc_entry *set = pc_set(s, address - 1);

	if (pc_is(&set[0], address - 1, space)) {
		s->root = set[0].root;
		return set[0].frame;
	}
	if (pc_is(&set[1], address - 1, space)) {
		s->root = set[1].root;
		return set[1].frame;
	}
	return frame_of_return(scratch_index, slot, address, stack);
}

/*
 * Is there room for a frame record at bp, above the one before and not absurdly far? One
 * comparison.
 */
static __always_inline int plausible_frame(u64 bp, u64 floor)
{
	u64 above = bp - floor;

	/* Rotated, so that an unaligned distance becomes a huge one. */
	return (above >> 3 | above << 61) <= FRAME_BYTES_MAX >> 3;
}

/*
 * Captures the stack above a function whose first instruction is about to run, into the scratch
 * buffer: frames, frame_count, hash, flags. 0, or -1 when not even the caller can be read.
 */
static __always_inline int stack_capture(
	struct ht_scratch *s, u32 scratch_index, u32 slot, u64 sp, u64 bp)
{
	struct ht_process *p = bpf_map_lookup_elem(&processes, &slot);
	u64 caller, frame, hash, space;
	u32 count;

	if (!p || window_read(s, sp, s->extent + HT_STACK_SLACK))
		return -1;
	space = pc_space(p);
	caller = window_word(s, sp);
	s->root = 0;
	frame = cached_frame(s, scratch_index, slot, space, caller, sp);
	/* That there is a caller is certain, so it is kept even where no mapping is known yet. */
	if (!frame)
		frame = ht_frame_raw(slot, caller - 1);
	s->frames[0] = frame;
	hash = hash_frame(0, frame);
	s->floor = sp + sizeof(u64);
	s->bp = bp;
	s->frame_count = 1;
	for (u32 i = 1; i < HT_MAX_FRAMES; i++) {
		bp = s->bp;
		if (!plausible_frame(bp, s->floor))
			break;
		if (bp - s->base + 2 * sizeof(u64) > s->valid && window_move(scratch_index, bp))
			break;
		frame = cached_frame(s, scratch_index, slot, space, window_word(s, bp + 8), bp + 8);
		if (!frame)
			break;
		s->frames[i] = frame;
		s->frame_count = i + 1;
		hash = hash_frame(hash, frame);
		s->floor = bp + 2 * sizeof(u64);
		s->bp = window_word(s, bp);
	}
	/* Read back: the verifier would follow the rest once for each count that it knows. */
	count = *(volatile u32 *)&s->frame_count;
	learn_extent(s, s->floor - sp);
	s->hash = hash;
	s->flags = count == HT_MAX_FRAMES ? HT_STACK_DEPTH | HT_STACK_TRUNCATED : 0;
	/* A lone frame in the C library is a function of it that keeps no frame pointer, not the root. */
	if (s->bp && (!s->root || count == 1))
		s->flags = s->flags | HT_STACK_TRUNCATED;
		/* Stacks are stored and compared in whole chunks. */
#pragma unroll
	for (u32 k = 0; k < HT_CHUNK_FRAMES; k++)
		s->frames[(count & HT_MAX_FRAMES) + k] = 0;
	return 0;
}

#endif
