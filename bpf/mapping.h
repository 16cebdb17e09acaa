/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * What a process does to its mappings, told when the system call has succeeded. The tracepoint is that of all
 * system calls, and slows every one of the host: attached only when mappings are asked for. fexit
 * programs on the calls' own functions would spare the others, but not every kernel allows them.
 */
#ifndef HEAPTAP_BPF_MAPPING_H
#define HEAPTAP_BPF_MAPPING_H

#include "growth.h"

#define MAX_ERRNO 4095

/* Advice that gives memory back (asm-generic/mman-common.h). */
#define ADVICE_DONTNEED	       4
#define ADVICE_FREE	       8
#define ADVICE_REMOVE	       9
#define ADVICE_DONTNEED_LOCKED 24

static __always_inline int failed(u64 result)
{
	return result >= -(u64)MAX_ERRNO;
}

/* Global, scalars only: one copy for all calls. */
__noinline int mapping_site(u32 slot)
{
	const struct pt_regs *user = (void *)bpf_task_pt_regs(current_task());

	return site_of_entry(user, slot, HT_DOMAIN_MMAP);
}

static __always_inline void tell_mapping(u32 slot, const struct ht_mapping *told, int with_site)
{
	struct ht_growth_counters *c = growth_counters_of_slot(slot);
	struct ht_mapping *m = bpf_ringbuf_reserve(&mappings, sizeof(*m), 0);

	if (!m) {
		if (c)
			add(&c->mapping_drops, 1);
		return;
	}
	*m = *told;
	m->site = with_site ? mapping_site(slot) : slot;
	bpf_ringbuf_submit(m, 0);
}

/* The slot of the process that runs, or SLOT_NONE. */
static __always_inline u32 current_slot(void)
{
	u32 slot = slot_of_mm(number_of(current_task()->mm));
	struct ht_process *p;

	if (slot == SLOT_NONE)
		return slot;
	p = bpf_map_lookup_elem(&processes, &slot);
	return p && p->armed ? slot : SLOT_NONE;
}

/* What the call was about: enum ht_mapping_call, or HT_MAPPING_CALLS for none of interest. */
static __always_inline u32 mapping_of_call(
	const struct pt_regs *a, u64 result, struct ht_mapping *m)
{
	m->address = a->di;
	m->bytes = a->si;
	switch (a->orig_ax) {
	case 9:
		m->address = result;
		m->flags = a->r10;
		return HT_MAPPING_MMAP;
	case 11:
		return HT_MAPPING_MUNMAP;
	case 12:
		m->address = result;
		m->bytes = 0;
		return HT_MAPPING_BRK;
	case 25:
		m->address = result;
		m->bytes = a->dx;
		m->old_address = a->di;
		m->old_bytes = a->si;
		m->flags = a->r10;
		return HT_MAPPING_MREMAP;
	case 28:
		m->flags = a->dx;
		if (m->flags == ADVICE_DONTNEED || m->flags == ADVICE_FREE ||
			m->flags == ADVICE_REMOVE || m->flags == ADVICE_DONTNEED_LOCKED)
			return HT_MAPPING_MADVISE;
		return HT_MAPPING_CALLS;
	default:
		return HT_MAPPING_CALLS;
	}
}

static __always_inline void see_syscall(const struct pt_regs *user, u64 result)
{
	struct ht_mapping m = {};
	u32 slot;

	/* Before all else: this is what every system call of every process pays. */
	if (user->orig_ax > 28 || user->orig_ax < 9)
		return;
	slot = current_slot();
	if (slot == SLOT_NONE || failed(result))
		return;
	m.call = mapping_of_call(user, result, &m);
	if (m.call != HT_MAPPING_CALLS)
		tell_mapping(slot, &m, m.call != HT_MAPPING_MUNMAP && m.call != HT_MAPPING_MADVISE);
}

#endif
