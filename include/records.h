/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * The contract between the kernel half (bpf/) and the loader (user/): records and their layouts,
 * nothing else. All of them live in BPF arrays that the loader maps into its own memory.
 *
 *   process (by 16-bit slot)
 *      |            live table: (slot, address) -> size, birth, site
 *      |                                                        |
 *      +--------------------------- site <----------------------+
 *                                  (slot, stack, domain)
 *                                   |            |
 *                           stack (shared)    site counters (one row a shard)
 *                          frames in the pool
 *
 * An allocation finds or makes its stack and its site; its block carries the site's index, so that
 * a free reaches the counters without a hash. Nothing is ever removed from stacks, frames and sites
 * while a session runs: an index once given stays true.
 */
#ifndef HEAPTAP_RECORDS_H
#define HEAPTAP_RECORDS_H

#ifndef __bpf__
#include <linux/types.h>
#endif
#include "losses.h"

#define HT_MAX_FRAMES	      127 /* native frames a stack, as perf's default limit */
#define HT_CHUNK_FRAMES	      8	  /* frames an element of the pool: one cache line */
#define HT_BUCKET_BLOCKS      7
#define HT_MAX_SEGMENTS	      16
#define HT_MAX_SHARDS	      8
#define HT_SCRATCH_PER_CPU    4
#define HT_PAGE_BYTES	      4096
#define HT_STACK_BYTES	      8192  /* of user stack, read at once at most */
#define HT_STACK_SLACK	      128   /* bytes read beyond what lately was enough */
#define HT_PC_ENTRIES	      512   /* of a scratch buffer's pc cache; a power of two */
#define HT_RANGES_PER_PROCESS 8192  /* executable mappings, one set of them a process */
#define HT_RANGES_MAX	      65536 /* of all sets, those included that are being given up */
#define HT_THREAD_SLOTS	      4096  /* a power of two */

enum ht_domain {
	HT_DOMAIN_HEAP = 0,
	HT_DOMAIN_MMAP = 1,
	HT_DOMAIN_PYTHON = 2,
	HT_DOMAIN_RSS = 3, /* resident anonymous memory: allocated is grown, freed is shrunk */
};

enum ht_mode { HT_MODE_EXACT = 0, HT_MODE_SAMPLE = 1, HT_MODE_GROWTH = 2 };

/* What a probed function does with its arguments; the low byte of the BPF cookie of its probe. */
enum ht_role {
	HT_ROLE_NONE = 0,
	HT_ROLE_MALLOC,		/* (size) -> block */
	HT_ROLE_CALLOC,		/* (count, size) -> block */
	HT_ROLE_ALIGNED,	/* (alignment, size) -> block */
	HT_ROLE_REALLOC,	/* (block, size) -> block */
	HT_ROLE_REALLOCARRAY,	/* (block, count, size) -> block */
	HT_ROLE_POSIX_MEMALIGN, /* (&block, alignment, size) -> 0 or an error number */
	HT_ROLE_FREE,		/* (block, ...) */
	HT_ROLES,
};

/* --- process --------------------------------------------------------------------------------- */

/*
 * What differs between traced processes or changes while they run. Written by one function of the
 * loader, but for mm, which the first event of the process fills in: the kernel's address of an mm
 * is not to be had in user space, and a different one later means that the process called exec.
 */
struct ht_process {
	__u32 tgid;
	__u32 armed; /* events count only while it is 1 */
	__u64 mm;
	__u64 ranges; /* first index : 32 | count : 32, one word so that a walk sees a whole set */
	__u32 generation; /* of the ranges: cached pc lookups of another one are stale */
	__u16 slot;
	__u8 by_thread; /* sites are told apart by thread */
	__u8 domains;	/* bit by enum ht_domain */
	/* Which requests are followed. 0: every one, and nothing of these lines matters. */
	__u32 selective;
	__u32 interval_log2; /* of the sampling interval in bytes; 0 in exact mode */
	__u64 min_bytes;     /* requests below are not followed */
	__u64 max_bytes;     /* nor those above */
	__u32 thread;	     /* nor those of other threads; 0 is none */
	__u32 module;	     /* nor those from other modules; the id + 1, 0 is none */
	__u32 origin;	     /* enum ht_origin */
	__u32 ended;	     /* it runs another program now, which has another slot */
	/* Written by the loader. */
	__u32 follow;	   /* children that it forks are traced as well */
	__u32 awaits_exec; /* it is a process that will become a traced command */
	__u32 known;	   /* the loader has taken note of it */
	/* Of no matter to programs. */
	__u32 mode;	  /* enum ht_mode */
	__u64 start_time; /* clock ticks after boot, /proc/PID/stat field 22: tells a reused pid */
	__u32 relink;	  /* it began by exec of a thread that was not the first one */
	__u32 pid;	  /* as the loader sees it: in its pid namespace; 0: it does not */
	__u32 origin_slot; /* of the process that forked it, or of the program that ran in it before */
	/* On their own cache line: the one place that every event of a process writes. */
	__u64 live_bytes __attribute__((aligned(64)));
	__u64 peak_live_bytes;
	__u64 reserved_line[6];
};
_Static_assert(sizeof(struct ht_process) == 192, "process record is three cache lines");

