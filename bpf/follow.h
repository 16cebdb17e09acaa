/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Processes that come by fork and exec. A new one gets its slot here, before it runs its first
 * instruction: the loader, which has to look into it and to attach probes, hears of it later.
 *
 *   fork   a child with memory of its own: a new slot, with its parent's mappings and rules
 *          one that shares its parent's (vfork, posix_spawn, CLONE_VM): the parent's slot
 *   exec   a new slot, whose mappings are not known yet; the old one counts no more
 *   exit   of a child that shared its parent's slot: it is forgotten
 */
#ifndef HEAPTAP_BPF_FOLLOW_H
#define HEAPTAP_BPF_FOLLOW_H

#include "process.h"

/* The loader looks through the records: nothing is lost when the ring is full, for the others wake it. */
static __always_inline void tell_processes(void)
{
	struct ht_message *m = bpf_ringbuf_reserve(&messages, sizeof(*m), 0);

	if (!m)
		return;
	m->kind = HT_MESSAGE_PROCESSES;
	m->subject = 0;
	bpf_ringbuf_submit(m, 0);
}

#define SLOT_ATTEMPTS 64

static __noinline int slot_claim(u64 from)
{
	return __sync_val_compare_and_swap(&control.slots_taken, from, from + 1) == from;
}

/* Takes a free slot, or counts a process that found none. */
static __noinline u32 slot_take(void)
{
	for (u32 i = 0; i < SLOT_ATTEMPTS; i++) {
		u64 taken = *(volatile u64 *)&control.slots_taken;
		u32 place = taken & control.slot_mask;
		u64 *slot;

		if (taken >= *(volatile u64 *)&control.slots_given)
			break;
		slot = bpf_map_lookup_elem(&free_slots, &place);
		if (slot && slot_claim(taken))
			return *slot;
	}
	__sync_fetch_and_add(&control.processes_missed, 1);
	return SLOT_NONE;
}

static __always_inline u64 place_word(u32 tgid, u32 slot)
{
	return (u64)slot << 32 | tgid;
}

/* From now on events of the process count under this slot. */
static __always_inline void tgid_enter(u32 tgid, u32 slot)
{
	u32 place = tgid & (HT_TGID_PLACES - 1);
	struct ht_tgid *t = bpf_map_lookup_elem(&slot_by_tgid, &place);
	u64 *word = (u64 *)t;

	bpf_map_update_elem(&process_by_tgid, &tgid, &slot, BPF_ANY);
	if (!t)
		return;
	if (t->tgid == tgid)
		*(volatile u64 *)word = place_word(tgid, slot);
	else if (__sync_val_compare_and_swap(word, 0, place_word(tgid, slot)))
		t->shared = 1;
}

static __always_inline void tgid_leave(u32 tgid)
{
	u32 place = tgid & (HT_TGID_PLACES - 1);
	struct ht_tgid *t = bpf_map_lookup_elem(&slot_by_tgid, &place);

	if (t && t->tgid == tgid)
		*(volatile u64 *)t = 0;
	bpf_map_delete_elem(&process_by_tgid, &tgid);
}

#define PID_LEVELS 32 /* MAX_PID_NS_LEVEL of the kernel */

/* The id of a process in the loader's pid namespace. 0: it has none there. */
static __always_inline u32 pid_for_loader(struct task_struct *task)
{
	u32 level = *(volatile u32 *)&control.pid_level & (PID_LEVELS - 1);
	struct pid *pid = task->thread_pid;
	struct upid own = {};

	if (!level)
		return task->tgid;
	if (level > pid->level)
		return 0;
	bpf_probe_read_kernel(&own, sizeof(own), (void *)&pid->numbers + level * sizeof(own));
	return own.nr;
}

/* A new record, with the rules of the one that it comes from. NULL: there is no free slot. */
static __always_inline struct ht_process *process_new(
	const struct ht_process *from, u32 tgid, u32 pid, u64 mm, enum ht_origin origin)
{
	u32 slot = slot_take();
	struct ht_process *p = bpf_map_lookup_elem(&processes, &slot);

	if (!p)
		return NULL;
	p->mm = mm;
	p->pid = pid;
	p->by_thread = from->by_thread;
	p->domains = from->domains;
	p->selective = from->selective;
	p->interval_log2 = from->interval_log2;
	p->min_bytes = from->min_bytes;
	p->max_bytes = from->max_bytes;
	p->thread = from->thread;
	p->module = from->module;
	p->mode = from->mode;
	p->follow = from->follow;
	p->origin = origin;
	p->origin_slot = from->slot;
	p->armed = from->armed;
	/* Last: by it the loader tells that there is a process. */
	store_release32(&p->tgid, tgid);
	return p;
}

static __always_inline void process_forked(
	const struct ht_process *parent, u32 tgid, u32 pid, u64 mm, int shares)
{
	struct ht_process *p;

	if (shares) {
		tgid_enter(tgid, parent->slot);
		return;
	}
	if (!parent->follow || !pid)
		return;
	p = process_new(parent, tgid, pid, mm, HT_ORIGIN_FORK);
	if (!p)
		return;
	p->generation = parent->generation;
	p->ranges = parent->ranges;
	tgid_enter(tgid, p->slot);
	tell_processes();
}

static __always_inline void process_executed(
	struct ht_process *old, u32 tgid, u32 pid, u64 mm, u32 relink)
{
	int own = old->tgid == tgid;
	struct ht_process *p;

	if (own && old->awaits_exec) {
		old->mm = mm;
		old->awaits_exec = 0;
		old->armed = 1;
		tell_processes();
		return;
	}
	p = pid && (own || old->follow) ? process_new(old, tgid, pid, mm, HT_ORIGIN_EXEC) : NULL;
	if (p) {
		p->relink = relink;
		tgid_enter(tgid, p->slot);
	} else {
		tgid_leave(tgid);
	}
	if (own) {
		old->armed = 0;
		old->ended = 1;
	}
	tell_processes();
}

SEC("tp_btf/sched_process_fork")
int follow_fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	struct ht_process *p;
	u32 *slot;

	if (child->tgid == parent->tgid)
		return 0;
	slot = slot_of_tgid(parent->tgid);
	p = slot ? bpf_map_lookup_elem(&processes, slot) : NULL;
	if (p && !p->awaits_exec)
		process_forked(p, child->tgid, pid_for_loader(child), (u64)child->mm,
			child->mm == parent->mm);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int follow_exec(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	u32 tgid = task->tgid, *slot = slot_of_tgid(tgid);
	struct ht_process *p = slot ? bpf_map_lookup_elem(&processes, slot) : NULL;

	if (p)
		/* What links are made for is the first thread, whose place the one that calls exec takes. */
		process_executed(p, tgid, pid_for_loader(task), (u64)task->mm, (u32)ctx[1] != tgid);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int follow_exit(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	u32 tgid = task->tgid, *slot;
	struct ht_process *p;

	if ((u32)task->pid != tgid)
		return 0;
	slot = slot_of_tgid(tgid);
	p = slot ? bpf_map_lookup_elem(&processes, slot) : NULL;
	if (p && p->tgid != tgid)
		tgid_leave(tgid);
	return 0;
}

#endif
