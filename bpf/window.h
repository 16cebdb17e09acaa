/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * The part of the user's stack that a walk has at hand: read at once, for a read of a page costs hardly
 * more than one of eight bytes.
 */
#ifndef HEAPTAP_BPF_WINDOW_H
#define HEAPTAP_BPF_WINDOW_H

#include "maps.h"

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
		s->valid = bytes - (sizeof(u64) - 1);
		if (!bpf_probe_read_user(s->stack + offset, bytes, (void *)base))
			return 0;
	}
	s->valid = rest - (sizeof(u64) - 1);
	if (rest >= sizeof(u64) && !bpf_probe_read_user(s->stack + offset, rest, (void *)base)) {
		s->absent = base + rest;
		return 0;
	}
	s->valid = 0;
	return -1;
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
	return address - s->base < s->valid;
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

#endif
