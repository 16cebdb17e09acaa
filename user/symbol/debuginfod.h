/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debug files from servers, only when DEBUGINFOD_URLS names some. The client's library is loaded at
 * the first question: it brings a whole HTTP stack, which those who have no server need not load.
 */
#ifndef HEAPTAP_DEBUGINFOD_H
#define HEAPTAP_DEBUGINFOD_H

#include <stdatomic.h>

#include "debuglinks.h"

struct debuginfod;

/* Loads nothing yet. cancelled: ends a download within a second. NULL: no memory. */
struct debuginfod *debuginfod_new(const atomic_bool *cancelled);
void debuginfod_free(struct debuginfod *d);
/*
 * The debug file of a build id, or -errno: -ENOENT when no server has it, -ENOTCONN when none is
 * asked (any more: who did not answer in time is not asked again).
 */
int debuginfod_get(struct debuginfod *d, const struct build_id *id);

#endif
