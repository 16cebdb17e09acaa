/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of heaptap doctor: each looks at one thing and adds what it found to the list. */
#ifndef HEAPTAP_DOCTOR_H
#define HEAPTAP_DOCTOR_H

#include <sys/types.h>

#include "../base/buffer.h"
#include "../model/checks.h"
#include "../trace/features.h"

/* The machine and heaptap on it. */
void doctor_kernel(struct checks *c, const struct features *features);
/* Tried on a child of our own; says nothing where tracing does not work at all. */
void doctor_seccomp(struct checks *c);
void doctor_privileges(struct checks *c, const struct features *features);
void doctor_limits(struct checks *c);
void doctor_memory(struct checks *c);
/*
 * Traces a child of our own and measures what a pair of malloc and free costs it: proof that tracing works. 0, or
 * what failed, -errno.
 */
int doctor_cost(struct checks *c, const struct features *features);
/* What a process allows, without touching it. 0, or why it cannot be traced, -errno. */
int doctor_target(struct checks *c, pid_t pid);

/*
 * Says of the check added last what the first of the captured messages said: later ones tell what it led to. Its advice
 * becomes the remedy.
 */
void doctor_add_message(struct checks *c, struct buffer *messages, int error);

#endif