/* How a process came to its slot. */
enum ht_origin {
	HT_ORIGIN_LOADER = 0,
	HT_ORIGIN_FORK, /* it goes on in its parent's image: its first frees may be of inherited blocks */
	HT_ORIGIN_EXEC,
};

/* A place of the direct-mapped table in front of the hash from tgid to slot. */
#define HT_TGID_PLACES 4096 /* a power of two */
struct ht_tgid {
	__u32 tgid; /* 0: none */
	__u32 slot;
	__u32 shared; /* other traced processes fall on this place */
	__u32 reserved;
};
_Static_assert(sizeof(struct ht_tgid) == 16, "place of a tgid");

/* A thread under the ids of the initial pid namespace. */
struct ht_thread_id {
	__u32 tgid;
	__u32 tid;
	__u32 level; /* of its own pid namespace; 0 is the initial one */
};
_Static_assert(sizeof(struct ht_thread_id) == 12, "ids of a thread");

struct ht_process_counters {
	__u64 started;		   /* allocating calls that were let through to their return */
	__u64 timing_ns;	   /* when the entry began that is being timed; 0: none is */
	__u64 finished_uncounted;  /* of these, returned, and neither an allocation nor a failure */
	__u64 untracked_frees;	   /* of blocks born before the attach, or not followed */
	__u64 untracked_inherited; /* of blocks born in the parent before fork */
	__u64 after_exec; /* events of a new program image that the loader had not seen yet */
	__u64 lost_excess_count; /* as in struct ht_site_counters */
	__u64 lost_excess_bytes;
	__u64 lost_count[HT_LOST_REASONS];
	__u64 lost_bytes[HT_LOST_REASONS];
	__u64 unattributed[HT_UNATTRIBUTED_REASONS];
	__u64 unwind[HT_UNWIND_REASONS];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct ht_process_counters) == 320, "counters of a shard: five lines");

/*
 * What heaptap's own programs cost a process: of their runs one in HT_PULSE_RUNS is timed. One a slot and shard. The
 * loader's governor reads it, and writes alarm_at. Not atomic: a count that two CPUs lose together is one of thousands.
 */
enum ht_pulse_kind {
	HT_PULSE_ALLOC,	 /* entries of allocating functions */
	HT_PULSE_FREE,	 /* entries of freeing ones */
	HT_PULSE_RETURN, /* returns */
	HT_PULSE_KINDS,
};
#define HT_PULSE_RUNS 64
struct ht_pulse {
	struct {
		__u64 timed;
		__u64 ns; /* that these took */
	} kinds[HT_PULSE_KINDS];
	__u64 idle; /* traps that came to nothing; every one */
	__u64 alarm_at; /* so many timed entries, of either kind alone, call the loader; it is told once */
};
_Static_assert(sizeof(struct ht_pulse) == 64, "a pulse is a cache line");

/* --- code ------------------------------------------------------------------------------------ */

/* An executable mapping. A pc in it lies at pc - bias in the module's ELF address space. */
struct ht_range {
	__u64 start;
	__u64 end;
	__u64 bias;
	__u32 module; /* dense id of the session; HT_MODULE_NONE: no file (JIT), frames stay raw */
	__u32 flags : 8;  /* HT_RANGE_* */
	__u32 table : 24; /* of unwind rows; 0: none, frame pointers are followed */
};
_Static_assert(sizeof(struct ht_range) == 32, "range record");
#define HT_MODULE_NONE 0xffffffffU
#define HT_RANGE_ROOT                                                                              \
	1U /* a stack that ends here is whole: the C library starts main and threads */

/*
 * Unwind tables (include/unwind.h) share one space of 32-bit words, in segments of one size. Nothing in
 * it is ever written twice while a program may read it: a walk finds the table that its range names.
 */
#define HT_UNWIND_LINE_WORDS	16
#define HT_UNWIND_SEGMENT_WORDS (1U << 20) /* 4 MiB */
#define HT_UNWIND_SEGMENTS	256
#define HT_UNWIND_TABLES	8192
struct ht_unwind_line {
	__u32 words[HT_UNWIND_LINE_WORDS];
};

/* Where a pending return probe of ours may stand, whatever the process: the keys of a hash. */
struct ht_planned {
	__u64 address; /* in the module's ELF address space */
	__u32 module;
	__u32 reserved;
};

