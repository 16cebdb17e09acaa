/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The threads of the target under the ids that the kernel half sees: those of the initial pid namespace. They are
 * ours too, unless heaptap runs in a pid namespace of its own.
 */
#ifndef HEAPTAP_TASKS_H
#define HEAPTAP_TASKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../base/buffer.h"

struct tasks {
	pid_t pid;	   /* as heaptap sees it */
	uint32_t tgid;	   /* as the kernel half sees it */
	int link;	   /* iterates over the threads; -1: the ids need no translation */
	struct buffer ids; /* struct ht_thread_id each, as of the last reading */
};

/* 0, or -errno after a message. The caller owns *t and calls tasks_close(). */
int tasks_open(struct tasks *t, pid_t pid);
void tasks_close(struct tasks *t);

/* Of the pid namespace that heaptap is in; 0: the initial one. */
uint32_t tasks_own_level(void);

/* Has the thread of this id in the initial pid namespace ended? */
bool tasks_thread_ended(struct tasks *t, uint32_t tid);

#endif
