// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause
/* Entry and return programs for uprobe_multi links (Linux 6.6) and for perf uprobes (5.15). */
#include "pair.h"

/* At the entry of all functions: one link a module serves those that allocate and those that free. */
SEC("uprobe/enter")
int enter(struct pt_regs *ctx)
{
	u32 role = bpf_get_attach_cookie(ctx) & 0xff;

	if (role == HT_ROLE_FREE)
		free_begin(ctx);
	else
		pair_begin(ctx, role);
	return 0;
}

/* At the return of those that allocate. */
SEC("uprobe/leave")
int leave(struct pt_regs *ctx)
{
	pair_end(ctx);
	return 0;
}
