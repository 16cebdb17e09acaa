/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Since Linux 6.11 the return of a probed function passes through a system call, uretprobe, that the program never
 * made. Until 6.14 (and the stable releases of that time) seccomp judged it like any other: a filter that kills on
 * what it does not know kills the target at its next malloc.
 */
#ifndef HEAPTAP_SECCOMP_H
#define HEAPTAP_SECCOMP_H

#include "../target/process.h"

/* 0: return probes do the process no harm; else -EOPNOTSUPP after a message. */
int seccomp_check(const struct process *p);

/* Does the kernel show the returns of probes to seccomp? Found out by trying, in a child. */
bool seccomp_sees_return_probes(void);

#endif
