// SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause
/*
 * Candidates for the live table and for the counters, each driven by a bounded loop that is timed
 * inside the program: a single operation is shorter than bpf_ktime_get_ns(). Not a draft of the
 * tracer's table: it keeps to what costs time.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "tables.h"

/* All sizes are set by tables.c before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct tables_value);
} live_prealloc SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct tables_value);
} live_dynamic SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tables_bucket);
} live_table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tables_counters);
} count_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tables_counters);
} count_percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tables_counters);
} count_sharded SEC(".maps");

/* Set by tables.c: buckets - 1 and shards - 1 (powers of two), and the sites of a shard. */
const volatile __u32 bucket_mask;
const volatile __u32 shard_mask;
const volatile __u32 shard_sites = 1;

/* Not a constant for the verifier: counters that start from a literal make it tell apart every
 * round of the loop. */
__u32 zero;

/* Inserts that found no room, by any of the candidates. */
__u64 lost;

/* splitmix64: key number i. Numbers instead of stored keys, so that the driver itself touches no
 * memory. */
static __always_inline __u64 mix(__u64 i)
{
	__u64 z = (i + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static __always_inline __u64 key_of(__u64 i)
{
	return (mix(i) & ~7ull) | TABLES_KEY_LIVE;
}

static __always_inline struct tables_value value_of(__u64 i)
{
	struct tables_value value = { .size = i & 1023, .site = i & 255, .birth = i };

	return value;
}

/* The driver of every candidate; the operations are always inlined into it, as they would be into a
 * probe. */
#define TABLES_RUN(ctx, args, i, operation)                                                        \
	({                                                                                         \
		struct tables_args args = { .first = (ctx)->args[0], .live = (ctx)->args[1] };     \
		__u64 start_ns = bpf_ktime_get_ns();                                               \
                                                                                                   \
		for (__u32 i = zero; i < TABLES_CHUNK; i++)                                        \
			operation;                                                                 \
		bpf_ktime_get_ns() - start_ns;                                                     \
	})

/* ---- the live table ---- */

static __always_inline void churn_hash(void *map, __u64 i, __u64 live)
{
	struct tables_value value = value_of(i);
	__u64 key = key_of(i);

	if (live) {
		__u64 oldest = key_of(i - live);

		bpf_map_delete_elem(map, &oldest);
	}
	if (bpf_map_update_elem(map, &key, &value, BPF_ANY))
		__sync_fetch_and_add(&lost, 1);
}

static __always_inline struct tables_bucket *bucket_first(__u64 key)
{
	__u32 index = ((key * 0x9e3779b97f4a7c15ull) >> 40) & bucket_mask;

	return bpf_map_lookup_elem(&live_table, &index);
}

static __always_inline struct tables_bucket *bucket_second(__u64 key)
{
	__u32 index = (((key ^ (key >> 31)) * 0xc2b2ae3d27d4eb4full) >> 40) & bucket_mask;

	return bpf_map_lookup_elem(&live_table, &index);
}

/*
 * Slots in use. Without branches: at half load each would be mispredicted every other time. The asm
 * keeps clang from seeing a comparison and making a branch of it.
 */
static __always_inline __u32 bucket_used(const volatile struct tables_bucket *bucket)
{
	__u32 used = 0;

#pragma unroll
	for (__u32 way = 0; way < TABLES_WAYS; way++) {
		__u64 key = bucket->key[way];
		__u64 minus = -key;

		asm volatile("" : "+r"(minus));
		used += (key | minus) >> 63;
	}
	return used;
}

/* Not inlined: clang 14's inlined cmpxchg chains fail to verify ("R1 !read_ok"). */
static __noinline int bucket_claim(struct tables_bucket *bucket)
{
#pragma unroll
	for (__u32 way = 0; way < TABLES_WAYS; way++) {
		volatile __u64 *slot = &bucket->key[way];

		if (*slot == TABLES_KEY_EMPTY &&
			__sync_val_compare_and_swap(&bucket->key[way], TABLES_KEY_EMPTY,
				TABLES_KEY_BUSY) == TABLES_KEY_EMPTY)
			return way;
	}
	return -1;
}

/* Takes the value before it gives the slot up, and only the winner of the exchange has deleted the
 * key. */
static __noinline __u64 bucket_delete(struct tables_bucket *bucket, __u64 key)
{
#pragma unroll
	for (__u32 way = 0; way < TABLES_WAYS; way++) {
		volatile __u64 *slot = &bucket->key[way];

		if (*slot == key) {
			volatile struct tables_value *value = &bucket->value[way];
			__u64 found = value->size + value->site + value->birth;

			if (__sync_val_compare_and_swap(&bucket->key[way], key, TABLES_KEY_EMPTY) ==
				key)
				return found + 1;
			return 0;
		}
	}
	return 0;
}

/*
 * Global functions are verified once and alone, whatever loop calls them; inlined, the branches of
 * the 16 slots multiply with those of the loop and the verifier gives up. They get scalars only,
 * and so return what is left of a value: the sum of its fields, plus one, or 0.
 */
__noinline __u64 table_delete(__u64 key)
{
	struct tables_bucket *bucket = bucket_first(key);
	__u64 found = 0;

	if (bucket)
		found = bucket_delete(bucket, key);
	if (found)
		return found;
	bucket = bucket_second(key);
	return bucket ? bucket_delete(bucket, key) : 0;
}

__noinline int table_insert(__u64 i)
{
	struct tables_value value = value_of(i);
	__u64 key = key_of(i);
	struct tables_bucket *bucket = bucket_first(key);
	struct tables_bucket *other = bucket_second(key);
	int way;

	if (!bucket || !other)
		return 0;
	/* The second bucket is mostly another cache miss: it is looked at only when the first is
	 * crowded. */
	if (bucket_used(bucket) >= TABLES_CROWDED && bucket_used(other) < bucket_used(bucket))
		bucket = other;
	way = bucket_claim(bucket);
	if (way < 0)
		return 0;
	bucket->value[way & (TABLES_WAYS - 1)] = value;
	/* An exchange and not a store: it orders value before key on arm64 too. */
	__sync_lock_test_and_set(&bucket->key[way & (TABLES_WAYS - 1)], key);
	return 1;
}

static __always_inline void churn_table(__u64 i, __u64 live)
{
	if (live)
		table_delete(key_of(i - live));
	if (!table_insert(i))
		__sync_fetch_and_add(&lost, 1);
}

SEC("raw_tp")
int live_prealloc_run(struct bpf_raw_tracepoint_args *ctx)
{
	return TABLES_RUN(ctx, args, i, churn_hash(&live_prealloc, args.first + i, args.live));
}

SEC("raw_tp")
int live_dynamic_run(struct bpf_raw_tracepoint_args *ctx)
{
	return TABLES_RUN(ctx, args, i, churn_hash(&live_dynamic, args.first + i, args.live));
}

SEC("raw_tp")
int live_table_run(struct bpf_raw_tracepoint_args *ctx)
{
	return TABLES_RUN(ctx, args, i, churn_table(args.first + i, args.live));
}

/* ---- the counters ---- */

static __always_inline __u32 site_of(__u64 i, __u64 sites)
{
	return (mix(i) >> 32) & (sites - 1);
}

static __always_inline void count_atomic(struct tables_counters *counters, __u64 bytes)
{
	__sync_fetch_and_add(&counters->alloc_count, 1);
	__sync_fetch_and_add(&counters->alloc_bytes, bytes);
	__sync_fetch_and_add(&counters->free_count, 1);
	__sync_fetch_and_add(&counters->free_bytes, bytes);
}

static __always_inline void count_in_hash(__u32 site, __u64 bytes)
{
	struct tables_counters *counters = bpf_map_lookup_elem(&count_hash, &site);

	if (counters)
		count_atomic(counters, bytes);
}

/* Plain adds, as such maps are used; a preemption or a nested probe between load and store loses
 * one. */
static __always_inline void count_in_percpu(__u32 site, __u64 bytes)
{
	volatile struct tables_counters *counters = bpf_map_lookup_elem(&count_percpu, &site);

	if (!counters)
		return;
	counters->alloc_count += 1;
	counters->alloc_bytes += bytes;
	counters->free_count += 1;
	counters->free_bytes += bytes;
}

static __always_inline void count_in_shard(__u32 site, __u64 bytes)
{
	__u32 index = (bpf_get_smp_processor_id() & shard_mask) * shard_sites + site;
	struct tables_counters *counters = bpf_map_lookup_elem(&count_sharded, &index);

	if (counters)
		count_atomic(counters, bytes);
}

SEC("raw_tp")
int count_hash_run(struct bpf_raw_tracepoint_args *ctx)
{
	return TABLES_RUN(ctx, args, i, count_in_hash(site_of(args.first + i, args.live), i));
}

SEC("raw_tp")
int count_percpu_run(struct bpf_raw_tracepoint_args *ctx)
{
	return TABLES_RUN(ctx, args, i, count_in_percpu(site_of(args.first + i, args.live), i));
}

SEC("raw_tp")
int count_sharded_run(struct bpf_raw_tracepoint_args *ctx)
{
	return TABLES_RUN(ctx, args, i, count_in_shard(site_of(args.first + i, args.live), i));
}

/* ---- what the driver itself costs: taken off every figure ---- */

/* Keeps a value that nothing reads. */
#define TABLES_KEEP(x) asm volatile("" : : "r"(x))

SEC("raw_tp")
int driver_live_run(struct bpf_raw_tracepoint_args *ctx)
{
	return TABLES_RUN(ctx, args, i, ({
		TABLES_KEEP(key_of(args.first + i));
		TABLES_KEEP(key_of(args.first + i - args.live));
	}));
}

SEC("raw_tp")
int driver_count_run(struct bpf_raw_tracepoint_args *ctx)
{
	return TABLES_RUN(ctx, args, i, TABLES_KEEP(site_of(args.first + i, args.live)));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
