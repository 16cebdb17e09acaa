// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause
/* Entry and return programs for uprobe_multi links (Linux 6.6) and for perf uprobes (5.15). */
#include "pair.h"

/* At the entry of all functions: one link a module serves those that allocate and those that free. */
SEC("uprobe/enter")
int enter(struct pt_regs *ctx)
{
	u32 role = bpf_get_attach_cookie(ctx) & 0xff, pulse = PULSE_NONE;

	if (role == HT_ROLE_FREE) {
		free_begin(ctx);
		return 0;
	}
	pair_begin(ctx, role, &pulse);
	pulse_end(pulse);
	return 0;
}

/* At the return of those that allocate. */
SEC("uprobe/leave")
int leave(struct pt_regs *ctx)
{
	u32 pulse = PULSE_NONE;

	pair_end(ctx, &pulse);
	pulse_end(pulse);
	return 0;
}
