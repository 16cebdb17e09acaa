// SPDX-License-Identifier: GPL-2.0-or-later
#include "seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/err.h"

#ifdef __x86_64__
#define NR_URETPROBE 335     /* arch/x86/entry/syscalls/syscall_64.tbl */
#define VERDICT	     EUCLEAN /* what no system call that does not exist returns */

static bool install_filter(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NR_URETPROBE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | VERDICT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/*
 * The call itself, out of its place, in a child: a kernel that has it answers by SIGILL or an error of its own, one
 * that does not by ENOSYS. Returns the errno, 0 when a signal ended the child.
 */
static int try_call(bool filtered)
{
	static const struct rlimit no_core;
	int status = 0;
	pid_t child = fork();

	if (!child) {
		signal(SIGILL, SIG_DFL);
		setrlimit(RLIMIT_CORE, &no_core);
		if (filtered && !install_filter())
			_exit(0);
		_exit(syscall(NR_URETPROBE) < 0 ? errno : 0);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		return 0;
	return WEXITSTATUS(status);
}

bool seccomp_sees_return_probes(void)
{
	/* Where the call does not exist, probed functions return through a breakpoint. */
	return try_call(false) != ENOSYS && try_call(true) == VERDICT;
}
#else
bool seccomp_sees_return_probes(void)
{
	return false;
}
#endif

int seccomp_check(const struct process *p)
{
	if (!process_is_filtered(p) || !seccomp_sees_return_probes())
		return 0;
	return err(-EOPNOTSUPP,
		"pid %d (%s) is under a seccomp filter, which this kernel applies to the returns "
		"of probed functions too: "
		"they would kill the process. Linux 6.14 or newer, or a stable release that has "
		"its fix, is needed",
		p->pid, p->comm);
}
