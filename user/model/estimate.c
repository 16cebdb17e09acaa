// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate.h"

#include <math.h>

#define Z_95	1.959963984540054 /* of the normal distribution, two-sided */
#define TAIL_95 0.025
#define ROUNDS	200

double estimate_samples(double value, double variance)
{
	return variance > 0 ? value * value / variance : INFINITY;
}

bool estimate_is_poor(double value, double variance)
{
	return estimate_samples(value, variance) < ESTIMATE_CONFIDENT;
}

/*
 * The regularized lower incomplete gamma function, by its series (Abramowitz and Stegun 6.5.29): the
 * shapes here are at most a few dozen, where it converges everywhere that matters.
 */
static double gamma_probability(double shape, double x)
{
	double term = 1 / shape, sum = term;

	if (x <= 0)
		return 0;
	for (int i = 1; i < 1000 && term > sum * 1e-15; i++) {
		term *= x / (shape + i);
		sum += term;
	}
	return sum * exp(shape * log(x) - x - lgamma(shape));
}

static double gamma_quantile(double shape, double probability)
{
	double low = 0, high = shape + 20 * sqrt(shape) + 20;

	for (int i = 0; i < ROUNDS && high - low > 1e-12 * high; i++) {
		double middle = (low + high) / 2;

		if (gamma_probability(shape, middle) < probability)
			low = middle;
		else
			high = middle;
	}
	return (low + high) / 2;
}

/*
 * n Poisson samples of weight `unit` each. Few: the exact interval of Garwood (1936), by gamma
 * quantiles, which also take the fractions of samples that unequal weights make (Fay and Feuer 1997).
 * Many: the score interval, whose coverage, other than that of n +- z sqrt(n), is right from 30 on
 * (Brown, Cai and DasGupta 2003).
 */
struct estimate_interval estimate_interval(double value, double variance)
{
	double n = estimate_samples(value, variance), unit, middle, half;

	if (!isfinite(n) || value <= 0)
		return (struct estimate_interval){ value, value };
	unit = variance / value;
	if (n < ESTIMATE_CONFIDENT)
		return (struct estimate_interval){ unit * gamma_quantile(n, TAIL_95),
			unit * gamma_quantile(n + 1, 1 - TAIL_95) };
	middle = n + Z_95 * Z_95 / 2;
	half = Z_95 * sqrt(n + Z_95 * Z_95 / 4);
	return (struct estimate_interval){ unit * (middle - half), unit * (middle + half) };
}
