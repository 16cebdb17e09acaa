/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Figures of a process that is watched in windows: probes in for a moment, then out. Each window begins with empty
 * tables; this adds them up, and scales the sums to the whole time. What was live when a window closed has survived it.
 *
 * The scale is by the CPU time that the process had for itself, not by the clock: probes slow it down, and a busy one
 * does less in a second of a window than in one without.
 */
#ifndef HEAPTAP_WINDOWS_H
#define HEAPTAP_WINDOWS_H

#include "profile.h"

struct span {
	double wall_s;
	double cpu_s; /* of the process, overhead included */
	double own_s; /* without it; where it is not known, the same */
};

struct windows {
	struct snapshot sum; /* of the windows that are closed */
	struct span seen;    /* by them together */
	uint32_t count;
};

/* Adds a window that has closed. 0 or -ENOMEM. */
int windows_add(struct windows *w, const struct snapshot *window, const struct span *span);
/*
 * Turns the snapshot of the open window, whose span is 0 when there is none, into one of the whole time. Counts and
 * bytes are scaled; what is not known from windows is 0 and s->windowed says so. 0 or -ENOMEM.
 */
int windows_apply(const struct windows *w, struct snapshot *s, const struct span *open,
	const struct span *whole);
void windows_clear(struct windows *w);

#endif
