/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread that does one piece of work after another, so that a loop need not wait for it:
 *
 *   loop: worker_add() --> thread: run() --> done --> loop: worker_take()
 *
 * Work is embedded in what it is about; whoever holds it owns it. Any thread may add.
 */
#ifndef HEAPTAP_WORKER_H
#define HEAPTAP_WORKER_H

#include <stdint.h>

struct work {
	struct work *next;
	void (*run)(struct work *work); /* in the thread */
};

struct worker;

/* Starts the thread; it inherits the signal mask. NULL after a message, which says what it is for. */
struct worker *worker_new(const char *purpose);
void worker_add(struct worker *w, struct work *work);
/* Readable once there is work done. */
int worker_fd(const struct worker *w);
/* The next piece that is done; NULL: none is yet. */
struct work *worker_take(struct worker *w);
/* Added and not taken yet. */
uint32_t worker_pending(struct worker *w);
/* Ends the thread after the piece that it is at. What is left is had by worker_take() and worker_take_undone(). */
void worker_stop(struct worker *w);
struct work *worker_take_undone(struct worker *w);
void worker_free(struct worker *w); /* stopped; NULL is allowed */

#endif
