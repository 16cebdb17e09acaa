/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that makes links, holds them, and closes them: when it is told to, and at once when
 * heaptap is killed.
 *
 * A process of its own, for the kernel does not finish what it changes in a target's text for a
 * process that SIGKILL has hit: making or closing a link then leaves breakpoints behind ("failed to
 * unregister, leaking uprobe"). kill -9 of heaptap does not hit this one, and one that is killed
 * while it only holds links has them closed by its exit as they should be.
 */
#ifndef HEAPTAP_KEEPER_H
#define HEAPTAP_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct descriptors {
	int *all;
	uint32_t count;
};

/* Takes the descriptor over, also when it fails. 0 or -ENOMEM. */
int descriptors_add(struct descriptors *d, int fd);
/*
 * Closes all at once, each in a thread of its own, for each waits for grace periods of the kernel:
 * 40 ms alone, hardly more together. Returns when all are closed.
 */
void descriptors_close(struct descriptors *d);

struct keeper {
	pid_t pid;
	int channel; /* of nothing but its end */
};

/*
 * Runs make() in a new process, which keeps what that adds. 0, what make() returned, or -errno,
 * silently. `others` have been started before: the new one must not hold their channels.
 */
int keeper_start(struct keeper *k, int (*make)(const void *context, struct descriptors *made),
	const void *context, const struct keeper *others, uint32_t other_count);
/* Not if someone has killed it: its links are gone then. */
bool keeper_lives(const struct keeper *k);
/* Begins to close what it keeps. */
void keeper_begin_stop(struct keeper *k);
/* Waits until all is closed. */
void keeper_stop(struct keeper *k);

#endif
