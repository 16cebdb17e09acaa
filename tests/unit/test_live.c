// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The live table of the kernel half, over memory: against a reference, at its borders, and from
 * several threads at once.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../include/records.h"

/* What bpf/live.h wants of the kernel half. */
#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif
#define LIVE_FUNCTION		   static __attribute__((noinline))
#define store_release(word, value) checked_release(word, value)

static struct {
	struct ht_bucket *segments[HT_MAX_SEGMENTS];
	__u32 buckets; /* a segment */
	__u32 used;    /* segments */
} table;

#define SLOT	      7
#define THREADS	      4
#define FIRST_ADDRESS 0x7f1200000010ULL

static uint32_t published_early;

/*
 * No thread would see a key that comes before its value often enough for a test to fail: so every
 * key is looked at when it is published. block_of() tells what its value must be.
 */
static void checked_release(__u64 *word, __u64 value)
{
	uint64_t i = ((value & 0xfffffffffff8ULL) - FIRST_ADDRESS) / 16;

	for (__u32 s = 0; value && s < table.used; s++) {
		size_t at = (size_t)((uintptr_t)word - (uintptr_t)table.segments[s]);
		struct ht_bucket *bucket;

		if (at >= table.buckets * sizeof(*bucket))
			continue;
		bucket = &table.segments[s][at / sizeof(*bucket)];
		if (bucket->blocks[word - bucket->keys].size >> 20 != i)
			__atomic_fetch_add(&published_early, 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static __u32 live_segment_buckets(void)
{
	return table.buckets;
}

static __u32 live_segments_used(void)
{
	return __atomic_load_n(&table.used, __ATOMIC_ACQUIRE);
}

static struct ht_bucket *live_bucket(__u32 segment, __u32 index)
{
	if (segment >= HT_MAX_SEGMENTS || index >= table.buckets)
		return NULL;
	return table.segments[segment] ? &table.segments[segment][index] : NULL;
}

/* "#pragma unroll" is clang's, for the verifier's sake. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "../../bpf/live.h"
#pragma GCC diagnostic pop

static void add_segment(void)
{
	size_t bytes = table.buckets * sizeof(struct ht_bucket);
	struct ht_bucket *segment = aligned_alloc(64, bytes);

	assert_true(table.used < HT_MAX_SEGMENTS);
	assert_non_null(segment);
	memset(segment, 0, bytes);
	table.segments[table.used] = segment;
	__atomic_store_n(&table.used, table.used + 1, __ATOMIC_RELEASE);
}

static void table_new(__u32 buckets, __u32 segments)
{
	table.buckets = buckets;
	for (__u32 i = 0; i < segments; i++)
		add_segment();
}

static int table_free(void **state)
{
	(void)state;
	for (__u32 i = 0; i < HT_MAX_SEGMENTS; i++)
		free(table.segments[i]);
	memset(&table, 0, sizeof(table));
	return published_early ? -1 : 0;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Addresses as malloc gives them: dense, 16 bytes apart. */
static __u64 key_of(uint32_t i)
{
	return ht_key(SLOT, FIRST_ADDRESS + 16ULL * i);
}

/* A block that tells by each of its words whose it is, and which version: a torn copy shows. */
static struct ht_block block_of(uint32_t i, uint32_t version)
{
	return (struct ht_block){
		.size = (uint64_t)i << 20 | (version & 0xfffff),
		.interval = version & 63,
		.domain = HT_DOMAIN_HEAP,
		.flags = i & 63,
		.site = version,
		.birth = i ^ version,
	};
}

static bool same_block(const struct ht_block *a, const struct ht_block *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static uint32_t count_live(void)
{
	uint32_t count = 0;

	for (__u32 s = 0; s < table.used; s++)
		for (__u32 b = 0; b < table.buckets; b++)
			for (int way = 0; way < HT_BUCKET_BLOCKS; way++)
				count += table.segments[s][b].keys[way] != 0;
	return count;
}

/* --- against a reference --------------------------------------------------------------------- */

#define KEYS 65536

struct reference {
	bool live[KEYS];
	uint32_t version[KEYS];
	uint32_t count;
};

static void step_insert(struct reference *r, uint32_t i, uint32_t version)
{
	struct ht_block block = block_of(i, version), old, want = block_of(i, r->version[i]);
	int met = live_insert(key_of(i), &block, &old);

	if (!!(met & LIVE_REPLACED) != r->live[i])
		fail_msg("key %u: met %d, though live is %d", i, met, r->live[i]);
	if (r->live[i] && !same_block(&old, &want))
		fail_msg("key %u: the old value differs", i);
	if (!(met & LIVE_INSERTED))
		fail_msg("key %u: no room among %u", i, r->count);
	r->count += !r->live[i];
	r->live[i] = true;
	r->version[i] = version;
}

static void step_take(struct reference *r, uint32_t i)
{
	struct ht_block block, want = block_of(i, r->version[i]);
	int taken = live_take(key_of(i), &block);

	if (taken != r->live[i])
		fail_msg("key %u: taken %d, live %d", i, taken, r->live[i]);
	if (taken && !same_block(&block, &want))
		fail_msg("key %u: the value differs", i);
	r->count -= r->live[i];
	r->live[i] = false;
}

/* Half the keys are live, in 57 % of one segment and more: all paths but the last are taken. */
static void test_reference(void **state)
{
	struct reference *r = calloc(1, sizeof(*r));
	uint64_t rng = 0x9e3779b97f4a7c15;

	(void)state;
	assert_non_null(r);
	table_new(8192, 2);
	for (uint32_t n = 0; n < 1000000; n++) {
		uint64_t random = next_random(&rng);
		uint32_t i = (uint32_t)(random >> 32) % KEYS;

		if (random & 1)
			step_insert(r, i, n);
		else
			step_take(r, i);
	}
	assert_true(r->count > KEYS / 3);
	assert_int_equal(count_live(), r->count);
	for (uint32_t i = 0; i < KEYS; i++)
		step_take(r, i);
	assert_int_equal(count_live(), 0);
	free(r);
}

static void test_unknown(void **state)
{
	struct ht_block block = block_of(1, 1), old, taken, poison;

	(void)state;
	table_new(16, 1);
	memset(&poison, 0xa5, sizeof(poison));
	taken = poison;
	assert_int_equal(live_take(key_of(1), &taken), 0);
	assert_int_equal(live_insert(key_of(1), &block, &old), LIVE_INSERTED);
	for (uint32_t i = 2; i < 10000; i++)
		assert_int_equal(live_take(key_of(i), &taken), 0);
	/* the same address in another process */
	assert_int_equal(live_take(ht_key(SLOT + 1, FIRST_ADDRESS + 16), &taken), 0);
	assert_true(same_block(&taken, &poison));
	assert_int_equal(live_take(ht_key(SLOT, FIRST_ADDRESS + 16), &taken), 1);
	assert_true(same_block(&taken, &block));
	assert_int_equal(live_take(key_of(1), &taken), 0);
}

static void test_replaced(void **state)
{
	struct ht_block first = block_of(5, 1), second = block_of(5, 2), old, taken;

	(void)state;
	table_new(1, 1);
	memset(&old, 0xa5, sizeof(old));
	assert_int_equal(live_insert(key_of(5), &first, &old), LIVE_INSERTED);
	assert_int_equal(live_insert(key_of(5), &second, &old), LIVE_INSERTED | LIVE_REPLACED);
	assert_true(same_block(&old, &first));
	assert_int_equal(count_live(), 1);
	assert_int_equal(live_take(key_of(5), &taken), 1);
	assert_true(same_block(&taken, &second));
	assert_int_equal(live_take(key_of(5), &taken), 0);
}

/* The old block is in a later segment, and meanwhile the first has room again. */
static void test_replaced_across_segments(void **state)
{
	struct ht_block block, old, want;
	uint32_t last = HT_BUCKET_BLOCKS;

	(void)state;
	table_new(1, 2);
	for (uint32_t i = 0; i <= last; i++) {
		block = block_of(i, 0);
		assert_true(live_insert(key_of(i), &block, &old) & LIVE_INSERTED);
	}
	assert_int_equal(table.segments[1][0].keys[0], key_of(last));
	assert_int_equal(live_take(key_of(0), &block), 1);
	block = block_of(last, 1);
	want = block_of(last, 0);
	assert_int_equal(live_insert(key_of(last), &block, &old) & ~LIVE_PRESSED,
		LIVE_INSERTED | LIVE_REPLACED);
	assert_true(same_block(&old, &want));
	assert_int_equal(table.segments[1][0].keys[0], 0);
	assert_int_equal(count_live(), last);
	assert_int_equal(live_take(key_of(last), &old), 1);
	assert_true(same_block(&old, &block));
}

/* --- full ------------------------------------------------------------------------------------ */

static void fill(__u32 buckets, __u32 segments)
{
	uint32_t keys = 4 * buckets * segments * HT_BUCKET_BLOCKS, inserted = 0;
	bool *is_in = calloc(keys, sizeof(*is_in));
	struct ht_block block, old;

	assert_non_null(is_in);
	table_new(buckets, segments);
	for (uint32_t i = 0; i < keys; i++) {
		int met;

		block = block_of(i, 3);
		met = live_insert(key_of(i), &block, &old);
		assert_false(met & LIVE_REPLACED);
		if (!(met & LIVE_INSERTED))
			assert_true(met & LIVE_PRESSED);
		is_in[i] = met & LIVE_INSERTED;
		inserted += is_in[i];
	}
	/* four times as many as there are ways: two buckets are enough to fill nearly all */
	assert_true(inserted > buckets * segments * HT_BUCKET_BLOCKS * 9 / 10);
	assert_int_equal(count_live(), inserted);
	for (uint32_t i = 0; i < keys; i++) {
		struct ht_block want = block_of(i, 3);

		assert_int_equal(live_take(key_of(i), &block), is_in[i]);
		if (is_in[i])
			assert_true(same_block(&block, &want));
	}
	assert_int_equal(count_live(), 0);
	free(is_in);
	table_free(NULL);
}

static void test_full(void **state)
{
	(void)state;
	fill(1, 1);
	fill(2, 1);
	fill(3, 1);
	fill(64, 1);
	fill(5, 3);
	fill(1, HT_MAX_SEGMENTS);
	fill(1000, 2);
}

/* A full table still replaces: the old block's way is free by then. */
static void test_full_replaces(void **state)
{
	struct ht_block block, old, want;

	(void)state;
	table_new(1, 1);
	for (uint32_t i = 0; i < HT_BUCKET_BLOCKS; i++) {
		block = block_of(i, 0);
		assert_true(live_insert(key_of(i), &block, &old) & LIVE_INSERTED);
	}
	block = block_of(100, 0);
	assert_int_equal(live_insert(key_of(100), &block, &old), LIVE_PRESSED);
	for (uint32_t i = 0; i < HT_BUCKET_BLOCKS; i++) {
		block = block_of(i, 1);
		want = block_of(i, 0);
		assert_int_equal(live_insert(key_of(i), &block, &old),
			LIVE_INSERTED | LIVE_REPLACED | LIVE_PRESSED);
		assert_true(same_block(&old, &want));
	}
	assert_int_equal(count_live(), HT_BUCKET_BLOCKS);
}

/* Buckets that the loader has not made yet are no crash, and no room. */
static void test_missing_segment(void **state)
{
	struct ht_block block = block_of(1, 1), old;

	(void)state;
	table.buckets = 4;
	table.used = 2;
	assert_false(live_insert(key_of(1), &block, &old) & LIVE_INSERTED);
	assert_int_equal(live_take(key_of(1), &block), 0);
}

/* --- marks ----------------------------------------------------------------------------------- */

static struct ht_bucket *bucket_of(__u32 segment, __u64 key, int which)
{
	return live_bucket(segment, live_reduce(live_hash(key) >> (32 * which), table.buckets));
}

static bool holds(const struct ht_bucket *bucket, __u64 key)
{
	return live_find(bucket, key) < HT_BUCKET_BLOCKS;
}

/* The next key from *i on whose first bucket is the one given, and whose second is another. */
static uint32_t next_of_bucket(uint32_t *i, const struct ht_bucket *first)
{
	for (;; (*i)++)
		if (bucket_of(0, key_of(*i), 0) == first && bucket_of(0, key_of(*i), 1) != first)
			return (*i)++;
}

static void test_spill_mark(void **state)
{
	struct ht_block block, old;
	struct ht_bucket *first, *second;
	uint32_t next = 0, i;

	(void)state;
	table_new(256, 1);
	first = &table.segments[0][17];
	for (int n = 0; n < LIVE_CROWDED; n++) {
		i = next_of_bucket(&next, first);
		block = block_of(i, 0);
		assert_int_equal(live_insert(key_of(i), &block, &old), LIVE_INSERTED);
		assert_true(holds(first, key_of(i)));
	}
	assert_int_equal(first->header, 0);
	i = next_of_bucket(&next, first);
	second = bucket_of(0, key_of(i), 1);
	block = block_of(i, 0);
	assert_int_equal(live_insert(key_of(i), &block, &old), LIVE_INSERTED);
	assert_true(holds(second, key_of(i)));
	assert_int_equal(first->header, HT_BUCKET_SPILLED);
	assert_int_equal(second->header, 0);
	assert_int_equal(live_take(key_of(i), &old), 1);
	assert_true(same_block(&old, &block));
}

/* Wherever a block lies, each bucket that it passed by says so; and some passed none by. */
static void check_marks(uint32_t keys)
{
	uint32_t spilled = 0, overflowed = 0, unmarked = 0;

	for (uint32_t i = 0; i < keys; i++) {
		__u64 key = key_of(i);
		__u32 s = 0;

		while (s < table.used && !holds(bucket_of(s, key, 0), key) &&
			!holds(bucket_of(s, key, 1), key)) {
			assert_true(bucket_of(s, key, 0)->header & HT_BUCKET_SPILLED);
			assert_true(bucket_of(s, key, 1)->header & HT_BUCKET_OVERFLOWED);
			overflowed++;
			s++;
		}
		assert_true(s < table.used);
		if (holds(bucket_of(s, key, 0), key))
			continue;
		assert_true(bucket_of(s, key, 0)->header & HT_BUCKET_SPILLED);
		spilled++;
	}
	for (__u32 b = 0; b < table.buckets; b++)
		unmarked += !table.segments[0][b].header;
	assert_true(spilled && overflowed && unmarked);
}

static void test_marks(void **state)
{
	uint32_t keys = 64 * HT_BUCKET_BLOCKS * 9 / 10;
	struct ht_block block, old;

	(void)state;
	table_new(64, 3);
	for (uint32_t i = 0; i < keys; i++) {
		block = block_of(i, 0);
		assert_true(live_insert(key_of(i), &block, &old) & LIVE_INSERTED);
	}
	check_marks(keys);
}

/* A table that is not crowded costs one line a lookup: nearly no bucket may be marked. */
static void test_few_marks(void **state)
{
	uint32_t buckets = 4096, marked = 0;
	struct ht_block block, old;

	(void)state;
	table_new(buckets, 1);
	for (uint32_t i = 0; i < buckets * HT_BUCKET_BLOCKS / 5; i++) {
		block = block_of(i, 0);
		assert_int_equal(live_insert(key_of(i), &block, &old), LIVE_INSERTED);
	}
	for (uint32_t b = 0; b < buckets; b++)
		marked += table.segments[0][b].header != 0;
	assert_true(marked < buckets / 50);
}

/* --- segments -------------------------------------------------------------------------------- */

/* As the loader does, but at once. */
static int insert_and_grow(uint32_t i, uint32_t version)
{
	struct ht_block block = block_of(i, version), old;
	int met = live_insert(key_of(i), &block, &old);

	if (met & LIVE_PRESSED && table.used < HT_MAX_SEGMENTS)
		add_segment();
	return met;
}

/* Pressure is told before anything is lost, and not while most of the table is empty. */
static void test_growth(void **state)
{
	uint32_t capacity = 128 * HT_BUCKET_BLOCKS, i = 0;
	struct ht_block block, want;

	(void)state;
	table_new(128, 1);
	for (; table.used < HT_MAX_SEGMENTS; i++) {
		uint32_t before = table.used;

		assert_int_equal(insert_and_grow(i, 0) & ~LIVE_PRESSED, LIVE_INSERTED);
		if (before == 1 && table.used == 2)
			assert_true(i > capacity / 4 && i < capacity * 3 / 4);
	}
	assert_true(i > (HT_MAX_SEGMENTS - 1) * capacity / 2);
	assert_int_equal(count_live(), i);
	while (i--) {
		want = block_of(i, 0);
		assert_int_equal(live_take(key_of(i), &block), 1);
		assert_true(same_block(&block, &want));
	}
	assert_int_equal(count_live(), 0);
}

/* Blocks come and go at full load of whatever segments there are: each is found again. */
static void test_churn(void **state)
{
	uint32_t *live = calloc(3000, sizeof(*live)), count = 0, next = 0;
	uint64_t rng = 0x123456789abcdef;
	struct ht_block block, want;

	(void)state;
	assert_non_null(live);
	table_new(32, 1);
	for (int n = 0; n < 400000; n++) {
		uint32_t r = (uint32_t)(next_random(&rng) >> 32), at;

		if (count < 1000 || (count < 3000 && r & 1)) {
			live[count++] = next;
			assert_int_equal(insert_and_grow(next++, 9) & ~LIVE_PRESSED, LIVE_INSERTED);
			continue;
		}
		at = (r >> 1) % count;
		want = block_of(live[at], 9);
		assert_int_equal(live_take(key_of(live[at]), &block), 1);
		assert_true(same_block(&block, &want));
		live[at] = live[--count];
	}
	assert_true(table.used > 4);
	assert_true(table.used < HT_MAX_SEGMENTS);
	assert_int_equal(count_live(), count);
	while (count--)
		assert_int_equal(live_take(key_of(live[count]), &block), 1);
	assert_int_equal(count_live(), 0);
	free(live);
}

/* --- threads --------------------------------------------------------------------------------- */

#define OWN_KEYS      60
#define OWN_STEPS     200000
#define HANDED_OVER   100000
#define CONTESTED     4096
#define CONTEST_TURNS 100

struct worker {
	pthread_t thread;
	uint32_t number;
	uint32_t wrong;		    /* asserts are for the main thread only */
	uint32_t version[OWN_KEYS]; /* 0: not live */
};

static pthread_barrier_t barrier;
static uint32_t wins[CONTESTED];

static void own_step(struct worker *w, uint32_t k, uint32_t version)
{
	/* neighbours in address belong to different threads */
	uint32_t i = k * THREADS + w->number;
	struct ht_block block = block_of(i, version), old, want = block_of(i, w->version[k]);
	bool was = w->version[k] != 0;
	int met;

	if (version & 1) {
		met = live_insert(key_of(i), &block, &old);
		w->wrong += !(met & LIVE_INSERTED) || !!(met & LIVE_REPLACED) != was;
		w->version[k] = version;
	} else {
		w->wrong += live_take(key_of(i), &old) != was;
		w->version[k] = 0;
	}
	if (was)
		w->wrong += !same_block(&old, &want);
}

static void *own_keys(void *argument)
{
	struct worker *w = argument;
	uint64_t rng = 0x9e3779b97f4a7c15 + w->number;

	pthread_barrier_wait(&barrier);
	for (uint32_t n = 1; n <= OWN_STEPS; n++) {
		uint64_t random = next_random(&rng);

		own_step(w, (uint32_t)(random >> 40) % OWN_KEYS, n * 2 + (random & 1));
	}
	return NULL;
}

static void run_workers(struct worker *workers, void *(*function)(void *))
{
	assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
	for (uint32_t i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .number = i };
		assert_int_equal(
			pthread_create(&workers[i].thread, NULL, function, &workers[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	pthread_barrier_destroy(&barrier);
}

/* Threads share buckets, never keys, as threads of a program do. */
static void test_threads(void **state)
{
	struct worker workers[THREADS];
	struct ht_block block, want;
	uint32_t live = 0;

	(void)state;
	table_new(64, 4);
	run_workers(workers, own_keys);
	for (uint32_t t = 0; t < THREADS; t++) {
		assert_int_equal(workers[t].wrong, 0);
		for (uint32_t k = 0; k < OWN_KEYS; k++)
			live += workers[t].version[k] != 0;
	}
	assert_int_equal(count_live(), live);
	for (uint32_t t = 0; t < THREADS; t++) {
		for (uint32_t k = 0; k < OWN_KEYS; k++) {
			uint32_t i = k * THREADS + t, version = workers[t].version[k];

			want = block_of(i, version);
			assert_int_equal(live_take(key_of(i), &block), version != 0);
			if (version)
				assert_true(same_block(&block, &want));
		}
	}
	assert_int_equal(count_live(), 0);
}

static uint32_t handed_over[THREADS]; /* by a pair of threads; only even ones are in use */

/* Inserts, never far ahead of its partner: the table stays small, so that ways are used again. */
static void hand_over(struct worker *w)
{
	struct ht_block block, old;
	int met;

	for (uint32_t n = 0; n < HANDED_OVER; n++) {
		uint32_t i = n * THREADS + w->number;

		while (n - __atomic_load_n(&handed_over[w->number], __ATOMIC_ACQUIRE) > 32)
			sched_yield();
		block = block_of(i, n);
		met = live_insert(key_of(i), &block, &old);
		w->wrong += (met & ~LIVE_PRESSED) != LIVE_INSERTED;
	}
}

/* Takes each block as soon as it is to be seen. */
static void take_over(struct worker *w)
{
	struct ht_block block, want;

	for (uint32_t n = 0; n < HANDED_OVER; n++) {
		uint32_t i = n * THREADS + w->number - 1;

		while (!live_take(key_of(i), &block))
			sched_yield();
		want = block_of(i, n);
		w->wrong += !same_block(&block, &want);
		__atomic_store_n(&handed_over[w->number - 1], n + 1, __ATOMIC_RELEASE);
	}
}

static void *hand_or_take(void *argument)
{
	struct worker *w = argument;

	pthread_barrier_wait(&barrier);
	if (w->number & 1)
		take_over(w);
	else
		hand_over(w);
	return NULL;
}

/* Freed by another thread than allocated: the value is there when the key is. */
static void test_handed_over(void **state)
{
	struct worker workers[THREADS];

	(void)state;
	memset(handed_over, 0, sizeof(handed_over));
	table_new(64, 1);
	run_workers(workers, hand_or_take);
	for (uint32_t t = 0; t < THREADS; t++)
		assert_int_equal(workers[t].wrong, 0);
	assert_int_equal(count_live(), 0);
}

static void contest_fill(struct worker *w, uint32_t turn)
{
	struct ht_block block, old;

	for (uint32_t i = 0; i < CONTESTED; i++) {
		block = block_of(i, turn);
		w->wrong += !(live_insert(key_of(i), &block, &old) & LIVE_INSERTED);
	}
}

/* All go the same way: who comes later only misses, is faster, and catches up. */
static void *contest(void *argument)
{
	struct worker *w = argument;

	for (uint32_t turn = 0; turn < CONTEST_TURNS; turn++) {
		if (!w->number)
			contest_fill(w, turn);
		pthread_barrier_wait(&barrier);
		for (uint32_t i = 0; i < CONTESTED; i++) {
			struct ht_block block, want = block_of(i, turn);

			if (!live_take(key_of(i), &block))
				continue;
			w->wrong += !same_block(&block, &want);
			__atomic_fetch_add(&wins[i], 1, __ATOMIC_RELAXED);
		}
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

/* A double free by several threads: exactly one gets the block. */
static void test_one_winner(void **state)
{
	struct worker workers[THREADS];

	(void)state;
	memset(wins, 0, sizeof(wins));
	table_new(1024, 2);
	run_workers(workers, contest);
	for (uint32_t t = 0; t < THREADS; t++)
		assert_int_equal(workers[t].wrong, 0);
	for (uint32_t i = 0; i < CONTESTED; i++)
		assert_int_equal(wins[i], CONTEST_TURNS);
	assert_int_equal(count_live(), 0);
}

/* --- keys ------------------------------------------------------------------------------------ */

static void test_key(void **state)
{
	__u64 top = (1ULL << HT_ADDRESS_BITS) - 8;

	(void)state;
	assert_int_equal(ht_key_slot(ht_key(0xffff, top)), 0xffff);
	assert_int_equal(ht_key_slot(ht_key(0, top)), 0);
	assert_int_equal(ht_key_slot(ht_key(1, 0)), 1);
	assert_true(ht_key(0, 0) != 0); /* an empty way is 0 */
	assert_true(ht_key(0, 8) != ht_key(0, 16));
	assert_int_equal(ht_key(0, top) & HT_KEY_STATE_MASK, HT_KEY_LIVE);
	assert_int_equal(ht_key(3, 0x1234560) & ~HT_KEY_STATE_MASK, 3ULL << 48 | 0x1234560);
}

#define TEST(name) cmocka_unit_test_teardown(name, table_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reference),
		TEST(test_unknown),
		TEST(test_replaced),
		TEST(test_replaced_across_segments),
		TEST(test_full),
		TEST(test_full_replaces),
		TEST(test_missing_segment),
		TEST(test_spill_mark),
		TEST(test_marks),
		TEST(test_few_marks),
		TEST(test_growth),
		TEST(test_churn),
		TEST(test_threads),
		TEST(test_handed_over),
		TEST(test_one_winner),
		TEST(test_key),
	};

	return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
