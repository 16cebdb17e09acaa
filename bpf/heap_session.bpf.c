// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause
/* Sessions of Linux 6.13 to 6.19. */
#include "session.h"

extern __u64 *bpf_session_cookie(void) __ksym;

SEC("uprobe/allocate")
int allocate(struct pt_regs *ctx)
{
	return session_run(ctx, bpf_session_cookie());
}
