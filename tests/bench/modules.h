/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process with many modules of many unwind rows: made up, for no one installs that many alike. */
#ifndef BENCH_MODULES_H
#define BENCH_MODULES_H

#include <sys/types.h>

#define MODULES_COUNT 100
#define MODULES_ROWS  20000 /* a module */

struct modules {
	pid_t pid;	    /* has all of them mapped, and is idle */
	char directory[64]; /* of the files */
};

int modules_start(struct modules *m);
void modules_stop(struct modules *m);

#endif
