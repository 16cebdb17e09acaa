/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Tests: the stack that a walk saw, for another unwinder to walk. Without knobs.truth_every the verifier
 * takes all of it out.
 */
#ifndef HEAPTAP_BPF_TRUTH_H
#define HEAPTAP_BPF_TRUTH_H

#include "stack.h"

#define TRUTH_PAGES (HT_TRUTH_BYTES / HT_STACK_BYTES)

/*
 * Page by page, for a stack that lies within another has pages in between that were never touched: they
 * cannot be read, and hold zeros.
 */
static __always_inline u32 read_pages(struct ht_truth *t, u64 sp)
{
	u32 offset = sp & (HT_STACK_BYTES - 1), rest = HT_STACK_BYTES - offset, bytes = 0;

	for (u32 i = 0; i < TRUTH_PAGES; i++) {
		u8 *to = t->stack + i * HT_STACK_BYTES;
		void *from = (void *)(sp + i * HT_STACK_BYTES);

		if (!bpf_probe_read_user(to, HT_STACK_BYTES, from)) {
			bytes = (i + 1) * HT_STACK_BYTES;
			continue;
		}
		if (rest <= HT_STACK_BYTES && !bpf_probe_read_user(to, rest, from))
			bytes = i * HT_STACK_BYTES + rest;
		if (rest < HT_STACK_BYTES && !bpf_probe_read_user(to + rest, offset, from + rest))
			bytes = (i + 1) * HT_STACK_BYTES;
	}
	return bytes;
}

/* Global, scalars only. */
__noinline int truth_ship(u32 scratch_index, u32 slot)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch_index);
	struct ht_truth *t;

	if (!s || ++s->truth_count % knobs.truth_every)
		return 0;
	t = bpf_ringbuf_reserve(&truths, sizeof(*t), 0);
	if (!t)
		return 0;
	t->pc = s->regs.pc;
	t->sp = s->regs.sp;
	t->bp = s->regs.bp;
	t->bx = s->regs.bx;
	t->tid = bpf_get_current_pid_tgid();
	t->slot = slot;
	t->flags = s->flags;
	t->frame_count = s->frame_count;
	for (u32 i = 0; i < HT_MAX_FRAMES + 1; i++)
		t->frames[i] = s->frames[i];
	t->stack_bytes = read_pages(t, t->sp);
	t->reserved = 0;
	bpf_ringbuf_submit(t, 0);
	return 0;
}

#endif
