/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/* What tables.bpf.c and tables.c share: the layout of the candidates for the live table and the
 * counters. */
#ifndef BENCH_TABLES_H
#define BENCH_TABLES_H

#include <linux/types.h>

#define TABLES_WAYS    8u
#define TABLES_CROWDED 6u    /* slots in use of a bucket from which on the other is thought of */
#define TABLES_CHUNK   1024u /* operations of one program run */

/* Key words: 0 is an empty slot, the low three bits are a state. */
#define TABLES_KEY_EMPTY 0ull
#define TABLES_KEY_BUSY	 1ull /* claimed, value not yet written */
#define TABLES_KEY_LIVE	 2ull

struct tables_value {
	__u64 size;
	__u32 site;
	__u32 birth;
};
_Static_assert(sizeof(struct tables_value) == 16, "layout shared with the BPF half");

/* The keys of a bucket are one cache line, so that a search reads one line a bucket. */
struct tables_bucket {
	__u64 key[TABLES_WAYS];
	struct tables_value value[TABLES_WAYS];
};
_Static_assert(sizeof(struct tables_bucket) == 192, "three cache lines");

struct tables_counters {
	__u64 alloc_count;
	__u64 alloc_bytes;
	__u64 free_count;
	__u64 free_bytes;
};
_Static_assert(sizeof(struct tables_counters) == 32, "half a cache line");

/*
 * Arguments of a run (BPF_PROG_TEST_RUN's ctx_in). The programs return the ns of TABLES_CHUNK
 * operations. Live table: each operation inserts key number `first + i` and deletes number `first +
 * i - live`, the oldest one; live = 0 only inserts. Counters: each adds to the four counters of a
 * random site of [0, live), a power of two.
 */
struct tables_args {
	__u64 first;
	__u64 live;
};

#endif
