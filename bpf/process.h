/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/* Which traced process runs, and its counters. */
#ifndef HEAPTAP_BPF_PROCESS_H
#define HEAPTAP_BPF_PROCESS_H

#include "pulse.h"

#define SLOT_NONE 0xffffffffU /* of no process */

static __always_inline struct task_struct *current_task(void)
{
	return (struct task_struct *)bpf_get_current_task_btf();
}

static __always_inline struct ht_process_counters *counters_of_slot(u32 slot)
{
	u32 row = slot * knobs.shard_count + shard_of_cpu();

	return bpf_map_lookup_elem(&process_counters, &row);
}

/* Global, scalars only: never on a common path. */
__noinline int count_unattributed(u32 slot, u32 why)
{
	struct ht_process_counters *c = counters_of_slot(slot);

	if (c && why < HT_UNATTRIBUTED_REASONS)
		add(&c->unattributed[why], 1);
	return 0;
}

/* The same for stacks that end early, and for those followed by frame pointers. */
__noinline int count_unwind(u32 slot, u32 why)
{
	struct ht_process_counters *c = counters_of_slot(slot);

	if (c && why < HT_UNWIND_REASONS)
		add(&c->unwind[why], 1);
	return 0;
}

static __always_inline u64 current_pid_tgid(void)
{
	struct task_struct *task = current_task();

	return (u64)task->tgid << 32 | (u32)task->pid;
}

/*
 * The slot of a process: by a direct-mapped table first, for a hash costs 25 ns at each event. Two
 * processes that share a place there are both found through the hash.
 */
static __always_inline u32 *slot_of_tgid(u32 tgid)
{
	u32 place = tgid & (HT_TGID_PLACES - 1);
	struct ht_tgid *known = bpf_map_lookup_elem(&slot_by_tgid, &place);

	if (known && known->tgid == tgid)
		return &known->slot;
	if (known && !known->shared)
		return NULL;
	return bpf_map_lookup_elem(&process_by_tgid, &tgid);
}

/*
 * The record of the process that runs, or NULL when its events do not count: not traced, not armed,
 * or it has called exec and the loader does not know the new image yet.
 */
static __always_inline struct ht_process *current_process(u64 pid_tgid)
{
	u32 *slot = slot_of_tgid(pid_tgid >> 32);
	struct ht_process_counters *c;
	struct ht_process *p;
	u64 mm;

	if (!slot)
		return NULL;
	p = bpf_map_lookup_elem(&processes, slot);
	if (!p || !p->armed) {
		pulse_idle(*slot);
		return NULL;
	}
	mm = (u64)current_task()->mm;
	if (p->mm == mm)
		return p;
	if (!p->mm) {
		/* Threads that race here all store the same value. */
		p->mm = mm;
		return p;
	}
	c = counters_of_slot(p->slot);
	if (c)
		add(&c->after_exec, 1);
	return NULL;
}

static __always_inline struct ht_thread *thread_of(u64 pid_tgid)
{
	u32 place = (u32)pid_tgid & (HT_THREAD_SLOTS - 1);

	return bpf_map_lookup_elem(&threads, &place);
}

/* The running total of live bytes: the one figure whose maximum has to be seen as it happens. */
static __always_inline void live_bytes_grow(struct ht_process *p, u64 bytes)
{
	u64 now = __sync_fetch_and_add(&p->live_bytes, bytes) + bytes;

	/* A race of two maxima can lose the smaller gain, never invent one. */
	if ((s64)now > (s64)p->peak_live_bytes)
		p->peak_live_bytes = now;
}

static __always_inline void live_bytes_shrink(struct ht_process *p, u64 bytes)
{
	__sync_fetch_and_add(&p->live_bytes, -bytes);
}

#endif
