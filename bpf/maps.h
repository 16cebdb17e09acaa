/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Tables of the kernel half. The loader sets max_entries and the knobs before the load, and maps
 * every array into its own memory: a snapshot is a memory read, not a row of system calls.
 */
#ifndef HEAPTAP_BPF_MAPS_H
#define HEAPTAP_BPF_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "../include/records.h"
#include "../include/frame.h"
#include "../include/sampling.h"
#include "../include/unwind.h"

/* In sections of their own: the loader finds them by that name, and knows all that is in them. */
const volatile struct ht_knobs knobs SEC(".rodata.knobs") = { .shard_count = 1 };
struct ht_control control SEC(".data.control");

#define HT_ARRAY(name, value_type)                                                                 \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE);                                                 \
		__uint(max_entries, 1);                                                            \
		__type(key, u32);                                                                  \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

HT_ARRAY(processes, struct ht_process);			/* by slot */
HT_ARRAY(process_counters, struct ht_process_counters); /* by slot * shards + shard */
HT_ARRAY(pulses, struct ht_pulse);			/* by slot * shards + shard */
HT_ARRAY(slot_by_tgid, struct ht_tgid);
HT_ARRAY(free_slots, u64);		  /* a ring; the kernel rounds elements up to 8 bytes */
HT_ARRAY(linked_files, struct ht_linked); /* by the number of a file in cookies */
HT_ARRAY(ranges, struct ht_range);	  /* sets of them, each sorted by address */
HT_ARRAY(stacks, struct ht_stack);	  /* dense */
HT_ARRAY(chunks, struct ht_chunk);	  /* dense: frames of the stacks */
HT_ARRAY(sites, struct ht_site);	  /* dense */
HT_ARRAY(site_counters, struct ht_site_counters); /* by site * shards + shard */
HT_ARRAY(stack_index, u64); /* open addressing: hash >> 32 << 32 | stack + 1 */
HT_ARRAY(site_index, u64);
HT_ARRAY(unwind_tables, struct ht_unwind_table); /* by the table of a range */
HT_ARRAY(threads, struct ht_thread);		 /* by thread id, modulo HT_THREAD_SLOTS */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} process_by_tgid SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct ht_planned);
	__type(value, u32);
} planned SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct ht_call_key);
	__type(value, struct ht_call);
} calls SEC(".maps");

/*
 * All segments have one size: the verifier then inlines the lookup in the inner array. The loader
 * makes them, the first one before the load, as the pattern.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, HT_MAX_SEGMENTS);
	__type(key, u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_MMAPABLE);
			__uint(max_entries, 1);
			__type(key, u32);
			__type(value, struct ht_bucket);
		});
} live_segments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, HT_UNWIND_SEGMENTS);
	__type(key, u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_MMAPABLE);
			__uint(max_entries, HT_UNWIND_SEGMENT_WORDS / HT_UNWIND_LINE_WORDS);
			__type(key, u32);
			__type(value, struct ht_unwind_line);
		});
} unwind_segments SEC(".maps");

/* Else clang leaves the types of the inner values out of the BTF. */
const struct ht_bucket *ht_bucket_type __attribute__((unused));
const struct ht_unwind_line *ht_unwind_line_type __attribute__((unused));

/* Of the thread that is looked at; bx, as bp, only to find its frames. */
struct ht_regs {
	u64 pc;
	u64 sp;
	u64 bp;
	u64 bx;
};

struct ht_pc_entry {
	u64 pc;
	u64 frame;
	u64 space; /* slot : 32 | generation of its ranges : 32 */
	u64 rule;  /* include/unwind.h */
};

/*
 * The stack comes first, and the size is a multiple of pages, as is the start of a mmapable array:
 * a page of user stack is copied to the same offset within a page, for any other makes the copy 10x
 * slower.
 */
struct ht_scratch {
	u8 stack[2 * HT_STACK_BYTES]; /* a power of two; a page of it is only for the offset */
	u64 busy;
	/* The stack last captured here. */
	u64 hash; /* of its frames */
	u32 frame_count;
	u32 flags; /* HT_STACK_* */
	/*
	 * State of the walk in progress: in memory, so that the verifier does not tell its steps
	 * apart.
	 */
	u64 base;	/* address of the first byte of user stack in `stack` */
	u64 shift;	/* from an address to its place in `stack` */
	u64 end;	/* words of it that begin below are whole */
	u64 extent;	/* bytes of stack that walks here needed lately */
	u64 absent;	/* the page behind some stack: reading into it fails */
	u64 space;	/* of the pc cache; SPACE_NONE: the next frame is not in it */
	u64 walk_space; /* the same for the whole walk, which a change of the mappings may overtake */
	u64 rule;	/* of the last frame */
	u64 pc_at;	/* its entry in the pc cache, when it was not the guessed one */
	u64 seen;	/* flags of all rules of the walk */
	u64 fault_sp;	/* of the code that faulted, when the walk begins there */
	u64 index;	/* of this buffer, while a step is taken slowly */
	struct ht_walk walk;
	struct ht_regs regs; /* tests: where the walk began */
	u64 truth_count;
	u64 frames[HT_MAX_FRAMES + 1 + HT_CHUNK_FRAMES]; /* zero-filled up to a whole chunk */
	struct ht_pc_entry pc_cache[HT_PC_ENTRIES];	 /* sets of two, the newer first */
	u16 pc_next[2 * HT_PC_ENTRIES]; /* entries that lately followed each; see walk() */
} __attribute__((aligned(4096)));

HT_ARRAY(scratches, struct ht_scratch); /* HT_SCRATCH_PER_CPU times the possible CPUs */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} messages SEC(".maps");

/* Tests only: a page, but where knobs.truth_every asks for more. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} truths SEC(".maps");

static __always_inline void add(u64 *counter, u64 n)
{
	__sync_fetch_and_add(counter, n);
}

/* Stores that others must see after the ones before. x86-64 keeps the order of stores by itself. */
static __always_inline void store_release(u64 *word, u64 value)
{
#ifdef __TARGET_ARCH_x86
	asm volatile("" ::: "memory");
	*(volatile u64 *)word = value;
#else
	__sync_lock_test_and_set(word, value);
#endif
}

static __always_inline void store_release32(u32 *word, u32 value)
{
#ifdef __TARGET_ARCH_x86
	asm volatile("" ::: "memory");
	*(volatile u32 *)word = value;
#else
	__sync_lock_test_and_set(word, value);
#endif
}

static __always_inline u32 shard_of_cpu(void)
{
	return bpf_get_smp_processor_id() & knobs.shard_mask;
}

#endif
