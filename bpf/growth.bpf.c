// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause
/* Growth mode: everything that runs in it. The memory of a process is told by its mm. */
/* The verifier of Linux 6.1 takes a loop only if a jump closes it, and clang may lay it out to fall through. */
#define JUMP_BACK asm volatile("goto +0" ::: "memory")

#include "growth.h"
#include "mapping.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* (mm, member); before Linux 6.2 also the count. */
SEC("tp_btf/rss_stat")
int rss_stat(u64 *ctx)
{
	struct mm_struct *mm = (void *)ctx[0];
	u32 member = ctx[1];

	if (member == HT_MM_ANONPAGES)
		count_event(mm, HT_COUNT_ANON);
	else if (member == HT_MM_SWAPENTS)
		count_event(mm, HT_COUNT_SWAP);
	return 0;
}

/* (parent, child) */
SEC("tp_btf/sched_process_fork")
int forked(u64 *ctx)
{
	count_fork((void *)ctx[0], (void *)ctx[1]);
	return 0;
}

/* (registers, result); attached only when mappings are asked for. */
SEC("tp_btf/sys_exit")
int syscall_done(u64 *ctx)
{
	see_syscall((void *)ctx[0], ctx[1]);
	return 0;
}

/* Run by the loader, over the threads of one process. */
SEC("iter/task")
int look(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		look_at(task);
	return 0;
}
