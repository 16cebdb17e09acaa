/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel half's tables: their sizes, and the loader's view of them. */
#ifndef HEAPTAP_TABLES_H
#define HEAPTAP_TABLES_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#include "../../include/records.h"
#include "../base/extents.h"
#include "kernel.h"
#include "unwinder.h"

#define TABLES_MAX_PROCESSES 1024  /* at once; a power of two */
#define TABLES_MAX_SLOTS     65536 /* that a key or a site can name */

struct table_limits {
	uint64_t max_live; /* blocks */
	uint64_t max_stacks;
	uint64_t max_in_flight;	 /* calls with a record at one moment: struct ht_call */
	uint64_t max_unwind_mib; /* of unwind tables */
	bool timed; /* runs of our programs are, some of them: session_load() decides */
};

#define TABLE_LIMITS_DEFAULT                                                                       \
	{                                                                                          \
		.max_live = 2U << 20, .max_stacks = 32U << 10, .max_in_flight = 8U << 10,          \
		.max_unwind_mib = 128                                                              \
	}

struct mapping {
	void *at;
	size_t bytes;
};

/*
 * All arrays are shared with running programs: read with care, in the order that the comments say.
 */
struct tables {
	uint32_t shards;
	uint32_t cpus; /* possible ones */
	struct unwinder unwinder;
	uint32_t segment_buckets;
	uint32_t segments; /* mapped below */
	uint32_t max_segments;
	uint32_t birth_shift;
	double birth_unit_s;
	struct ht_process *processes;
	struct ht_process_counters *process_counters;
	struct ht_pulse *pulses;
	struct ht_tgid *slot_by_tgid;
	uint64_t *free_slots;
	struct ht_linked *linked_files;
	struct ht_range *ranges;
	struct ht_stack *stacks;
	struct ht_chunk *chunks;
	struct ht_site *sites;
	struct ht_site_counters *site_counters;
	struct ht_control *control;
	struct ht_thread *threads;
	struct ht_bucket *live[HT_MAX_SEGMENTS];
	struct extents free_ranges;
	uint16_t spare_slots
		[TABLES_MAX_PROCESSES]; /* free, and not in the ring: the last is used first */
	uint32_t spare_count;
	struct mapping mappings[13 + HT_MAX_SEGMENTS];
	uint32_t mapping_count;
	int live_fds[HT_MAX_SEGMENTS];
};

struct table_bytes {
	uint64_t at_start;
	uint64_t
		at_most; /* with all segments of the live table, and all the unwind tables allowed */
};
/* Kernel memory that the tables take with so many possible CPUs; no kernel is asked. 0 or -errno. */
int tables_bytes(int cpus, const struct table_limits *limits, struct table_bytes *bytes);
/* Before the load: sizes of all maps and the knobs. 0 or -errno. */
int tables_configure(struct tables *t, struct kernel *kernel, const struct table_limits *limits);
/*
 * After the load: maps the arrays and gives the live table its first segment. 0 or -errno with a
 * message.
 */
int tables_map(struct tables *t, struct kernel *kernel);
/* Adds a segment to the live table. 0; -ENOSPC when all are in use; or -errno with a message. */
int tables_add_segment(struct tables *t, struct kernel *kernel);
/*
 * Returns once every program run that began before the call has ended. Updating an array of maps
 * makes the kernel wait for just that.
 */
void tables_synchronize(struct tables *t, struct kernel *kernel);
/* A free slot, its record and counters empty; -ENOSPC: all are in use. */
int tables_take_slot(struct tables *t, uint32_t *slot);
/* So many slots are kept where the kernel half can take them. */
void tables_offer_slots(struct tables *t);
/* Gives back those that no program uses any more; all that they had is emptied. */
void tables_give_slots(struct tables *t, const bool slots[TABLES_MAX_SLOTS], uint32_t sites);
/*
 * Forgets all blocks and counts of processes, as if they had just been added; sites, stacks, what our programs cost and
 * what their threads did last stay. No program may run meanwhile.
 */
void tables_empty(struct tables *t, const bool slots[TABLES_MAX_SLOTS], uint32_t sites);
void tables_unmap(struct tables *t);

#endif
