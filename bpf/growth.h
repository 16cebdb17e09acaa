/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Growth mode: which code makes the resident size grow, without a probe in the program. See
 * include/growth.h for what is counted; this finds the process, the difference, its cause and its stack.
 */
#ifndef HEAPTAP_BPF_GROWTH_H
#define HEAPTAP_BPF_GROWTH_H

#include "intern.h"
#include "../include/growth.h"
#include <bpf/bpf_core_read.h>

HT_ARRAY(growth, struct ht_growth);		      /* by slot */
HT_ARRAY(growth_cpus, struct ht_growth_cpu);	      /* by slot * CPUs + CPU */
HT_ARRAY(growth_counters, struct ht_growth_counters); /* by slot * shards + shard */
HT_ARRAY(traced_mms, struct ht_traced_mm);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} mappings SEC(".maps");

/* Memory that each CPU has its own of: see number_of() and offset_of_cpu(). */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} own_word SEC(".maps");

/* include/linux/sched.h */
#define PF_EXITING     0x00000004
#define PF_IO_WORKER   0x00000010
#define PF_MEMALLOC    0x00000800
#define PF_USER_WORKER 0x00004000 /* Linux 6.4; before, nothing */
#define PF_KSWAPD      0x00020000
#define PF_KTHREAD     0x00200000

/* --- the process ------------------------------------------------------------------------------ */

/* A pointer becomes a number, with which more can be done, by going through memory. */
static __always_inline u64 number_of(void *pointer)
{
	u32 zero = 0;
	volatile u64 *memory = bpf_map_lookup_elem(&own_word, &zero);

	if (!memory)
		return 0;
	*memory = (u64)pointer;
	return *memory;
}

static __always_inline u32 mm_place(u64 mm, u32 probe)
{
	/* Its low bits are those of the slab cache. */
	return ((mm * 0x9e3779b97f4a7c15ULL >> 56) + probe) & (HT_MM_PLACES - 1);
}

/* All that a process that is not traced pays for. */
static __always_inline u32 slot_of_mm(u64 mm)
{
	for (u32 probe = 0; probe < HT_MM_PROBES; probe++) {
		u32 place = mm_place(mm, probe);
		struct ht_traced_mm *t = bpf_map_lookup_elem(&traced_mms, &place);

		if (!t || !t->mm)
			break;
		if (t->mm == mm)
			return t->slot;
	}
	return SLOT_NONE;
}

static __always_inline struct ht_growth_counters *growth_counters_of_slot(u32 slot)
{
	u32 row = slot * knobs.shard_count + shard_of_cpu();

	return bpf_map_lookup_elem(&growth_counters, &row);
}

/* --- the count -------------------------------------------------------------------------------- */

/*
 * By a field that there is on newer kernels: to find out that the old type is missing, libbpf would look into the types
 * of all modules, which takes CAP_SYS_ADMIN.
 */
static __always_inline int is_one_word(void)
{
	return !bpf_core_field_exists(((struct mm_struct *)0)->rss_stat[0].counters);
}

/* The shared word of a count. Member by member: CO-RE relocates no variable index. */
static __always_inline s64 shared_word(struct mm_struct *mm, u32 count)
{
	if (is_one_word()) {
		struct mm_struct___atomic *old = (void *)mm;
		s64 word = 0;

		/* By a copy: to the verifier the elements of this array are no structures. */
		if (count == HT_COUNT_ANON)
			bpf_core_read(
				&word, sizeof(word), &old->rss_stat.count[HT_MM_ANONPAGES].counter);
		else
			bpf_core_read(
				&word, sizeof(word), &old->rss_stat.count[HT_MM_SWAPENTS].counter);
		return word;
	}
	if (count == HT_COUNT_ANON)
		return mm->rss_stat[HT_MM_ANONPAGES].count;
	return mm->rss_stat[HT_MM_SWAPENTS].count;
}

/* A CPU's part of it, by the offset of that CPU's variables. */
static __always_inline s64 cpu_part(struct mm_struct *mm, u32 count, u64 offset)
{
	int part = 0;
	u64 counters;

	if (is_one_word())
		return 0;
	if (count == HT_COUNT_ANON)
		counters = (u64)mm->rss_stat[HT_MM_ANONPAGES].counters;
	else
		counters = (u64)mm->rss_stat[HT_MM_SWAPENTS].counters;
	bpf_probe_read_kernel(&part, sizeof(part), (void *)(counters + offset));
	return part;
}

