// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause
/*
 * The floors that every cost claim is a multiple of: programs that do nothing, so that what is left
 * is the trap, the return trampoline and the call into BPF. User space gives each its attach type
 * before the load.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("uprobe")
int floor_session(void *ctx)
{
	(void)ctx;
	/* 0 at entry asks for the return call too: a floor for sessions that decline would be E. */
	return 0;
}

SEC("uprobe")
int floor_entry(void *ctx)
{
	(void)ctx;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
