/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * What each object of the kernel half has. There is one object a kind of link: a kernel refuses a
 * whole object for one function in it that it does not have. The attach types of the programs are
 * set by the loader (links.c), for libbpf 1.1 has no names for them.
 *
 * What a probe's cookie holds is said in records.h.
 */
#ifndef HEAPTAP_BPF_PROGRAMS_H
#define HEAPTAP_BPF_PROGRAMS_H

#include "calls.h"
#include "follow.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* What a block born now would carry; run by the loader, which has no jiffies of its own. */
SEC("syscall")
int birth_clock(void *ctx)
{
	(void)ctx;
	return birth_now();
}

#endif
