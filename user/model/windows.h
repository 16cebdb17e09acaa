/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Figures of a process that is watched in windows: probes in for a moment, then out. Each window begins with empty
 * tables; this adds them up, and scales the sums to the whole time. What was live when a window closed has survived it.
 */
#ifndef HEAPTAP_WINDOWS_H
#define HEAPTAP_WINDOWS_H

#include "profile.h"

struct windows {
	struct snapshot sum; /* of the windows that are closed */
	double seen_s;	     /* how long they lasted together */
	uint32_t count;
};

/* Adds a window that has closed, of so many seconds. 0 or -ENOMEM. */
int windows_add(struct windows *w, const struct snapshot *window, double seconds);
/*
 * Turns the snapshot of the open window, of `open_s` so far or 0, into one of all of `elapsed_s`. Counts and bytes are
 * scaled; what is not known from windows is 0 and s->windowed says so. 0 or -ENOMEM.
 */
int windows_apply(const struct windows *w, struct snapshot *s, double open_s, double elapsed_s);
void windows_clear(struct windows *w);

#endif
