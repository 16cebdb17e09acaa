/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stddef.h>

struct stats_interval {
	double low;
	double high;
};

/* Of n > 0 values, which are left as they are; NAN for none. */
double stats_median(const double *values, size_t n);
double stats_min(const double *values, size_t n);
double stats_max(const double *values, size_t n);

/*
 * 95 % interval of the median by the percentile bootstrap. The resampling is seeded by a constant,
 * so that the same values give the same interval. NAN for none.
 */
struct stats_interval stats_median_interval(const double *values, size_t n);

#endif