/*
 * The cookie of a probe: role : 8 | words that it stands below the entry : 8 | file : 16 | for all : 1.
 * Files that are linked are numbered; a link is for one process or for all.
 */
#define HT_COOKIE_FILE_SHIFT	16
#define HT_COOKIE_FOR_ALL_SHIFT 32
#define HT_LINKED_FILES		1024
struct ht_linked {
	__u32 module;
	__u32 for_all; /* which of its links counts */
};

/* --- stacks and sites ------------------------------------------------------------------------ */

#define HT_STACK_TRUNCATED 1U /* the walk ended before the root */
#define HT_STACK_DEPTH	   2U /* it ended at HT_MAX_FRAMES */

struct ht_stack {
	__u64 hash;
	__u32 first_chunk; /* of the frame pool */
	__u8 native_frames;
	__u8 python_frames; /* they follow the native ones in the pool */
	__u16 flags;
};
_Static_assert(sizeof(struct ht_stack) == 16, "stack record");

struct ht_chunk {
	__u64 frames[HT_CHUNK_FRAMES];
};

struct ht_site {
	__u32 stack;
	__u32 thread; /* 0: all threads */
	__u16 slot;
	__u8 domain;
	__u8 reserved[5];
};
_Static_assert(sizeof(struct ht_site) == 16, "site record");

/* One row a site and shard; the first line is all that exact mode touches. */
struct ht_site_counters {
	__u64 alloc_count;
	__u64 alloc_bytes;
	__u64 free_count;
	__u64 free_bytes;
	__u64 failed_count;
	__u64 temporary_count; /* freed by the same thread with no other allocation between */
	__u64 temporary_bytes;
	__u64 reserved;
	/*
	 * Sampling: what the blocks counted above stand for beyond themselves (struct ht_weight: Q16 and
	 * Q8), and how far that may be wrong (sampling.h: blocks^2, and 2^16 bytes^2). Blocks followed
	 * under different intervals, and exactly, add up.
	 */
	__u64 alloc_excess_count;
	__u64 alloc_excess_bytes;
	__u64 free_excess_count;
	__u64 free_excess_bytes;
	__u64 alloc_variance_count;
	__u64 alloc_variance_bytes;
	__u64 free_variance_count;
	__u64 free_variance_bytes;
};
_Static_assert(sizeof(struct ht_site_counters) == 128, "site counters are two cache lines");

/*
 * What a thread did last, by thread id: collisions of ids only forget. A cache line each, for threads
 * write theirs at every event.
 */
struct ht_thread {
	__u64 allocated; /* key of its last block, and nothing since */
	__u64 freed;	 /* key of what it freed last, and nothing since */
	__s64 sample_left; /* ticks up to its next sample point: sampling.h; drawn by the loader at first */
	/* The last call that was not followed, and is not known to be over: select.h. */
	__u64 declined_sp; /* 0: none */
	__u64 declined_pc;
	__u64 declined_inner_pc; /* the last function that it called or jumped to */
	__u64 declined_return;	 /* its return address; 0: it does not jump to another function */
	__u32 turns;		 /* runs of our programs, but for entries in exact mode: pulse.h */
	__u32 reserved;
};
_Static_assert(sizeof(struct ht_thread) == 64, "a cache line a thread");

/* --- live blocks ----------------------------------------------------------------------------- */

/*
 * key = slot:16 | address >> 3 : 45 | state : 3. An empty key is all zero. A writer claims a key by
 * compare-and-swap, fills the value, and publishes the key last; whoever removes it claims it
 * first.
 */
#define HT_KEY_STATE_MASK 7ULL
#define HT_KEY_LIVE	  1ULL
#define HT_KEY_BUSY	  2ULL
#define HT_ADDRESS_BITS	  48

struct ht_block {
	__u64 size : 48;    /* bytes requested */
	__u64 interval : 6; /* log2 of the sampling interval that it was chosen under; 0: exact */
	__u64 domain : 4;
	__u64 flags : 6;
	__u32 site;
	__u32 birth; /* jiffies >> knobs.birth_shift: no helper that uprobes may call is cheaper */
};
_Static_assert(sizeof(struct ht_block) == 16, "value of the live table");

/* Keys and header share a line, so that a lookup that misses touches one line a bucket. */
#define HT_BUCKET_SPILLED 1ULL /* a block with this first bucket is, or was, not in it */
#define HT_BUCKET_OVERFLOWED                                                                       \
	2ULL /* a block with this second bucket is, or was, in a later segment */
struct ht_bucket {
	__u64 header;
	__u64 keys[HT_BUCKET_BLOCKS];
	struct ht_block blocks[HT_BUCKET_BLOCKS];
	__u64 reserved[2];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct ht_bucket) == 192, "bucket is three cache lines");

static inline __u64 ht_key(__u32 slot, __u64 address)
{
	return (__u64)slot << 48 | address >> 3 << 3 | HT_KEY_LIVE;
}

