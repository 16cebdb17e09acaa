// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sampler of the kernel half on the host: its arithmetic, and a simulation of whole processes
 * whose truth is known, as many as the argument (default 400) says. `make check-full` runs 20,000.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../include/sampling.h"
#include "../../user/base/cleanup.h"
#include "../../user/model/estimate.h"

#define Q32 4294967296.0

static unsigned long seeds = 400;

/* splitmix64 (Steele, Lea and Flood 2014): any two seeds give unrelated sequences. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* --- arithmetic ------------------------------------------------------------------------------ */

static void check_logarithm(uint64_t v)
{
	double error = fabs((double)ht_ln(v) / Q32 - (double)logl((long double)v));

	if (error > 2e-9)
		fail_msg("ln(%llu) is wrong by %g", (unsigned long long)v, error);
}

static void test_logarithm(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (int bit = 0; bit < 64; bit++) {
		uint64_t power = 1ULL << bit;

		check_logarithm(power);
		check_logarithm(power | 1);
		check_logarithm(2 * power - 1);
	}
	for (uint64_t v = 1; v < 100000; v++)
		check_logarithm(v);
	for (int i = 0; i < 1000000; i++) {
		uint64_t v = next_random(&random);

		check_logarithm(v >> (v & 63) | 1);
	}
}

static void test_exponential(void **state)
{
	(void)state;
	for (uint64_t x = 0; x < 70 << 20; x++) {
		/* Every 2^-20 up to 70, with other bits below. */
		uint64_t at = x << 12 | (x * 2654435761U >> 7 & 0xfff);
		double error = fabs((double)ht_exp_minus(at) / Q32 - exp(-(double)at / Q32));

		if (error > 1e-9)
			fail_msg("exp(-%.9f) is wrong by %g", (double)at / Q32, error);
	}
	assert_int_equal(ht_exp_minus(0), HT_Q32_ONE);
	assert_int_equal(ht_exp_minus(~0ULL), 0);
}

/* The weight of a block, in floating point. */
static double true_weight(uint64_t size, uint32_t interval)
{
	return -1 / expm1(-(double)(size ? size : 1) / exp2(interval));
}

static void check_weight(uint64_t size, uint32_t interval)
{
	double expected = true_weight(size, interval), count, bytes;
	struct ht_weight w;

	ht_weigh(size, interval, &w);
	count = 1 + (double)w.count / 65536;
	bytes = (double)size + (double)w.bytes / 256;
	if (fabs(count / expected - 1) > 2e-5)
		fail_msg("weight of %llu bytes at 2^%u: %g, not %g", (unsigned long long)size,
			interval, count, expected);
	/* Half a unit, and 2^-26 of the rest. */
	if (fabs(bytes - expected * (double)size) > 1.0 / 256 + bytes * 1e-7)
		fail_msg("weighted bytes of %llu at 2^%u: %g, not %g", (unsigned long long)size,
			interval, bytes, expected * (double)size);
}

static void test_weights(void **state)
{
	struct ht_weight w = { 1, 1 };

	(void)state;
	for (uint32_t interval = 1; interval <= HT_INTERVAL_MAX_LOG2; interval++) {
		for (uint64_t size = 0; size < 70000; size++)
			check_weight(size, interval);
		for (double size = 70000; size < exp2(interval + 8); size *= 1.0007)
			check_weight((uint64_t)size, interval);
		check_weight(1ULL << 47, interval);
		check_weight(UINT64_MAX, interval);
	}
	/* An interval of one byte is no sampling; an impossible one is taken for that. */
	ht_weigh(5, 0, &w);
	assert_int_equal(w.count + w.bytes, 0);
	ht_weigh(5, 63, &w);
	assert_int_equal(w.count + w.bytes, 0);
}

