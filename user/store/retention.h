/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Thins what is old: of the snapshots of a span of time the last one is kept, and those that someone asked for, the
 * newest peak, the first, and keyframes. What is dropped is added to the next that is kept, so that every sum stays.
 */
#ifndef HEAPTAP_RETENTION_H
#define HEAPTAP_RETENTION_H

#include "sql.h"

struct retention {
	uint64_t full_ns;   /* younger than this: all are kept; UINT64_MAX: for ever */
	uint64_t thin_ns;   /* the span */
	uint64_t next_ns;   /* elapsed time of the oldest snapshot not looked at yet */
	uint32_t last_peak; /* snapshot: no earlier peak is left but keyframes; 0: there was none */
};

/*
 * target: its id in the recording; now_ns: elapsed time of its newest snapshot. Looks at what has become old since the
 * last call, in a transaction of its own. 0 or -errno after a message.
 */
int retention_apply(struct retention *r, struct sql *sql, uint32_t target, uint64_t now_ns);
/* A higher peak than those before has been kept as `newest`: they are dropped, unless all snapshots are kept. */
int retention_supersede_peaks(
	const struct retention *r, struct sql *sql, uint32_t target, uint32_t newest);

#endif
