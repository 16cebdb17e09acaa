/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Test builds (make TRUTH=1): with HEAPTAP_TRUTH=EVERY:COUNT:FILE in the environment, registers, stack and
 * our frames of each EVERY-th event go to FILE, a struct truth_record each, for another unwinder to check;
 * after COUNT of them the run ends as by SIGINT.
 */
#ifndef HEAPTAP_TRUTH_H
#define HEAPTAP_TRUTH_H

#include <stdint.h>

#include "../../include/records.h"

struct truth_record {
	uint64_t pc, sp, bp, bx;
	uint32_t tid;
	uint32_t flags; /* HT_STACK_* */
	uint32_t frame_count;
	uint32_t stack_bytes;
	uint64_t addresses[HT_MAX_FRAMES + 1]; /* of the process: in calls, or interrupted code */
	uint8_t interrupted[HT_MAX_FRAMES + 1];
	/* followed by stack_bytes of stack, from sp on */
};

struct session;
/* Before the load: the knob. */
void truth_configure(struct session *s);
/* After the load, and with session_wait(). */
int truth_open(struct session *s);
void truth_consume(struct session *s);
void truth_close(struct session *s);

#endif