/* Averaged over the noise, w (w-1) and the same of bytes. */
static void test_variance(void **state)
{
	(void)state;
	for (uint32_t interval = 1; interval <= HT_INTERVAL_MAX_LOG2; interval++) {
		for (double at = 1; at < exp2(interval + 4); at *= 1.9) {
			uint64_t size = (uint64_t)at;
			double w = true_weight(size, interval), count = 0, bytes = 0, expected;
			struct ht_weight weight;

			ht_weigh(size, interval, &weight);
			for (uint32_t i = 0; i < 4096; i++) {
				uint32_t noise = i << 20;

				count += (double)ht_count_variance(&weight, noise) / 4096;
				bytes += (double)ht_bytes_variance(&weight, size, noise) / 4096;
			}
			bytes *= 1 << HT_VARIANCE_BYTES_SHIFT;
			if (fabs(count - w * (w - 1)) > 1e-3 + 1e-3 * w * (w - 1))
				fail_msg("count variance of %llu at 2^%u: %g, not %g",
					(unsigned long long)size, interval, count, w * (w - 1));
			expected = w * (w - 1) * (double)size * (double)size;
			if (fabs(bytes - expected) > 64 + 1e-2 * expected)
				fail_msg("bytes variance of %llu at 2^%u: %g, not %g",
					(unsigned long long)size, interval, bytes, expected);
		}
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Draws are a unit exponential: by Kolmogorov and Smirnov, at one in a million. */
static void test_draws(void **state)
{
	enum { DRAWS = 1000000 };
	double *draws CLEANUP_FREE = malloc(DRAWS * sizeof(*draws)), worst = 0;
	uint64_t random = 42;

	(void)state;
	assert_non_null(draws);
	for (int i = 0; i < DRAWS; i++)
		draws[i] = (double)ht_draw(next_random(&random)) / Q32;
	qsort(draws, DRAWS, sizeof(*draws), by_value);
	for (int i = 0; i < DRAWS; i++) {
		double distance = fabs(-expm1(-draws[i]) - (i + 0.5) / DRAWS);

		worst = fmax(worst, distance);
	}
	if (worst * sqrt(DRAWS) > 2.7)
		fail_msg("distance from the exponential distribution: %g", worst);
	assert_in_range(ht_draw(0), HT_Q32_ONE * 44, HT_TICKS_SURE - 1);
	assert_in_range(ht_draw(UINT64_MAX), 1, 8); /* the logarithm's rounding */
}

static int is_sampled(int64_t *left, uint64_t size, uint32_t interval, uint64_t *random)
{
	__s64 before;
	uint64_t ticks = ht_ticks(size, interval);

	if (ht_sample_passes((__s64 *)left, ticks, &before))
		return 0;
	return ht_sample_point((__s64 *)left, ticks, before, next_random(random));
}

/* However large, a block is followed, and the count-down stays sane. */
static void test_huge_blocks(void **state)
{
	static const uint64_t sizes[] = { 1ULL << 40, 1ULL << 47, 1ULL << 62, UINT64_MAX };
	uint64_t random = 3;
	int64_t left = (int64_t)ht_draw(next_random(&random));

	(void)state;
	for (uint32_t interval = 0; interval <= HT_INTERVAL_MAX_LOG2; interval++)
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			assert_true(is_sampled(&left, sizes[i], interval, &random));
			assert_true(left > 0 && left < (int64_t)HT_TICKS_SURE);
		}
}

/* --- one count-down, many threads ------------------------------------------------------------ */

#define THREADS	     4
#define THREAD_DRAWS 3000000
#define THREAD_SIZE  300
#define THREAD_LOG2  10

static int64_t shared_left;

static void *draw_shared(void *argument)
{
	uint64_t random = (uint64_t)(uintptr_t)argument, sampled = 0;

	for (int i = 0; i < THREAD_DRAWS; i++)
		sampled += (uint64_t)is_sampled(&shared_left, THREAD_SIZE, THREAD_LOG2, &random);
	return (void *)(uintptr_t)sampled;
}

/* Threads whose ids collide share a count-down: their races must not show. */
static void test_shared_countdown(void **state)
{
	double p = 1 / true_weight(THREAD_SIZE, THREAD_LOG2), n = (double)THREADS * THREAD_DRAWS;
	pthread_t threads[THREADS];
	uint64_t random = 5, sampled = 0;

	(void)state;
	shared_left = (int64_t)ht_draw(next_random(&random));
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, draw_shared, (void *)(i + 10)), 0);
	for (int i = 0; i < THREADS; i++) {
		void *count;

		pthread_join(threads[i], &count);
		sampled += (uintptr_t)count;
	}
	if (fabs((double)sampled - n * p) > 5 * sqrt(n * p * (1 - p)))
		fail_msg("%llu of %g sampled, %g expected", (unsigned long long)sampled, n, n * p);
	assert_true(shared_left > 0);
}

