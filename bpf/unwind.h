/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/* The rules of code, found in the unwind tables, and the step over the window. */
#ifndef HEAPTAP_BPF_UNWIND_H
#define HEAPTAP_BPF_UNWIND_H

#include "process.h"
#include "window.h"

static __always_inline u32 unwind_word(u32 at)
{
	u32 segment = at / HT_UNWIND_SEGMENT_WORDS;
	u32 index = at % HT_UNWIND_SEGMENT_WORDS / HT_UNWIND_LINE_WORDS;
	void *inner = bpf_map_lookup_elem(&unwind_segments, &segment);
	struct ht_unwind_line *line = inner ? bpf_map_lookup_elem(inner, &index) : NULL;

	return line ? line->words[at % HT_UNWIND_LINE_WORDS] : 0;
}

#define BUCKET_STEPS (HT_BUCKET_SHIFT + 1) /* a bucket has at most a row a byte */

/*
 * The rule of code at an address of its module's own space; HT_CFA_NONE without one. Global, scalars
 * only: behind the pc cache.
 */
__noinline u64 rule_of_address(u32 table, u64 address)
{
	struct ht_unwind_table *t = bpf_map_lookup_elem(&unwind_tables, &table);
	u32 low, high, wanted, bucket, rule;
	u64 offset;

	if (!t)
		return HT_CFA_NONE;
	offset = address - t->text_start;
	if (offset >> HT_BUCKET_SHIFT >= t->bucket_count)
		return HT_CFA_NONE;
	bucket = t->buckets + (u32)(offset >> HT_BUCKET_SHIFT);
	low = t->rows + unwind_word(bucket);
	high = t->rows + unwind_word(bucket + 1);
	wanted = ht_row(offset & (HT_TEXT_BUCKET - 1), 0xffff);
	for (u32 step = 0; step < BUCKET_STEPS && high - low > 1; step++) {
		u32 middle = low + (high - low) / 2;

		if (unwind_word(middle) <= wanted)
			low = middle;
		else
			high = middle;
	}
	rule = t->rules + 2 * ht_row_rule(unwind_word(low));
	return unwind_word(rule) | (u64)unwind_word(rule + 1) << 32;
}

static __always_inline int read_stack_word(struct ht_scratch *s, u64 address, u64 *word)
{
	u64 base = address;

	if (!in_window(s, address)) {
		/* A register that was saved further down: no reason to move the window back. */
		if (address < s->walk.sp)
			return bpf_probe_read_user(word, sizeof(*word), (void *)address) ? -1 : 0;
		/* From the frame's start on: what it saves is read soon. */
		if (address - s->walk.sp < HT_PAGE_BYTES / 2)
			base = s->walk.sp & ~7ULL;
		if (window_read(s, s->index, base, HT_PAGE_BYTES) || !in_window(s, address))
			return -1;
	}
	*word = window_word(s, address);
	return 0;
}

#define ht_reader		       ht_scratch
#define read_user(reader, address, to) read_stack_word(reader, address, to)
#include "../include/unwind_step.h"

/*
 * What is left of a step when the quick one below does not do: other rules, words outside of the window,
 * ends. An enum ht_step or ht_unwind. Global, scalars only.
 */
__noinline int step_slowly(u32 scratch_index)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch_index);

	if (!s)
		return HT_UNWIND_UNREADABLE;
	s->index = scratch_index;
	s->seen |= s->rule;
	return ht_step(s, &s->walk, s->rule);
}

/* Where a frame ends above the one before: words of the same window, aligned. */
#define QUICK_FRAME_MASK (~0x1ff8)

/* A frame that step_quickly() need not look at again: others are left to the other. */
static __always_inline int is_quick(u64 rule)
{
	u64 bytes = rule >> 32;

	return bytes && !(bytes & QUICK_FRAME_MASK);
}

/*
 * The usual step, as ht_step() would take it: CFA by rsp or rbp, all words in the window. pc and the
 * slot of the stack that it was read from, a word of the window, are the walk's, here in registers.
 * Rules by rsp are is_quick(). False: nothing is changed but that rbp may be known now.
 */
static __always_inline int step_quickly(struct ht_scratch *s, u64 rule, u64 *pc, u64 *slot)
{
	u64 kind = rule & (HT_RULE_KIND | HT_RULE_AT_BP | HT_RULE_FALLBACK | HT_RULE_LOST);
	u64 next = *slot + (rule >> 32);
	u32 saved = rule;

	if (kind != HT_CFA_SP) {
		if (kind != HT_CFA_BP)
			return 0;
		if (s->walk.bp_at) {
			if (!in_window(s, s->walk.bp_at))
				return 0;
			s->walk.bp = window_word(s, s->walk.bp_at);
			s->walk.bp_at = 0;
		}
		next = s->walk.bp + (rule >> 32) - sizeof(u64);
		if ((next - *slot - sizeof(u64)) & QUICK_FRAME_MASK)
			return 0;
	}
	if (next >= s->end)
		return 0;
	*pc = window_word(s, next);
	*slot = next;
	saved >>= 8;
	asm volatile("" : "+r"(saved)); /* else clang makes a 64-bit constant of it */
	if (saved) {
		u64 cfa = next + sizeof(u64);
		s64 rbp = (s64)(rule << 32) >> 45 & ~7LL; /* 8 * ht_rule_rbp(rule), and so on */
		u64 rbx = rule >> 5 & 0x7f8;

		if (rbp)
			s->walk.bp_at = cfa + rbp;
		if (rbx)
			s->walk.bx_at = cfa - rbx;
	}
	return 1;
}

#endif
