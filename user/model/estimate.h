/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a figure made of weighted samples may be from the truth. */
#ifndef HEAPTAP_ESTIMATE_H
#define HEAPTAP_ESTIMATE_H

#include <stdbool.h>

/* Fewer samples than this, and the interval is the wide, exact one. */
#define ESTIMATE_CONFIDENT 30

/*
 * The samples behind an estimate, counted as that many of equal weight would be: value^2 / variance.
 * Infinite for what is known exactly.
 */
double estimate_samples(double value, double variance);
/* Too few samples for the standard error to mean much. */
bool estimate_is_poor(double value, double variance);

struct estimate_interval {
	double low, high;
};
/*
 * The 95 % confidence interval of a sum of weighted samples, from its estimate and the estimate of
 * its variance.
 */
struct estimate_interval estimate_interval(double value, double variance);

#endif
