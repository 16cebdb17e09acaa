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
/* A site's counters; of its live blocks they say nothing. */
void read_site(const struct session *s, uint32_t id, struct site_figures *f);
/* The target's own counters. in_flight is what has begun: what has ended by site is still to be taken off. */
void read_counters(const struct session *s, const struct target *target, struct snapshot *snap);
/* Sums over the sites. */
void read_totals(const struct session *s, struct snapshot *snap);

#endif