/*
 * By how many pages a count has changed since it was seen last. Each part of it is exchanged with what it
 * was: the differences add up, whoever comes first. When a CPU's part has just moved into the shared word
 * another CPU may be the one to see it there; both charges are then off by up to 32 pages, and their sum
 * is right.
 */
static __always_inline s64 count_changed(
	struct ht_growth *g, struct mm_struct *mm, u32 slot, u32 count)
{
	u32 cpu = bpf_get_smp_processor_id(), row = slot * knobs.cpu_count + cpu;
	struct ht_growth_cpu *own = bpf_map_lookup_elem(&growth_cpus, &row);
	s64 changed = 0, shared, part;

	if (!own)
		return 0;
	if (!is_one_word()) {
		part = cpu_part(mm, count, own->offset);
		changed = part - own->seen[count];
		own->seen[count] = part;
	}
	shared = shared_word(mm, count);
	if (shared != g->seen[count])
		changed += shared - (s64)__sync_lock_test_and_set(&g->seen[count], shared);
	return changed;
}

/*
 * How far a CPU's own memory is from where the kernel's per-CPU pointers point: the same for all of it, so that
 * of a map of ours tells it. The symbol that holds it is not in every kernel's kallsyms.
 */
static __always_inline u64 offset_of_cpu(u32 cpu)
{
	u64 map = number_of(&own_word), pointer = 0;
	u32 zero = 0;
	void *own = bpf_map_lookup_percpu_elem(&own_word, &zero, cpu);

	if (!own || bpf_probe_read_kernel(&pointer, sizeof(pointer),
			    (void *)(map + bpf_core_field_offset(struct bpf_array, pptrs))))
		return 0;
	return number_of(own) - pointer;
}

#define MAX_CPUS 1024

/*
 * All of a count, CPU by CPU; `begin`: what is seen here is what the first difference is to.
 */
static __always_inline s64 count_all(
	struct ht_growth *g, struct mm_struct *mm, u32 slot, u32 count, int begin)
{
	s64 sum = 0, shared;

	for (u32 cpu = 0; cpu < MAX_CPUS && cpu < knobs.cpu_count; cpu++) {
		u32 row = slot * knobs.cpu_count + cpu;
		struct ht_growth_cpu *own = bpf_map_lookup_elem(&growth_cpus, &row);
		s64 part;

		if (!own)
			break;
		if (begin)
			own->offset = offset_of_cpu(cpu);
		part = own->offset ? cpu_part(mm, count, own->offset) : 0;
		sum += part;
		if (begin)
			own->seen[count] = part;
	}
	shared = shared_word(mm, count);
	if (begin)
		g->seen[count] = shared;
	return sum + shared;
}

/* --- the cause -------------------------------------------------------------------------------- */

/* arch/x86/entry/syscalls/syscall_64.tbl */
static __always_inline u32 cause_of_syscall(u64 number)
{
	switch (number) {
	case 9:
		return HT_GROWTH_MMAP;
	case 11:
		return HT_GROWTH_MUNMAP;
	case 12:
		return HT_GROWTH_BRK;
	case 25:
		return HT_GROWTH_MREMAP;
	case 28:
		return HT_GROWTH_MADVISE;
	case 59:
	case 322:
		return HT_GROWTH_EXEC;
	case 60:
	case 231:
		return HT_GROWTH_EXIT;
	default:
		return HT_GROWTH_SYSCALL;
	}
}

/* "khugepag" and "ksmd", as numbers. */
#define NAME_KHUGEPAGED 0x676170656775686bULL
#define NAME_KSMD	0x646d736bULL

/* Someone else's doing: kernel threads, and processes that reach into this one. */
static __always_inline u32 cause_of_other(struct task_struct *task)
{
	u64 name = 0;

	if (!(task->flags & PF_KTHREAD))
		return HT_GROWTH_OTHER;
	bpf_probe_read_kernel(&name, sizeof(name), task->comm);
	if (name == NAME_KHUGEPAGED)
		return HT_GROWTH_KHUGEPAGED;
	return (name & 0xffffffffffULL) == NAME_KSMD ? HT_GROWTH_KSM : HT_GROWTH_OTHER;
}

static __always_inline int is_torn_down(struct mm_struct *mm)
{
	return !mm->mm_users.counter;
}

/* The kernel keeps the number of a system call, and for exceptions -1. */
static __always_inline int is_fault(const struct pt_regs *regs)
{
	return (s64)regs->orig_ax < 0;
}

