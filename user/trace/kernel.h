/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel half of a session: the object of a kind of link, its programs and tables found by name
 * once. All objects have the same tables; which programs they have depends on the kind.
 */
#ifndef HEAPTAP_KERNEL_H
#define HEAPTAP_KERNEL_H

#include <stdint.h>

#include "../../include/growth.h"
#include "../../include/records.h"
#include "features.h"

struct bpf_map;
struct bpf_object;
struct bpf_program;

#define KERNEL_MAPS(X)                                                                             \
	X(processes)                                                                               \
	X(process_counters)                                                                        \
	X(pulses)                                                                                  \
	X(slot_by_tgid)                                                                            \
	X(free_slots)                                                                              \
	X(linked_files)                                                                            \
	X(process_by_tgid)                                                                         \
	X(ranges)                                                                                  \
	X(planned)                                                                                 \
	X(stacks)                                                                                  \
	X(chunks)                                                                                  \
	X(sites)                                                                                   \
	X(site_counters)                                                                           \
	X(stack_index)                                                                             \
	X(site_index)                                                                              \
	X(threads)                                                                                 \
	X(calls)                                                                                   \
	X(unwind_tables)                                                                           \
	X(unwind_segments)                                                                         \
	X(truths)                                                                                  \
	X(live_segments)                                                                           \
	X(scratches)                                                                               \
	X(messages)

/* What only the object of growth mode has beside them. */
#define KERNEL_GROWTH_MAPS(X)                                                                      \
	X(growth)                                                                                  \
	X(growth_cpus)                                                                             \
	X(growth_counters)                                                                         \
	X(traced_mms)                                                                              \
	X(mappings)

/* What runs at probes, in all kinds; each kind has some of them. */
enum kernel_program {
	PROGRAM_ALLOCATE, /* sessions: allocating functions, at entry and return */
	PROGRAM_RELEASE,  /* sessions: freeing functions */
	PROGRAM_ENTER,	  /* the others: all functions, at entry */
	PROGRAM_LEAVE,	  /* the others: allocating functions, at return */
	KERNEL_PROGRAMS,
};

#define KERNEL_FOLLOW 3

struct kernel {
	enum link_kind kind;
	bool for_all; /* its links cannot be for one process: some of its threads would be missed */
	struct bpf_object *object;
	struct bpf_program *programs[KERNEL_PROGRAMS]; /* NULL: this kind has none such */
	struct bpf_program *birth_clock;
	struct bpf_program *follow[KERNEL_FOLLOW]; /* of fork, exec, exit */
	struct {
#define KERNEL_MAP(name) struct bpf_map *name;
		KERNEL_MAPS(KERNEL_MAP)
		KERNEL_GROWTH_MAPS(KERNEL_MAP)
#undef KERNEL_MAP
		struct bpf_map *control;
	} maps;
	struct ht_knobs *knobs;	  /* until the load */
	struct ht_control *first; /* what `control` will be at the start; until the load */
};

/*
 * Opens the object of a kind; nothing has touched the kernel yet. 0 or -errno, silently, and
 * kernel_close() is allowed in both cases.
 */
int kernel_open(struct kernel *k, enum link_kind kind);
/* The same for the object of growth mode, whose programs its user finds by name. */
int kernel_open_growth(struct kernel *k);
/* Loads it, with the knobs and the sizes of the maps as they are by now. 0 or -errno, silently. */
int kernel_load(struct kernel *k);
void kernel_close(struct kernel *k);

/*
 * Runs that the kernel left out because the program was running on that CPU already: events that no
 * one counted.
 */
uint64_t kernel_missed_runs(const struct kernel *k);
uint64_t kernel_missed_runs_of(const struct bpf_program *program);
/* What a block born now would carry as its birth. */
uint32_t kernel_birth_clock(const struct kernel *k);

#endif
