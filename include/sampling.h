/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * The Poisson sampler: which blocks are followed, and what each then stands for.
 *
 * Sample points lie on the line of all bytes that are requested, exponentially distributed, one in
 * `interval` bytes on average. A block is followed when at least one falls into it, with probability
 *
 *   p = 1 - exp(-size / interval)
 *
 * and stands for 1/p blocks of its size. With this weight the sums over followed blocks are unbiased
 * (Horvitz and Thompson 1952), and the sum of (1-p)/p^2, or size^2 (1-p)/p^2 for bytes, over followed
 * blocks is an unbiased estimate of their variance.
 *
 * The count-down is kept not in bytes but in ticks of 2^-32 intervals, so that it is a unit
 * exponential whatever the interval: intervals may change at any time, and threads or processes with
 * different ones may share a count-down. Nothing here is floating-point: the kernel half has none.
 *
 * Fixed point is written Qn: n bits behind the point. The including file may be BPF or a program of
 * the host: the simulation in tests/unit/test_sampling.c runs this very code.
 */
#ifndef HEAPTAP_SAMPLING_H
#define HEAPTAP_SAMPLING_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* Intervals are powers of two, told by their logarithm. 0, one byte, is every block: weight 1. */
#define HT_INTERVAL_MAX_LOG2 24

#define HT_Q32_ONE    (1ULL << 32)
#define HT_Q32_LN2    0xb17217f7ULL	  /* ln 2 */
#define HT_Q56_LN2    0xb17217f7d1cf79ULL /* ln 2 */
#define HT_Q30_LOG2_E 0x5c551d94ULL	  /* 1 / ln 2 */

/* --- logarithm and exponential --------------------------------------------------------------- */

/* ln v in Q32, v at least 1; the error is below 2^-29. */
static inline __u64 ht_ln(__u64 v)
{
	__u64 exponent = 63, mantissa = v, t, s, series = 0;

	/* The number of leading zeros by halves: BPF has no instruction for it. */
	for (__u32 half = 32; half; half >>= 1) {
		if (mantissa >> (64 - half))
			continue;
		mantissa <<= half;
		exponent -= half;
	}
	mantissa >>= 31; /* Q32 in [1, 2) */
	/* ln m = 2 atanh((m - 1) / (m + 1)), Abramowitz and Stegun 4.1.27; the argument is below 1/3. */
	t = ((mantissa - HT_Q32_ONE) << 31) / ((mantissa + HT_Q32_ONE) >> 1);
	s = t * t >> 32;
	for (__u32 k = 17; k > 1; k -= 2)
		series = s * (HT_Q32_ONE / k + series) >> 32;
	series = t + (t * series >> 32);
	return (exponent * HT_Q56_LN2 >> 24) + 2 * series;
}

/* (1 - exp(-r)) / r for r in Q32 below 0.75, by its power series. */
static inline __u64 ht_mean_decay(__u64 r)
{
	__u64 sum = HT_Q32_ONE;

	for (__u32 k = 12; k > 1; k--)
		sum = HT_Q32_ONE - (r * sum >> 32) / k;
	return sum;
}

/* exp(-x) in Q32, for x in Q32; the error is below 2^-29. */
static inline __u64 ht_exp_minus(__u64 x)
{
	__u64 halvings, r;

	if (x >> 32 >= 32) /* below 2^-46 */
		return 0;
	/* Rounded down in both factors: r is never negative, and hardly above ln 2. */
	halvings = (x >> 10) * HT_Q30_LOG2_E >> 52;
	r = x - (halvings * HT_Q56_LN2 >> 24);
	return (HT_Q32_ONE - (r * ht_mean_decay(r) >> 32)) >> halvings;
}

/* --- what a followed block stands for -------------------------------------------------------- */

/* From here on p is 1 to 32 bits and more. */
#define HT_SURE_INTERVALS 32

/* Beyond itself: (1/p - 1) blocks and as many times its size. All of it is 0 for p = 1. */
struct ht_weight {
	__u64 count; /* Q16 */
	__u64 bytes; /* Q8 */
};

/* A block of no bytes is drawn, and weighed, as one of a single byte: else none would be seen. */
static inline __u64 ht_sampled_size(__u64 size)
{
	return size ? size : 1;
}

/*
 * The same arguments give the same bits: what an allocation adds, its free takes away.
 */
