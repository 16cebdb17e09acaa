/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program that does nothing: for trying what the kernel takes, and what its traps cost. */
#ifndef HEAPTAP_EMPTY_PROGRAM_H
#define HEAPTAP_EMPTY_PROGRAM_H

#include <stdint.h>

/*
 * Returns 0 at each probe, which asks a session for the return too; of this expected attach type, 0 for perf links. A
 * descriptor or -errno.
 */
int empty_program_load(uint32_t attach_type);

#endif
