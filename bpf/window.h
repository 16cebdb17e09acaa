/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * The part of the user's stack that a walk has at hand: read at once, for a read of a page costs hardly
 * more than one of eight bytes.
 */
#ifndef HEAPTAP_BPF_WINDOW_H
#define HEAPTAP_BPF_WINDOW_H

#include "maps.h"

static __always_inline int window_copy(struct ht_scratch *s, u64 base, u32 bytes)
{
	s->end = base + bytes - (sizeof(u64) - 1);
	return bpf_probe_read_user(s->stack + (base & (HT_PAGE_BYTES - 1)), bytes, (void *)base) !=
	       0;
}

/* What can be read of pages that cannot all be: the first or the first two. Global, scalars only. */
__noinline int window_read_pages(u32 scratch_index, u64 base, u32 bytes)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch_index);
	u32 rest = HT_PAGE_BYTES - (base & (HT_PAGE_BYTES - 1));

	if (!s)
		return -1;
	if (bytes > rest + HT_PAGE_BYTES) {
		if (!window_copy(s, base, rest + HT_PAGE_BYTES)) {
			s->absent = base + rest + HT_PAGE_BYTES;
			return 0;
		}
	}
	if (rest >= sizeof(u64) && !window_copy(s, base, rest)) {
		s->absent = base + rest;
		return 0;
	}
	s->end = 0;
	return -1;
}

/*
 * Makes the user stack from base on available, up to `bytes` of it: 0 or -1. A read that runs into the
 * page behind the stack costs a fault, five times the read: where that page begins is remembered.
 */
static __always_inline int window_read(struct ht_scratch *s, u32 scratch_index, u64 base, u32 bytes)
{
	u64 room = s->absent - base;

	if (bytes > room && room >= sizeof(u64))
		bytes = room;
	asm volatile("" : "+r"(bytes)); /* the verifier wants to see the limit last */
	if (bytes > HT_STACK_BYTES)
		bytes = HT_STACK_BYTES;
	s->base = base;
	s->shift = (base & (HT_PAGE_BYTES - 1)) - base;
	if (!window_copy(s, base, bytes))
		return 0;
	return window_read_pages(scratch_index, base, bytes);
}

/*
 * How much to read at first: what the last stacks of this CPU needed. Reading a page for a few
 * frames costs 30 ns and a quarter of the L1 cache; reading twice 90 ns.
 */
static __always_inline void learn_extent(struct ht_scratch *s, u64 used)
{
	/* A walk that changed stacks says nothing. */
	if (used > HT_STACK_BYTES)
		return;
	if (used > s->extent)
		s->extent = used + HT_STACK_SLACK;
	else
		s->extent -= (s->extent - used) >> 6;
}

static __always_inline int in_window(const struct ht_scratch *s, u64 address)
{
	return address >= s->base && address < s->end;
}

/*
 * The stack word at an address that the window holds; masked, not compared, to spare the verifier a
 * branch.
 */
static __always_inline u64 window_word(const struct ht_scratch *s, u64 address)
{
	u64 at = address + s->shift;

	return *(const u64 *)(s->stack + (at & (sizeof(s->stack) - sizeof(u64))));
}

#endif
