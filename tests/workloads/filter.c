// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Becomes COMMAND under a seccomp filter like those of service managers: a list of the system calls that its author
 * knew, and the process dies at any other. 335 to 423 have no meaning on x86-64 but uretprobe and uprobe, which the
 * kernel makes programs call at probes.
 */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "workload.h"

#define FIRST_UNKNOWN 335
#define NEXT_KNOWN    424

int main(int argc, char **argv)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NEXT_KNOWN, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FIRST_UNKNOWN, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	if (argc < 2)
		wl_die("usage: filter COMMAND ARG...");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		wl_die("cannot install the filter");
	execv(argv[1], argv + 1);
	wl_die("cannot run the command");
}
