/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Growth mode: the records of bpf/growth.h. Truth is the kernel's own count of a process's pages, seen
 * at each change (the rss_stat tracepoint): the difference to what was seen last is charged to what
 * changes it, so that
 *
 *     start + sum of the charges = the count now
 *
 * whatever the order of events. On Linux 6.2 and later the count is one word and a part a CPU, each
 * seen on its own; before, one word that threads update in lumps of up to 64 pages.
 */
#ifndef HEAPTAP_GROWTH_H
#define HEAPTAP_GROWTH_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/*
 * What a charge is due to: each is due to one. X(NAME, "json_key", "grown by", "shrunk by", STACK)
 *
 * STACK: 1 where a thread of the process does it, so that the charge goes to the site of its stack too.
 */
/* clang-format off */
#define HT_GROWTH_CAUSES(X)                                                                        \
	X(FAULT, "fault", "memory touched", "page faults", 1)                                      \
	X(HUGE, "huge", "huge pages touched", "huge pages", 1)                                     \
	X(SYSCALL, "syscall", "memory that system calls such as read filled", "system calls", 1)   \
	X(SWAP_IN, "swap_in", "swapped in", "swap", 1)                                             \
	X(BRK, "brk", "brk", "given back by brk", 1)                                               \
	X(MMAP, "mmap", "populated by mmap", "mapped over", 1)                                     \
	X(MUNMAP, "munmap", "munmap", "given back by munmap", 1)                                   \
	X(MREMAP, "mremap", "mremap", "given back by mremap", 1)                                   \
	X(MADVISE, "madvise", "populated or collapsed by madvise", "given back by madvise", 1)     \
	X(RECLAIM, "reclaim", "reclaim", "taken by reclaim, to swap or for good", 0)               \
	X(KHUGEPAGED, "khugepaged", "filled up to huge pages by khugepaged",                       \
	  "khugepaged", 0)                                                                         \
	X(KSM, "ksm", "same-page merging", "merged by same-page merging", 0)                       \
	X(OTHER, "other_process", "other processes (ptrace, process_vm_writev)",                   \
	  "given back on behalf of other processes", 0)                                            \
	X(WORKER, "kernel_worker", "kernel workers of the process", "kernel workers", 0)           \
	X(EXEC, "exec", "exec", "given back by exec", 0)                                           \
	X(EXIT, "exit", "exit", "given back at exit", 0)
/* clang-format on */

#define HT_GROWTH_ENUM(name, key, grown, shrunk, stack) HT_GROWTH_##name,
enum ht_growth_cause { HT_GROWTH_CAUSES(HT_GROWTH_ENUM) HT_GROWTH_CAUSE_COUNT };
#undef HT_GROWTH_ENUM

/* Which of the kernel's counts; its numbers are HT_MM_*. */
enum ht_growth_count { HT_COUNT_ANON, HT_COUNT_SWAP, HT_COUNTS };
#define HT_MM_ANONPAGES 1
#define HT_MM_SWAPENTS	2

/* By slot. */
struct ht_growth {
	__u64 mm;    /* the kernel's address of it; 0: not begun */
	__u64 ended; /* the memory is being torn down: an mm at this address is another one */
	__s64 start[HT_COUNTS]; /* pages when tracing began */
	__s64 now[HT_COUNTS];	/* pages when it was last looked at */
	__u64 wanted;		/* set by the loader: look at it */
	__u64 reserved;
	/* On their own cache line: written at each event. */
	__s64 seen[HT_COUNTS] __attribute__((aligned(64))); /* the shared word of each count */
	__u64 reserved_line[6];
};
_Static_assert(sizeof(struct ht_growth) == 128, "growth record is two cache lines");

/* By slot and CPU: that CPU's part of each count, when it was seen last. */
struct ht_growth_cpu {
	__s64 seen[HT_COUNTS] __attribute__((aligned(64)));
	__u64 offset; /* of the CPU's own variables from the kernel's name for them */
};

/* By slot and shard, in bytes. */
struct ht_growth_counters {
	__u64 events;
	__u64 swapped_out;
	__u64 swapped_in;
	__u64 swap_dropped;  /* swapped out, and given back without coming in */
	__u64 fork_copied;   /* present in children when they were forked: not part of the count */
	__u64 mapping_drops; /* events of mappings that found the ring buffer full */
	__u64 grown[HT_GROWTH_CAUSE_COUNT];
	__u64 shrunk[HT_GROWTH_CAUSE_COUNT];
} __attribute__((aligned(64)));

/* The open-addressed table from mm to slot. */
#define HT_MM_PLACES 64 /* a power of two, much larger than the number of slots */
#define HT_MM_PROBES 4
struct ht_traced_mm {
	__u64 mm; /* 0: none was ever here */
	__u32 slot;
	__u32 reserved;
};

enum ht_mapping_call {
	HT_MAPPING_MMAP,
	HT_MAPPING_MUNMAP,
	HT_MAPPING_MREMAP,
	HT_MAPPING_BRK,
	HT_MAPPING_MADVISE,
	HT_MAPPING_CALLS,
};

/* A system call about mappings that succeeded, by ring buffer. */
struct ht_mapping {
	__u32 call; /* enum ht_mapping_call */
	__u32 site; /* of the caller; 0, the empty one, where memory only goes */
	__u64 address;
	__u64 bytes;
	__u64 old_address; /* mremap; brk: 0 */
	__u64 old_bytes;
	__u32 flags; /* mmap's and mremap's flags, madvise's advice */
	__u32 reserved;
};
_Static_assert(sizeof(struct ht_mapping) == 48, "mapping event");

#endif
