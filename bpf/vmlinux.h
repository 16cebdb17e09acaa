/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * The slice of vmlinux.h that heaptap reads, so that a build host needs no BTF of its own. Every
 * access is relocated by CO-RE against the running kernel: only names and types count here, neither
 * offsets nor the fields left out. User-visible types come from the installed kernel headers.
 */
#ifndef HEAPTAP_VMLINUX_H
#define HEAPTAP_VMLINUX_H

#include <linux/bpf.h>
#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

/* Not a kernel structure to CO-RE: the BPF context of an uprobe has the layout of the user ABI. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx;
	unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct return_instance {
	unsigned long func;
	unsigned long stack;
	unsigned long orig_ret_vaddr;
	struct return_instance *next;
};

struct uprobe_task {
	struct return_instance *return_instances;
};

struct xol_area {
	unsigned long vaddr;
};

struct uprobes_state {
	struct xol_area *xol_area;
};

/* A count that is one shared word and a part a CPU. */
struct percpu_counter {
	s64 count;
	int *counters;
};

struct mm_struct {
	struct uprobes_state uprobes_state;
	struct {
		int counter;
	} mm_users;
	struct percpu_counter rss_stat[4]; /* Linux 6.2 */
};

/* Before that; gone since. */
struct mm_rss_stat {
	struct {
		s64 counter;
	} count[4];
};

struct mm_struct___atomic {
	struct mm_rss_stat rss_stat;
};

struct pid_namespace;

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct task_struct {
	struct pid *thread_pid;
	int pid;
	int tgid;
	unsigned int flags;
	char comm[16];
	unsigned long sas_ss_sp;
	unsigned long sas_ss_size;
	struct mm_struct *mm;
	struct uprobe_task *utask;
};

struct seq_file;
/* An array map; of a per-CPU one, where its elements are. */
struct bpf_array {
	void *pptrs[1];
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#endif
