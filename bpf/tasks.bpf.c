// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause
/*
 * The ids of threads as the kernel half sees them, which are those of the initial pid namespace. A loader inside
 * another one has no other way to learn them: its /proc translates downwards only (NSpid).
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "../include/records.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Once a thread of the process that the loader names, in its own namespace, when it makes the iterator. */
SEC("iter/task")
int threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct ht_thread_id id;

	if (!task)
		return 0;
	id.tgid = task->tgid;
	id.tid = task->pid;
	id.level = task->thread_pid->level;
	bpf_seq_write(ctx->meta->seq, &id, sizeof(id));
	return 0;
}
