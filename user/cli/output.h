/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Standard output, without ever being blocked by it: a reader that is slow or stopped must not keep probes in
 * the target beyond the time asked for.
 */
#ifndef HEAPTAP_OUTPUT_H
#define HEAPTAP_OUTPUT_H

#include "../base/buffer.h"

struct output {
	struct buffer pending; /* not yet written from `done` on */
	size_t done;
};

/* Can stdout be written at all? 0, or -EBADF after a message. Asked before there is anything to lose. */
int output_check(void);
/* Takes a report over, and writes of it what goes without waiting. 0, or -errno after a message. */
int output_add(struct output *o, const struct buffer *report);
/* Writes on, without waiting. 0, or -errno after a message. */
int output_flush(struct output *o);
bool output_pending(const struct output *o);
/*
 * Waits until all is written, or until the descriptor given is readable (-1: none): then -EINTR. 0, or -errno
 * after a message.
 */
int output_drain(struct output *o, int signal_fd);
void output_release(struct output *o);

#endif