static __always_inline u32 cause_of(
	struct task_struct *task, struct mm_struct *mm, const struct pt_regs *regs, s64 changed)
{
	u32 flags = task->flags;

	if (flags & (PF_KSWAPD | PF_MEMALLOC))
		return HT_GROWTH_RECLAIM;
	if (is_torn_down(mm)) {
		if (flags & PF_EXITING || is_fault(regs))
			return HT_GROWTH_EXIT;
		return cause_of_syscall(regs->orig_ax) == HT_GROWTH_EXEC ? HT_GROWTH_EXEC
									 : HT_GROWTH_EXIT;
	}
	if (task->mm != mm)
		return cause_of_other(task);
	if (flags & PF_EXITING)
		return HT_GROWTH_EXIT;
	if (flags & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER))
		return HT_GROWTH_WORKER;
	if (!is_fault(regs))
		return cause_of_syscall(regs->orig_ax);
	return changed >= 1 << (21 - knobs.page_shift) ? HT_GROWTH_HUGE : HT_GROWTH_FAULT;
}

#define HT_GROWTH_STACK_BIT(name, key, grown, shrunk, stack) | (u32)stack << HT_GROWTH_##name
#define CAUSES_WITH_STACK				     (0 HT_GROWTH_CAUSES(HT_GROWTH_STACK_BIT))

static __always_inline int has_stack(u32 cause)
{
	return CAUSES_WITH_STACK >> cause & 1;
}

/* --- the charge ------------------------------------------------------------------------------- */

/* The site of the code that entered the kernel. */
static __always_inline u32 site_of_entry(const struct pt_regs *user, u32 slot, u32 domain)
{
	struct ht_regs regs = { .pc = user->ip, .sp = user->sp, .bp = user->bp, .bx = user->bx };
	u32 scratch = scratch_claim(), site = slot;
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch);

	if (scratch == SCRATCH_NONE || !s) {
		count_unattributed(slot, HT_UNATTRIBUTED_SCRATCH_BUSY);
		return site;
	}
	if (stack_capture_entered(s, scratch, slot, &regs, is_fault(user)))
		count_unattributed(slot, HT_UNATTRIBUTED_STACK_UNREADABLE);
	else
		site = site_of_captured(s, scratch, slot << 8 | domain, 0);
	scratch_release(scratch);
	return site;
}

static __always_inline void charge_site(u32 site, s64 bytes)
{
	u32 row = site * knobs.shard_count + shard_of_cpu();
	struct ht_site_counters *c = bpf_map_lookup_elem(&site_counters, &row);

	if (!c)
		return;
	if (bytes > 0) {
		add(&c->alloc_count, 1);
		add(&c->alloc_bytes, bytes);
	} else {
		add(&c->free_count, 1);
		add(&c->free_bytes, -bytes);
	}
}

static __always_inline void charge(struct ht_growth_counters *c, struct task_struct *task,
	struct mm_struct *mm, u32 slot, s64 changed)
{
	const struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	u32 cause = cause_of(task, mm, regs, changed);
	s64 bytes = changed << knobs.page_shift;

	if (cause >= HT_GROWTH_CAUSE_COUNT)
		return;
	if (bytes > 0)
		add(&c->grown[cause], bytes);
	else
		add(&c->shrunk[cause], -bytes);
	if (has_stack(cause))
		charge_site(site_of_entry(regs, slot, HT_DOMAIN_RSS), bytes);
}

/*
 * Swap entries come when pages leave, and go when pages come back or are given up. A page that comes back
 * has been charged as touched, or is about to be: its cause is corrected.
 */
static __always_inline void swap_changed(
	struct ht_growth_counters *c, struct task_struct *task, struct mm_struct *mm, s64 changed)
{
	const struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	u64 bytes = -changed << knobs.page_shift;
	u32 cause;

	if (changed > 0) {
		add(&c->swapped_out, changed << knobs.page_shift);
		return;
	}
	cause = cause_of(task, mm, regs, 1);
	if (cause == HT_GROWTH_FAULT || cause == HT_GROWTH_SYSCALL) {
		add(&c->grown[HT_GROWTH_SWAP_IN], bytes);
		add(&c->grown[cause], -bytes);
	}
	if (cause == HT_GROWTH_FAULT || cause == HT_GROWTH_SYSCALL || cause == HT_GROWTH_OTHER)
		add(&c->swapped_in, bytes);
	else
		add(&c->swap_dropped, bytes);
}

