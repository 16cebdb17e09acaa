/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/* Which mapping an address of code belongs to. */
#ifndef HEAPTAP_BPF_RANGES_H
#define HEAPTAP_BPF_RANGES_H

#include "maps.h"

/*
 * The executable mapping that holds pc, as an index of `ranges`, or RANGE_NONE: a binary search in
 * the process's sorted set. Global, scalars only: one verification, behind the pc cache.
 */
#define RANGE_NONE 0xffffffffU
__noinline u32 range_of_pc(u64 pc, u32 slot)
{
	struct ht_process *p = bpf_map_lookup_elem(&processes, &slot);
	u32 low = 0, high, first;
	u64 set;

	if (!p)
		return RANGE_NONE;
	set = p->ranges;
	first = set >> 32;
	high = (u32)set;
	for (u32 step = 0; step < 14 && low < high; step++) {
		u32 middle = (low + high) / 2, index = first + middle;
		struct ht_range *r = bpf_map_lookup_elem(&ranges, &index);

		if (!r)
			return RANGE_NONE;
		if (pc < r->start)
			high = middle;
		else if (pc >= r->end)
			low = middle + 1;
		else
			return index;
	}
	return RANGE_NONE;
}

#endif