static inline __u32 ht_key_slot(__u64 key)
{
	return key >> 48;
}

/* --- calls in flight ------------------------------------------------------------------------- */

/*
 * The session's cookie, from entry to return: set:1 | recorded:1 | site:24 | interval:6 | size:32.
 * malloc and its like need no record: that is all there is.
 */
#define HT_COOKIE_SIZE_BITS	32
#define HT_COOKIE_SIZE_MAX	((1ULL << HT_COOKIE_SIZE_BITS) - 1) /* larger: in the record */
#define HT_COOKIE_INTERVAL_MASK 63U
#define HT_COOKIE_SITE_SHIFT	(HT_COOKIE_SIZE_BITS + 6)
#define HT_COOKIE_SITE_MASK	((1U << 24) - 1)
#define HT_COOKIE_RECORDED	(1ULL << 62)
#define HT_COOKIE_SET		(1ULL << 63)

/* A call that is seen to its end for its old block's sake alone: the new one is not followed. */
#define HT_NOT_FOLLOWED 63U

struct ht_call_key {
	__u64 pid_tgid;
	__u64 sp; /* at entry: right under nesting, signals and longjmp */
};

struct ht_call {
	__u64 size;
	__u64 argument; /* the old block of realloc, the result's address of posix_memalign */
	__u64 old_key;	/* 0: no old block, or not one of ours */
	struct ht_block old_block;
	__u32 site;
	__u32 birth;
	__u32 role;	/* enum ht_role */
	__u32 interval; /* of struct ht_block, or HT_NOT_FOLLOWED */
};
_Static_assert(sizeof(struct ht_call) == 56, "in-flight record");

/* --- between the halves ----------------------------------------------------------------------- */

/*
 * Fixed for a session: set by the loader (user/trace/tables.c) before the load, constants to the
 * verifier. Masks belong to powers of two.
 */
struct ht_knobs {
	__u32 shard_count; /* at least 1, as all of these but masks and the shift */
	__u32 shard_mask;
	__u32 max_stacks;
	__u32 max_sites; /* the first ones are the "no stack" sites, one a slot */
	__u32 max_chunks;
	__u32 index_mask; /* of both indexes: at least twice as many places as stacks */
	__u32 segment_buckets;
	__u32 birth_shift; /* jiffies to the unit of births, about 1/16 s */
	__u32 truth_every; /* tests: each such event's registers and stack are shipped; 0: none */
	__u16 cpu_count;   /* possible CPUs */
	__u16 page_shift;
	__u32 timed; /* one run in HT_PULSE_RUNS is: else the code for it is not there */
	__u32 reserved;
};
_Static_assert(sizeof(struct ht_knobs) == 48, "all of .rodata.knobs");

struct ht_control {
	/*
	 * Ids given so far; the kernel half counts them up. Stack 0 is the empty stack, and the
	 * first sites are those without a stack, one a slot.
	 */
	__u32 next_stack;
	__u32 next_site;
	__u32 next_chunk;
	__u32 pressure_told; /* segments there were when the loader was last asked for one */
	__u32 segments;	     /* of the live table, in use; written by the loader */
	__u32 check_links;   /* an event may come through two links: bpf/accept.h */
	__u32 slot_mask;     /* of the ring of free slots; their number, a power of two, less one */
	/*
	 * Free slots lie in a ring: the loader adds at `given`, which only it writes; both halves take
	 * at `taken`. The records of free slots are zero but for their number.
	 */
	__u32 pid_level; /* of the loader's pid namespace */
	__u64 slots_given;
	__u64 slots_taken;
	__u64 processes_missed; /* forked or begun by exec when no slot was free: not traced */
};
_Static_assert(sizeof(struct ht_control) == 56, "all of .data.control");

enum ht_message_kind {
	HT_MESSAGE_LIVE_PRESSURE = 1, /* the newest segment of the live table fills up */
	HT_MESSAGE_PROCESSES, /* there are processes in `processes` that the loader does not know */
	HT_MESSAGE_ALARM,     /* a process costs more than the loader allowed: ht_pulse.alarm_at */
};

/* Tests: what a stack was taken from, for another unwinder to look at. */
#define HT_TRUTH_BYTES 65536
struct ht_truth {
	__u64 pc, sp, bp, bx;
	__u32 tid;
	__u32 slot;
	__u32 flags; /* HT_STACK_* */
	__u32 frame_count;
	__u64 frames[HT_MAX_FRAMES + 1];
	__u32 stack_bytes; /* from sp on */
	__u32 reserved;
	__u8 stack[HT_TRUTH_BYTES + HT_PAGE_BYTES]; /* the verifier knows no better */
};

struct ht_message {
	__u32 kind;
	__u32 subject; /* of pressure: segments there were; of an alarm: the slot */
};

#endif