/* Memory of no traced process: of one that has called exec, if the loader does not know it yet. */
static __always_inline void see_exec(struct task_struct *task, struct mm_struct *mm)
{
	u32 *slot = slot_of_tgid(task->tgid);
	struct ht_process_counters *c;
	struct ht_process *p;

	if (!slot || task->mm != mm)
		return;
	p = bpf_map_lookup_elem(&processes, slot);
	c = counters_of_slot(*slot);
	if (p && c && p->armed)
		add(&c->after_exec, 1);
}

static __always_inline void count_in_slot(
	struct task_struct *task, struct mm_struct *mm, u32 count, u32 slot)
{
	struct ht_growth_counters *c;
	struct ht_process *p;
	struct ht_growth *g;
	s64 changed;

	g = bpf_map_lookup_elem(&growth, &slot);
	p = bpf_map_lookup_elem(&processes, &slot);
	c = growth_counters_of_slot(slot);
	if (!g || !p || !c || !p->armed)
		return;
	if (is_torn_down(mm))
		g->ended = 1;
	else if (g->ended)
		return;
	changed = count_changed(g, mm, slot, count);
	if (!changed)
		return;
	add(&c->events, 1);
	if (count == HT_COUNT_SWAP)
		swap_changed(c, task, mm, changed);
	else
		charge(c, task, mm, slot, changed);
}

/* What it costs the process is counted, as that of a probe is. */
static __always_inline void count_event(struct mm_struct *mm, u32 count)
{
	struct task_struct *task = current_task();
	u32 slot = slot_of_mm(number_of(mm));
	struct ht_thread *thread = thread_of(current_pid_tgid());
	u64 begun_ns = 0;

	if (slot == SLOT_NONE) {
		see_exec(task, mm);
		return;
	}
	if (thread && pulse_turn(thread))
		begun_ns = pulse_begin(slot, HT_PULSE_ALLOC);
	count_in_slot(task, mm, count, slot);
	if (begun_ns)
		pulse_end(slot, HT_PULSE_ALLOC, begun_ns);
}

/* --- the start, and later looks --------------------------------------------------------------- */

/* From here on the memory's events are of the slot. Only the loader's iteration writes places. */
static __always_inline int publish_mm(u64 mm, u32 slot)
{
	for (u32 probe = 0; probe < HT_MM_PROBES; probe++) {
		u32 place = mm_place(mm, probe);
		struct ht_traced_mm *t = bpf_map_lookup_elem(&traced_mms, &place);

		if (!t)
			break;
		if (t->mm)
			continue;
		t->slot = slot;
		store_release(&t->mm, mm);
		return 1;
	}
	return 0;
}

static __always_inline void look_at(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	u32 *slot = slot_of_tgid(task->tgid);
	struct ht_growth *g;
	u64 number;
	int begin;

	if (!slot || !mm)
		return;
	g = bpf_map_lookup_elem(&growth, slot);
	if (!g || !g->wanted)
		return;
	number = number_of(mm);
	begin = !g->mm;
	if (!begin && g->mm != number)
		return;
	g->now[HT_COUNT_ANON] = count_all(g, mm, *slot, HT_COUNT_ANON, begin);
	g->now[HT_COUNT_SWAP] = count_all(g, mm, *slot, HT_COUNT_SWAP, begin);
	g->wanted = 0; /* its other threads have the same memory */
	if (!begin || !publish_mm(number, *slot))
		return;
	g->start[HT_COUNT_ANON] = g->now[HT_COUNT_ANON];
	g->start[HT_COUNT_SWAP] = g->now[HT_COUNT_SWAP];
	g->mm = number;
}

/* What a child has when it is forked is copied, not grown: told beside the sum. */
static __always_inline void count_fork(struct task_struct *parent, struct task_struct *child)
{
	u32 *slot = slot_of_tgid(parent->tgid);
	struct ht_growth_counters *c;
	struct ht_growth *g;

	if (!slot || !child->mm || child->mm == parent->mm)
		return;
	g = bpf_map_lookup_elem(&growth, slot);
	c = growth_counters_of_slot(*slot);
	if (g && c && g->mm == (u64)parent->mm)
		add(&c->fork_copied, count_all(g, child->mm, *slot, HT_COUNT_ANON, 0)
					     << knobs.page_shift);
}

#endif