static inline void ht_weigh(__u64 size, __u32 interval_log2, struct ht_weight *weight)
{
	__u64 drawn = ht_sampled_size(size), x, ratio;

	weight->count = 0;
	weight->bytes = 0;
	if (!interval_log2 || interval_log2 > HT_INTERVAL_MAX_LOG2 ||
		drawn >> interval_log2 >= HT_SURE_INTERVALS)
		return;
	x = drawn << (32 - interval_log2); /* size / interval: exact */
	/* x / p in Q32, from 1 to 32; the series keeps its precision where p is near 0. */
	if (x < HT_Q32_ONE / 2)
		ratio = (1ULL << 63) / ht_mean_decay(x) << 1;
	else
		ratio = (x << 26) / (HT_Q32_ONE - ht_exp_minus(x)) << 6;
	weight->count = ((ratio << 16) + x / 2) / x;
	/* Rounding must not make a weight below 1. */
	weight->count -= weight->count < 1 << 16 ? weight->count : 1 << 16;
	if (!size)
		return;
	weight->bytes = ((ratio << interval_log2) + (1 << 23)) >> 24;
	weight->bytes -= weight->bytes < size << 8 ? weight->bytes : size << 8;
}

/*
 * (1-p)/p^2 = w (w-1) for the weight w = 1/p: a block's share of the variance of a count, in blocks^2,
 * and of bytes, in units of 2^16 bytes^2. Both are cut to whole units after adding `noise`, uniform
 * random bits, so that sums are right on average however small the terms: 64 bits are enough for
 * 2^40 blocks of any size.
 */
#define HT_VARIANCE_BYTES_SHIFT 16

static inline __u64 ht_count_variance(const struct ht_weight *weight, __u32 noise)
{
	__u64 all = weight->count + (1 << 16);

	if (all >> 32)
		return (all >> 16) * (weight->count >> 16);
	return ((all * weight->count >> 1) + (noise >> 1)) >> 31;
}

static inline __u64 ht_bytes_variance(const struct ht_weight *weight, __u64 size, __u32 noise)
{
	__u64 all = weight->bytes + (size << 8);

	if (all >> 30)
		return (all >> 8) * weight->bytes >> (8 + HT_VARIANCE_BYTES_SHIFT);
	return ((all * weight->bytes >> 1) + (noise >> 1)) >> 31;
}

/* --- the count-down -------------------------------------------------------------------------- */

/* More than any count-down: a block of that many intervals is always followed. */
#define HT_TICKS_SURE (64ULL << 32)

static inline __u64 ht_ticks(__u64 size, __u32 interval_log2)
{
	__u64 drawn = ht_sampled_size(size);

	return drawn >> interval_log2 >= 64 ? HT_TICKS_SURE : drawn << (32 - interval_log2);
}

/* A unit exponential in ticks, from 64 random bits: -ln of a uniform in (0, 1]. At least 1. */
static inline __u64 ht_draw(__u64 random)
{
	__u64 whole = 64 * HT_Q56_LN2 >> 24, logarithm = ht_ln(random | 1);

	return whole > logarithm ? whole - logarithm : 1;
}

/*
 * Passes a block of so many ticks by a count-down; no when no sample point fell into it, which is
 * all that happens to most blocks. Else ht_sample_point() says the rest, of what this left in *before.
 *
 * Several CPUs may do so at once. Whoever takes the count-down from above 0 to 0 or below has met its
 * sample point, and sets it anew from there. Meanwhile others find it at or below 0: they draw for
 * their own block, which is as good, for how far the next sample point is does not depend on where
 * one looks from, and give back what they took. That others may see a count-down from which so much
 * is still missing changes no probability either: with b taken and then given back, c passed by, and
 * the new draw E, c is followed when b < E <= b + c or, by its own draw, with the same p where
 * E <= b; what is left after both has density exp(-l) below b (from the second case) and above (from
 * the first): it is again a unit exponential, whether c was followed or not.
 */
static inline int ht_sample_passes(__s64 *left, __u64 ticks, __s64 *before)
{
	*before = __sync_fetch_and_add(left, -(__s64)ticks);
	return *before > (__s64)ticks;
}

/* The block that did not pass: is it to be followed? 1 or 0. */
static inline int ht_sample_point(__s64 *left, __u64 ticks, __s64 before, __u64 random)
{
	__u64 draw = ht_draw(random);

	if (before > 0) {
		__sync_fetch_and_add(left, (__s64)(draw + ticks) - before);
		return 1;
	}
	__sync_fetch_and_add(left, (__s64)ticks);
	return draw <= ticks;
}

#endif
