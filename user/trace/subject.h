/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A child of our own that runs loops when it is told to, for measuring what probes cost here. */
#ifndef HEAPTAP_SUBJECT_H
#define HEAPTAP_SUBJECT_H

#include <stdint.h>
#include <sys/types.h>

struct subject {
	pid_t pid;
	int socket;
};

/*
 * Forks it. `prepare`, or NULL, runs in the child first: not 0, and the child ends. `run` does a piece of work so
 * many times. Neither may wait for a lock: the caller may have threads. 0 or -errno.
 */
int subject_start(
	struct subject *s, int (*prepare)(void), void (*run)(uint32_t work, uint32_t times));
/*
 * CPU ns that one turn of this work takes, in the fastest of some batches: the machine has other users. 0, or -ESRCH:
 * the child has died.
 */
int subject_measure(
	const struct subject *s, uint32_t work, uint32_t times, uint32_t batches, double *ns);
void subject_stop(struct subject *s); /* also a zeroed one */

#endif
