/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * The live table: which blocks are alive, by (slot, address).
 *
 * Set-associative, two candidate buckets a segment, in up to 16 segments that the loader adds as
 * they fill. A block goes to its first bucket while that has room to spare, else to the emptier of
 * the two, else to the next segment; each step beyond the first bucket leaves a mark in the bucket
 * passed by, and a lookup goes on only where there is a mark. So a table that is not crowded costs
 * one cache line a lookup, also for the addresses that are not in it.
 *
 * Plain C over live_bucket(segment, index), live_segment_buckets(), live_segments_used(),
 * store_release() and LIVE_FUNCTION: the kernel half defines them over BPF arrays, the unit tests
 * over memory.
 */
#ifndef HEAPTAP_BPF_LIVE_H
#define HEAPTAP_BPF_LIVE_H

/* From this many blocks on the second bucket is looked at too: a miss of the cache saved below. */
#define LIVE_CROWDED 5

/*
 * Of the 14 ways of two buckets. Some pairs are this full at half load, when none is full yet:
 * under churn pairs begin to fill up at 60 %, and the loader needs some milliseconds to add a
 * segment.
 */
#define LIVE_PRESSURE 11

#define LIVE_HASH_1 0x9e3779b97f4a7c15ULL

static __always_inline __u64 live_hash(__u64 key)
{
	__u64 h = key * LIVE_HASH_1;

	h ^= h >> 29;
	return h * 0xbf58476d1ce4e5b9ULL;
}

/* Maps 32 hash bits to [0, n) without a division, for any n. */
static __always_inline __u32 live_reduce(__u32 hash, __u32 n)
{
	return (__u64)hash * n >> 32;
}

static __always_inline int live_claim(__u64 *word, __u64 from, __u64 to)
{
	return __sync_val_compare_and_swap(word, from, to) == from;
}

/*
 * 1 unless x is 0, without a branch: the verifier would follow both sides of each of seven
 * comparisons, and every combination of them.
 */
static __always_inline __u32 live_nonzero(__u64 x)
{
	__u64 sign = x | -x;

	asm volatile("" : "+r"(sign)); /* else clang turns it back into a branch */
	return sign >> 63;
}

/* The first way that holds the key (0: an empty one), HT_BUCKET_BLOCKS when there is none. */
static __always_inline __u32 live_find(const struct ht_bucket *bucket, __u64 key)
{
	__u32 way = 0, before = 1;

#pragma unroll
	for (int i = 0; i < HT_BUCKET_BLOCKS; i++) {
		before &= live_nonzero(bucket->keys[i] ^ key);
		way += before;
	}
	return way;
}

static __always_inline __u32 live_used(const struct ht_bucket *bucket)
{
	__u32 used = 0;

#pragma unroll
	for (int i = 0; i < HT_BUCKET_BLOCKS; i++)
		used += live_nonzero(bucket->keys[i]);
	return used;
}

/* Takes a block out: 1 and its value, or 0. Of several callers for one key exactly one wins. */
static __always_inline int live_remove_from(
	struct ht_bucket *bucket, __u64 key, struct ht_block *block)
{
	__u32 way = live_find(bucket, key);

	if (way >= HT_BUCKET_BLOCKS)
		return 0;
	if (!live_claim(&bucket->keys[way], key, HT_KEY_BUSY))
		return 0;
	*block = bucket->blocks[way];
	store_release(&bucket->keys[way], 0);
	return 1;
}

static __always_inline int live_put_at(
	struct ht_bucket *bucket, __u32 way, __u64 key, const struct ht_block *block)
{
	if (way >= HT_BUCKET_BLOCKS || !live_claim(&bucket->keys[way], 0, HT_KEY_BUSY))
		return 0;
	bucket->blocks[way] = *block;
	store_release(&bucket->keys[way], key);
	return 1;
}

static __always_inline int live_put_into(
	struct ht_bucket *bucket, __u64 key, const struct ht_block *block)
{
	return live_put_at(bucket, live_find(bucket, 0), key, block);
}

#define LIVE_TAKEN 1
#define LIVE_GO_ON 2 /* not here, but it may be in the next segment */

static __always_inline int live_take_in(
	struct ht_bucket *a, struct ht_bucket *b, __u64 key, struct ht_block *block)
{
	if (live_remove_from(a, key, block))
		return LIVE_TAKEN;
	if (!(a->header & HT_BUCKET_SPILLED))
		return 0;
	if (live_remove_from(b, key, block))
		return LIVE_TAKEN;
	return b->header & HT_BUCKET_OVERFLOWED ? LIVE_GO_ON : 0;
}

/*
 * One segment's part of a lookup. A function of its own, as is that of the insertion: the verifier
 * follows their branches once, not once a segment.
 */
LIVE_FUNCTION int live_take_at(__u32 segment, __u64 key, struct ht_block *block)
{
	__u64 h = live_hash(key);
	__u32 n = live_segment_buckets();
	struct ht_bucket *a = live_bucket(segment, live_reduce(h, n));
	struct ht_bucket *b = live_bucket(segment, live_reduce(h >> 32, n));

	if (!block || !a || !b)
		return 0;
	return live_take_in(a, b, key, block);
}

