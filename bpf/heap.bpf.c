// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause
/*
 * Entry points on the allocators. The low byte of a probe's cookie is its role, the next how many
 * words it stands below the entry.
 */
#include "calls.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Linux 6.13 to 6.19; from 7.0 on it takes the context. */
extern __u64 *bpf_session_cookie(void) __ksym;

/*
 * A session program: attach type BPF_TRACE_UPROBE_SESSION, set by the loader (libbpf 1.1 has no
 * name for it).
 */
SEC("uprobe/allocate")
int allocate(struct pt_regs *ctx)
{
	__u64 *cookie = bpf_session_cookie();

	/*
	 * The kernel gives the entry a cookie of 0 (handler_chain() in kernel/events/uprobes.c),
	 * and ours is never 0: that tells the two apart without another call.
	 */
	if (*cookie) {
		allocation_end(ctx, *cookie);
		return 0;
	}
	*cookie = allocation_begin(ctx);
	return !*cookie; /* 1: no return probe for this call */
}

SEC("uprobe/release")
int release(struct pt_regs *ctx)
{
	free_begin(ctx);
	return 0;
}

/* What a block born now would carry; run by the loader, which has no jiffies of its own. */
SEC("syscall")
int birth_clock(void *ctx)
{
	(void)ctx;
	return birth_now();
}
