// SPDX-License-Identifier: GPL-2.0-or-later
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "stats.h"

#define RESAMPLES 4000u

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts in place. */
static double median_of(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double stats_median(const double *values, size_t n)
{
	cleanup_free double *copy = n ? malloc(n * sizeof(*copy)) : NULL;

	if (!copy)
		return NAN;
	memcpy(copy, values, n * sizeof(*copy));
	return median_of(copy, n);
}

double stats_min(const double *values, size_t n)
{
	double min = n ? values[0] : NAN;

	for (size_t i = 1; i < n; i++)
		min = values[i] < min ? values[i] : min;
	return min;
}

double stats_max(const double *values, size_t n)
{
	double max = n ? values[0] : NAN;

	for (size_t i = 1; i < n; i++)
		max = values[i] > max ? values[i] : max;
	return max;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

struct stats_interval stats_median_interval(const double *values, size_t n)
{
	struct stats_interval interval = { NAN, NAN };
	cleanup_free double *medians = n ? malloc(RESAMPLES * sizeof(*medians)) : NULL;
	cleanup_free double *sample = n ? malloc(n * sizeof(*sample)) : NULL;
	uint64_t seed = 0x9e3779b97f4a7c15ull;

	if (!medians || !sample)
		return interval;
	for (size_t i = 0; i < RESAMPLES; i++) {
		for (size_t j = 0; j < n; j++)
			sample[j] = values[next_random(&seed) % n];
		medians[i] = median_of(sample, n);
	}
	qsort(medians, RESAMPLES, sizeof(*medians), compare);
	interval.low = medians[(size_t)(RESAMPLES * 0.025)];
	interval.high = medians[(size_t)(RESAMPLES * 0.975)];
	return interval;
}