LIVE_FUNCTION int live_take_after(__u32 segment, __u64 key, struct ht_block *block)
{
	__u32 segments = live_segments_used();

	if (!block)
		return 0;
	for (__u32 i = 0; i < HT_MAX_SEGMENTS; i++) {
		int taken;

		if (++segment >= segments)
			break;
		taken = live_take_at(segment, key, block);
		if (taken != LIVE_GO_ON)
			return taken;
	}
	return 0;
}

LIVE_FUNCTION int live_take_slow(__u64 key, struct ht_block *block)
{
	int taken = live_take_at(0, key, block);

	return taken == LIVE_GO_ON ? live_take_after(0, key, block) : taken;
}

/*
 * Takes the block of a key out of the table: 1 and its value in *block, or 0. The first bucket decides nearly
 * always, and is looked at in line: on some CPUs each call and return costs 10 ns.
 */
static __always_inline int live_take(__u64 key, struct ht_block *block)
{
	struct ht_bucket *a = live_bucket(0, live_reduce(live_hash(key), live_segment_buckets()));

	if (!a)
		return 0;
	if (live_remove_from(a, key, block))
		return 1;
	return a->header & HT_BUCKET_SPILLED ? live_take_slow(key, block) : 0;
}

/* 0: the key is not in the table. */
static __always_inline int live_may_hold(__u64 key)
{
	struct ht_bucket *a = live_bucket(0, live_reduce(live_hash(key), live_segment_buckets()));

	return a && (live_find(a, key) < HT_BUCKET_BLOCKS || a->header & HT_BUCKET_SPILLED);
}

/* What an insertion met; several can be true at once. */
#define LIVE_INSERTED 1
#define LIVE_REPLACED 2 /* the address was in the table: its free was missed */
#define LIVE_PRESSED  4 /* the newest segment fills up */

/*
 * One segment's part of an insertion: LIVE_INSERTED, perhaps with LIVE_PRESSED, or neither when
 * both its buckets are full, which marks them. A block that stands under the same key is taken out
 * first: LIVE_REPLACED, and it is in *old.
 */
LIVE_FUNCTION int live_insert_at(
	__u32 segment, __u64 key, const struct ht_block *block, struct ht_block *old)
{
	__u64 h = live_hash(key);
	__u32 n = live_segment_buckets(), used_a, used_b;
	struct ht_bucket *a = live_bucket(segment, live_reduce(h, n));
	struct ht_bucket *b = live_bucket(segment, live_reduce(h >> 32, n));
	int met, taken;

	if (!block || !old || !a || !b)
		return 0;
	taken = live_take_in(a, b, key, old);
	if (taken == LIVE_GO_ON)
		taken = live_take_after(segment, key, old);
	met = taken ? LIVE_REPLACED : 0;
	used_a = live_used(a);
	if (used_a < LIVE_CROWDED && live_put_into(a, key, block))
		return met | LIVE_INSERTED;
	used_b = live_used(b);
	if (used_a + used_b >= LIVE_PRESSURE)
		met |= LIVE_PRESSED;
	if (used_a <= used_b && live_put_into(a, key, block))
		return met | LIVE_INSERTED;
	__sync_fetch_and_or(&a->header, HT_BUCKET_SPILLED);
	/* Both again: another CPU may have claimed the way that the first look found empty. */
	if (live_put_into(b, key, block) || live_put_into(a, key, block) ||
		live_put_into(b, key, block))
		return met | LIVE_INSERTED;
	__sync_fetch_and_or(&b->header, HT_BUCKET_OVERFLOWED);
	return met;
}

LIVE_FUNCTION int live_insert_after(
	__u32 segment, __u64 key, const struct ht_block *block, struct ht_block *old)
{
	__u32 segments = live_segments_used();

	if (!block || !old)
		return 0;
	for (__u32 i = 0; i < HT_MAX_SEGMENTS; i++) {
		int met;

		if (++segment >= segments)
			break;
		met = live_insert_at(segment, key, block, old);
		if (met & LIVE_INSERTED)
			return segment + 1 == segments ? met : met & ~LIVE_PRESSED;
	}
	return LIVE_PRESSED;
}

LIVE_FUNCTION int live_insert_slow(__u64 key, const struct ht_block *block, struct ht_block *old)
{
	int met = live_insert_at(0, key, block, old);

	if (!(met & LIVE_INSERTED))
		return (met & LIVE_REPLACED) | live_insert_after(0, key, block, old);
	return live_segments_used() == 1 ? met : met & ~LIVE_PRESSED;
}

/* Inserts a block; without LIVE_INSERTED there was no room in any segment. */
static __always_inline int live_insert(
	__u64 key, const struct ht_block *block, struct ht_block *old)
{
	struct ht_bucket *a = live_bucket(0, live_reduce(live_hash(key), live_segment_buckets()));

	/* Not spilled, so the key is here or nowhere. */
	if (a && !(a->header & HT_BUCKET_SPILLED) && live_find(a, key) == HT_BUCKET_BLOCKS) {
		__u32 way = live_find(a, 0);

		if (way < LIVE_CROWDED && live_put_at(a, way, key, block))
			return LIVE_INSERTED;
	}
	return live_insert_slow(key, block, old);
}

#endif
