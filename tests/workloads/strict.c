// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Allocates in seccomp's strict mode, where read, write, sigreturn and the exit of a thread are all
 * that is allowed; with --late it enters that mode after "go". It cannot write its truth there: that
 * is 2 * PAIRS blocks allocated and PAIRS freed, 64 bytes each.
 */

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "workload.h"

#define PAIRS 500

WL_SITE static void *site_malloc(void)
{
	return wl_kept(malloc(wl_opaque(64)));
}

static void enter_strict_mode(void)
{
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		wl_die("no strict mode");
}

int main(int argc, char **argv)
{
	int late = 0;
	const struct wl_option options[] = {
		{ "--late", NULL, NULL, &late },
		{ NULL, NULL, NULL, NULL },
	};
	char line[64];

	wl_options(argc, argv, options);
	/* The heap must not grow later: that takes a system call. */
	free(wl_kept(malloc(wl_opaque(100000))));
	if (!late)
		enter_strict_mode();
	wl_say("ready 0\n");
	wl_expect("go");
	if (late)
		enter_strict_mode();
	for (int i = 0; i < PAIRS; i++) {
		site_malloc();
		free(site_malloc());
	}
	wl_say("done\n");
	/* exit_group, which _exit() calls, is not allowed. */
	wl_line(line, sizeof(line));
	syscall(SYS_exit, 0);
}
