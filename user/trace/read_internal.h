/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a reading is put together from: figures.c for read.c. */
#ifndef HEAPTAP_READ_INTERNAL_H
#define HEAPTAP_READ_INTERNAL_H

#include "session_internal.h"

static inline uint64_t table_load(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Weights and sizes add up in fixed point, and are rounded once. */
uint64_t read_whole(uint64_t excess, int bits);
/* The stacks that the profile does not have yet: 0 or -ENOMEM. */
int read_stacks(struct session *s);
/*
 * All that the counters of a site tell, into the figures at `at` and the totals; of its live blocks they say nothing.
 * Returns how many calls of allocating functions have ended there.
 */
uint64_t read_site(const struct session *s, uint32_t id, struct snapshot *snap, uint32_t at);
/* The target's own counters. in_flight is what has begun: what has ended by site is still to be taken off. */
void read_counters(const struct session *s, const struct target *target, struct snapshot *snap);
/* Runs of our programs so far: at least as many as events of this target. */
uint64_t read_runs(const struct session *s, const struct target *target);

#endif
