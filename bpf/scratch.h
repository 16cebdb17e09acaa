/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Working memory larger than the BPF stack. A few buffers a CPU, each owned by whoever set its busy
 * word: a probe can be preempted by another task that hits a probe on the same CPU, and disabling
 * preemption from BPF needs 6.10.
 */
#ifndef HEAPTAP_BPF_SCRATCH_H
#define HEAPTAP_BPF_SCRATCH_H

#include "maps.h"

#define SCRATCH_NONE 0xffffffffU

/* Claims a buffer of this CPU: its index for bpf_map_lookup_elem(&scratches), or SCRATCH_NONE. */
static __always_inline u32 scratch_claim(void)
{
	u32 first = bpf_get_smp_processor_id() * HT_SCRATCH_PER_CPU;

	for (u32 i = 0; i < HT_SCRATCH_PER_CPU; i++) {
		u32 index = first + i;
		struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &index);

		if (s && !__sync_lock_test_and_set(&s->busy, 1))
			return index;
	}
	return SCRATCH_NONE;
}

static __always_inline void scratch_release(u32 index)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &index);

	if (s)
		store_release(&s->busy, 0);
}

#endif
