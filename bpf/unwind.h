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

#define WINDOW_BEHIND 65536 /* words this far below the window are not worth moving it */

static __always_inline int read_stack_word(struct ht_scratch *s, u64 address, u64 *word)
{
	u64 base = address;

	if (!in_window(s, address)) {
		if (s->base - address < WINDOW_BEHIND)
			return bpf_probe_read_user(word, sizeof(*word), (void *)address) ? -1 : 0;
		/* From the frame's start on: what it saves is read soon. */
		if (address - s->walk.sp < HT_STACK_BYTES / 2)
			base = s->walk.sp & ~7ULL;
		if (window_read(s, base, HT_STACK_BYTES) || !in_window(s, address))
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

	return s ? ht_step(s, &s->walk, s->rule) : HT_UNWIND_UNREADABLE;
}

/*
 * The usual step: CFA by rsp or rbp, all words in the window. False: nothing is changed but that rbp may
 * be known now.
 */
static __always_inline int step_quickly(struct ht_scratch *s, u64 rule)
{
	u64 base = s->walk.sp, cfa;

	if ((rule & (HT_RULE_KIND | HT_RULE_AT_BP)) == HT_CFA_BP) {
		if (s->walk.bp_at) {
			if (!in_window(s, s->walk.bp_at))
				return 0;
			s->walk.bp = window_word(s, s->walk.bp_at);
			s->walk.bp_at = 0;
		}
		base = s->walk.bp;
	} else if ((rule & (HT_RULE_KIND | HT_RULE_AT_BP)) != HT_CFA_SP) {
		return 0;
	}
	cfa = base + (s64)ht_rule_operand(rule);
	if (!ht_plausible_cfa(s->walk.sp, cfa) || !in_window(s, cfa - 8))
		return 0;
	s->walk.pc = window_word(s, cfa - 8);
	ht_step_registers(&s->walk, rule, cfa);
	s->walk.interrupted = 0;
	return 1;
}

#endif
