/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/* The live table over BPF arrays. */
#ifndef HEAPTAP_BPF_LIVE_TABLE_H
#define HEAPTAP_BPF_LIVE_TABLE_H

#include "maps.h"

static __always_inline u32 live_segment_buckets(void)
{
	return knobs.segment_buckets;
}

static __always_inline u32 live_segments_used(void)
{
	return *(volatile u32 *)&control.segments;
}

static __always_inline struct ht_bucket *live_bucket(u32 segment, u32 index)
{
	void *inner = bpf_map_lookup_elem(&live_segments, &segment);

	return inner ? bpf_map_lookup_elem(inner, &index) : NULL;
}

/* Global functions: the verifier checks each once, not once a call. */
#define LIVE_FUNCTION __noinline

#include "live.h"

#endif
