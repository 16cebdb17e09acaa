/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel takes for a probe before and after our program, which cannot time it itself: measured on a child of
 * our own, in some milliseconds, with the link kind that is in use.
 */
#ifndef HEAPTAP_TRAP_COST_H
#define HEAPTAP_TRAP_COST_H

#include <stdbool.h>

#include "features.h"

/* CPU ns. */
struct trap_cost {
	double entry;	 /* of a probe on an instruction that the kernel emulates */
	double stepped;	 /* on one that it single-steps */
	double returned; /* of the return that follows an entry */
};

/*
 * 0 or -errno, silently. Once a kind: later calls give the same figures again. May run in any thread; *stop, set from
 * another, ends it soon with -ECANCELED.
 */
int trap_cost_measure(enum link_kind kind, const bool *stop, struct trap_cost *cost);

#endif