/* --- intervals of estimates ------------------------------------------------------------------ */

/* Garwood (1936), from tables of the chi-squared distribution. */
static void test_exact_intervals(void **state)
{
	static const struct {
		double n, low, high;
	} table[] = { { 1, 0.0253178, 5.571643 }, { 2, 0.2422093, 7.224688 },
		{ 5, 1.623486, 11.66833 }, { 10, 4.795389, 18.39036 }, { 20, 12.21652, 30.88838 },
		{ 29, 19.42174, 41.64863 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		/* Samples of weight 1000: value 1000 n, variance 1000^2 n. */
		struct estimate_interval in =
			estimate_interval(table[i].n * 1000, table[i].n * 1e6);

		if (fabs(in.low / 1000 / table[i].low - 1) > 1e-5 ||
			fabs(in.high / 1000 / table[i].high - 1) > 1e-5)
			fail_msg("%g samples: %g to %g", table[i].n, in.low, in.high);
		assert_true(estimate_is_poor(table[i].n * 1000, table[i].n * 1e6));
	}
	assert_false(estimate_is_poor(30000, 30e6));
}

static void test_certain_intervals(void **state)
{
	struct estimate_interval in = estimate_interval(12345, 0);

	(void)state;
	assert_true(in.low == 12345 && in.high == 12345);
	assert_false(estimate_is_poor(12345, 0));
	in = estimate_interval(0, 0);
	assert_true(in.low == 0 && in.high == 0);
	/* Close to certain: as the normal distribution has it. */
	in = estimate_interval(1e6, 100);
	assert_true(fabs(in.low - (1e6 - 19.6)) < 0.1 && fabs(in.high - (1e6 + 19.6)) < 0.1);
}

/* --- simulation ------------------------------------------------------------------------------ */

/* The blocks of a site, the same in each run; the sampler's randomness is what differs. */
struct scenario {
	const char *name;
	uint32_t blocks;
	uint64_t (*size)(uint32_t i);
};

static uint64_t size_of_16(uint32_t i)
{
	(void)i;
	return 16;
}

static uint64_t size_of_48(uint32_t i)
{
	(void)i;
	return 48;
}

static uint64_t size_of_100(uint32_t i)
{
	(void)i;
	return 100;
}

static uint64_t size_of_page(uint32_t i)
{
	(void)i;
	return 4096;
}

static uint64_t size_of_large(uint32_t i)
{
	return 20000 + i * 4000;
}

static uint64_t size_of_nothing(uint32_t i)
{
	return i & 1;
}

/* From 8 to 8192, each power of two alike. */
static uint64_t size_of_any(uint32_t i)
{
	uint64_t power = 8ULL << i % 10;

	return power + (i * 2654435761U >> 8) % power;
}

static uint64_t size_of_two_kinds(uint32_t i)
{
	return i % 10 ? 24 : 2000;
}

static uint64_t size_around_interval(uint32_t i)
{
	return 1024 + i * 64 % 8192;
}

/* Expected samples at the interval of the run, 4096: blocks * size / 4096 for small ones. */
static const struct scenario scenarios[] = {
	{ "39 samples of 16 bytes", 10000, size_of_16 },
	{ "30 samples of 48 bytes", 2575, size_of_48 },
	{ "35 samples of 48 bytes", 3005, size_of_48 },
	{ "122 samples of 100 bytes", 5000, size_of_100 },
	{ "all sizes", 600, size_of_any },
	{ "two kinds of sizes", 3000, size_of_two_kinds },
	{ "around the interval", 128, size_around_interval },
	{ "pages", 100, size_of_page },
	{ "large blocks", 20, size_of_large },
	{ "10 samples of 16 bytes", 2560, size_of_16 },
	{ "3 samples of 100 bytes", 120, size_of_100 },
	{ "3 samples of no bytes or one", 12288, size_of_nothing },
};
#define SITES	    ARRAY_SIZE(scenarios)
#define RUN_LOG2    12
#define SIM_THREADS 7
#define FREED_OF_8  3 /* blocks whose index is below this, modulo 8, are freed again */

enum quantity { ALLOC_COUNT, ALLOC_BYTES, LIVE_COUNT, LIVE_BYTES, QUANTITIES };
static const char *const quantity_names[] = { "alloc_count", "alloc_bytes", "live_count",
	"live_bytes" };

struct truth {
	double value, variance, samples;
};

/* Sums over runs of one quantity of one site. */
struct tally {
	double error, variance;
	uint64_t covered, confident;
};

struct simulation {
	struct truth truth[SITES][QUANTITIES];
	struct tally tally[SITES][QUANTITIES];
	uint64_t first, last; /* seeds, for one thread */
};

/* Half-way through the interval is halved and comes back: as it may at any moment. */
static uint32_t interval_at(uint32_t i)
{
	return i % 4 == 3 ? RUN_LOG2 - 1 : RUN_LOG2;
}

static void add_truth(struct truth *truth, double size, double w)
{
	truth[0].value += 1;
	truth[0].variance += w - 1; /* (1-p)/p */
	truth[0].samples += 1 / w;
	truth[1].value += size;
	truth[1].variance += size * size * (w - 1);
	truth[1].samples += 1 / w;
}

static void find_truth(struct simulation *s)
{
	for (size_t site = 0; site < SITES; site++)
		for (uint32_t i = 0; i < scenarios[site].blocks; i++) {
			uint64_t size = scenarios[site].size(i);
			double w = true_weight(size, interval_at(i));

			add_truth(&s->truth[site][ALLOC_COUNT], (double)size, w);
			if (i % 8 >= FREED_OF_8)
				add_truth(&s->truth[site][LIVE_COUNT], (double)size, w);
		}
}

/* What the kernel half counts and the loader makes of it. */
static void add_sample(
	double *value, double *variance, uint64_t size, const struct ht_weight *w, uint64_t noise)
{
	value[0] += 1 + (double)w->count / 65536;
	value[1] += (double)size + (double)w->bytes / 256;
	variance[0] += (double)ht_count_variance(w, (uint32_t)noise);
	variance[1] += (double)ht_bytes_variance(w, size, (uint32_t)(noise >> 32)) *
		       (1 << HT_VARIANCE_BYTES_SHIFT);
}

static void run_site(struct simulation *s, size_t site, int64_t *left, uint64_t *random)
{
	double value[QUANTITIES] = { 0 }, variance[QUANTITIES] = { 0 };

	for (uint32_t i = 0; i < scenarios[site].blocks; i++) {
		uint64_t size = scenarios[site].size(i), noise;
		int64_t *mine = &left[(i * 11 + site) % SIM_THREADS];
		struct ht_weight w;

		if (!is_sampled(mine, size, interval_at(i), random))
			continue;
		ht_weigh(size, interval_at(i), &w);
		noise = next_random(random);
		add_sample(&value[ALLOC_COUNT], &variance[ALLOC_COUNT], size, &w, noise);
		if (i % 8 >= FREED_OF_8)
			add_sample(&value[LIVE_COUNT], &variance[LIVE_COUNT], size, &w, noise);
	}
	for (int q = 0; q < QUANTITIES; q++) {
		struct estimate_interval in = estimate_interval(value[q], variance[q]);
		struct tally *t = &s->tally[site][q];
		double truth = s->truth[site][q].value;

		t->error += value[q] - truth;
		t->variance += variance[q];
		t->covered += in.low <= truth && truth <= in.high;
		t->confident += !estimate_is_poor(value[q], variance[q]);
	}
}

static void *run_seeds(void *argument)
{
	struct simulation *s = argument;

	for (uint64_t seed = s->first; seed < s->last; seed++) {
		int64_t left[SIM_THREADS];
		uint64_t random = seed;

		for (int i = 0; i < SIM_THREADS; i++)
			left[i] = (int64_t)ht_draw(next_random(&random));
		for (size_t site = 0; site < SITES; site++)
			run_site(s, site, left, &random);
	}
	return NULL;
}

static int judge(const struct simulation *s, size_t site, enum quantity q)
{
	const struct truth *truth = &s->truth[site][q];
	const struct tally *t = &s->tally[site][q];
	double runs = (double)seeds, deviation = sqrt(truth->variance * runs);
	double z = deviation > 0 ? t->error / deviation : t->error;
	double coverage = (double)t->covered / runs, variance = t->variance / runs;
	double effective = truth->value * truth->value / truth->variance;
	bool many = truth->samples >= 30 && effective >= 30;
	/* Of 20,000 runs the coverage itself is known to 0.15 %; of fewer, to less. */
	double slack = seeds >= 20000 ? 0 : 4 * sqrt(0.05 * 0.95 / runs);
	int bad = 0;

	printf("# %-30s %-12s z %6.2f  variance %.3f  coverage %.2f %%  samples %.1f (%.1f)%s\n",
		scenarios[site].name, quantity_names[q], z,
		truth->variance > 0 ? variance / truth->variance : 1, 100 * coverage,
		truth->samples, effective, many ? "" : " low");
	bad |= fabs(z) >= 4;
	bad |= many && (coverage < 0.94 - slack || coverage > 0.96 + slack);
	/*
	 * Few: the interval is exact where samples weigh alike, as they do in bytes; then it covers
	 * more. A count of mixed sizes hangs on the few small blocks that were met, and where nearly
	 * every block is followed the interval is narrower than the weights' rounding.
	 */
	bad |= q % 2 && truth->samples > 8 && effective < 30 && coverage < 0.94 - slack;
	/* The estimate of the variance is right on average; its own spread is at most a fifth. */
	bad |= many && fabs(variance / truth->variance - 1) > 0.02 + 4 / sqrt(runs);
	if (bad)
		print_error(
			"%s, %s: not as it should be\n", scenarios[site].name, quantity_names[q]);
	return bad;
}

static void test_simulation(void **state)
{
	enum { WORKERS = 2 };
	static struct simulation parts[WORKERS];
	pthread_t threads[WORKERS];
	struct simulation *all = &parts[0];
	int bad = 0;

	(void)state;
	for (uint64_t i = 0; i < WORKERS; i++) {
		find_truth(&parts[i]);
		parts[i].first = 1 + seeds * i / WORKERS;
		parts[i].last = 1 + seeds * (i + 1) / WORKERS;
		assert_int_equal(pthread_create(&threads[i], NULL, run_seeds, &parts[i]), 0);
	}
	for (int i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 1; i < WORKERS; i++)
		for (size_t k = 0; k < SITES * QUANTITIES; k++) {
			struct tally *sum = &all->tally[0][0] + k,
				     *part = &parts[i].tally[0][0] + k;

			sum->error += part->error;
			sum->variance += part->variance;
			sum->covered += part->covered;
			sum->confident += part->confident;
		}
	for (size_t site = 0; site < SITES; site++)
		for (int q = 0; q < QUANTITIES; q++)
			bad |= judge(all, site, (enum quantity)q);
	assert_false(bad);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logarithm),
		cmocka_unit_test(test_exponential),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_variance),
		cmocka_unit_test(test_draws),
		cmocka_unit_test(test_huge_blocks),
		cmocka_unit_test(test_shared_countdown),
		cmocka_unit_test(test_exact_intervals),
		cmocka_unit_test(test_certain_intervals),
		cmocka_unit_test(test_simulation),
	};

	if (argc > 1)
		seeds = strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("sampling", tests, NULL, NULL);
}
