/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * When one event may reach a program through two links: while links for single processes are exchanged
 * for one for all, and where two names of one file (two overlay mounts over one lower directory) have a
 * link each. Then only the link that the loader names for the file that the process has mapped counts.
 */
#ifndef HEAPTAP_BPF_ACCEPT_H
#define HEAPTAP_BPF_ACCEPT_H

#include "process.h"
#include "ranges.h"

/* Global, scalars only: off the usual path. */
__noinline int link_accepts(u32 slot, u64 pc, u64 cookie)
{
	u32 file = cookie >> HT_COOKIE_FILE_SHIFT & 0xffff, index;
	struct ht_linked *linked = bpf_map_lookup_elem(&linked_files, &file);
	struct ht_range *r;

	if (!linked || linked->for_all != cookie >> HT_COOKIE_FOR_ALL_SHIFT)
		return 0;
	index = range_of_pc(pc, slot);
	r = bpf_map_lookup_elem(&ranges, &index);
	return !r || r->module == linked->module; /* not known yet: a program that has just begun */
}

static __always_inline int is_accepted(struct pt_regs *ctx, const struct ht_process *p)
{
	return !*(volatile u32 *)&control.check_links ||
	       link_accepts(p->slot, ctx->ip, bpf_get_attach_cookie(ctx));
}

#endif
