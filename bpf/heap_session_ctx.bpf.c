// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause
/* Sessions from Linux 7.0 on. */
#include "session.h"

extern __u64 *bpf_session_cookie(void *ctx) __ksym;

SEC("uprobe/allocate")
int allocate(struct pt_regs *ctx)
{
	return session_run(ctx, bpf_session_cookie(ctx));
}
