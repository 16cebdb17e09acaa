/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data model between capture and everything that shows it. Ids are dense indices, never
 * pointers:
 *
 *   snapshot: a moment's figures
 *      site  -> stack, domain; allocated, freed, live, aged
 *   profile: what the figures refer to; only grows while a session runs
 *      stack -> frames (leaf first) -> module, address
 *      module -> path, build id
 */
#ifndef HEAPTAP_PROFILE_H
#define HEAPTAP_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../include/frame.h"
#include "../../include/losses.h"
#include "../../include/records.h"
#include "growth.h"

struct profile_module {
	char *path;
	char *build_id;	 /* hex, "" when there is none */
	char *allocator; /* NULL: defines none that is traced */
};

struct profile_stack {
	uint64_t id; /* stable across runs and hosts; of build ids and addresses */
	uint32_t first_frame;
	uint16_t frame_count;
	uint16_t flags; /* HT_STACK_* */
};

struct profile {
	struct profile_module *modules;
	uint32_t module_count;
	struct profile_stack
		*stacks; /* stack 0 has no frames: it stands for all that found no room */
	uint32_t stack_count;
	uint64_t *frames; /* include/frame.h */
	uint32_t frame_count;
};

/* Copies the strings. 0 or -ENOMEM. */
int profile_add_module(
	struct profile *p, const char *path, const char *build_id, const char *allocator);
/* The next stack, in the order of the kernel's ids. 0 or -ENOMEM. */
int profile_add_stack(struct profile *p, const uint64_t *frames, uint16_t count, uint16_t flags);
/*
 * Copies what has come since there were so many modules and stacks, for a reader elsewhere that has the rest. The
 * caller releases *tail. 0 or -ENOMEM.
 */
int profile_tail(const struct profile *p, uint32_t modules, uint32_t stacks, struct profile *tail);
/* Appends such a tail; its strings move. 0 or -ENOMEM, *p then unchanged. */
int profile_append(struct profile *p, struct profile *tail);
void profile_release(struct profile *p);

/*
 * Which requests are followed; the others are in no figure. Kept with the figures, for it may change
 * while a session runs.
 */
struct rules {
	bool sample;	       /* else exact */
	uint64_t sample_bytes; /* interval, a power of two; 1: every request */
	uint64_t min_bytes;    /* of a request */
	uint64_t max_bytes;    /* 0: no limit */
	uint32_t thread;       /* 0: all */
	bool by_thread;	       /* not a condition: sites are told apart by thread */
	const char *module;    /* that calls, by path or file name; NULL: all; not owned */
};

/* Variances of the figures of the same names. Exact figures have none. */
struct variances {
	double alloc_count, alloc_bytes;
	double free_count, free_bytes;
	double live_count, live_bytes;
	double aged_count, aged_bytes;
};

/* How many blocks that were followed are behind the figures. */
struct samples {
	uint64_t alloc_count, free_count, live_count, lost_count;
	uint64_t alloc_bytes, free_bytes, live_bytes, lost_bytes;
};

/* When blocks were sampled, counts and bytes are estimates. */
struct site_figures {
	uint32_t stack;
	uint8_t domain;	 /* enum ht_domain */
	uint32_t thread; /* 0: all */
	uint64_t alloc_count, alloc_bytes;
	uint64_t free_count, free_bytes;
	uint64_t failed_count;
	uint64_t temporary_count, temporary_bytes;
	uint64_t live_count, live_bytes;
	uint64_t aged_count, aged_bytes; /* of the live blocks those at least as old as was asked */
	double oldest_s;		 /* age of the oldest live block; 0 when there is none */
	uint64_t survived_count, survived_bytes; /* of windows: live when theirs closed */
	uint64_t discarded_bytes;		 /* of a mapping: given back by madvise */
};

/* Of a site's figures, when blocks were sampled: how far they may be wrong, and what they were made of. */
struct site_estimates {
	struct variances variance;
	struct samples samples;
};

struct totals {
	uint64_t alloc_count, alloc_bytes;
	uint64_t free_count, free_bytes;
	uint64_t live_count, live_bytes;
	uint64_t aged_count, aged_bytes;
	uint64_t survived_count, survived_bytes;
	uint64_t lost_count, lost_bytes; /* sums of lost below: allocated = live + freed + lost */
	uint64_t peak_live_bytes;
	uint64_t failed_count;
	uint64_t untracked_frees;
	uint64_t
		untracked_inherited; /* of these, by a forked child: perhaps of its parent's blocks */
	uint64_t in_flight;	     /* calls that have begun and not returned */
	uint64_t
		truncated_count; /* of the allocations: those whose stack does not reach its root */
	struct variances variance;
	struct samples samples;
};

/* What stacks are followed by. */
struct unwind_figures {
	uint32_t tables; /* modules with rows */
	uint32_t cached; /* of these, read from the cache and not compiled */
	uint64_t rows;
	uint64_t bytes;
	double spent_s;	 /* of our time, to make them */
	double newest_s; /* from a mapping that came while tracing to its rows; -1: none came */
};

/* How events were counted, what that cost the process, and why it was done so. */
#define MODE_WHY 192
struct mode_figures {
	const char *name; /* "exact", "sample" or "windows"; a constant */
	double budget;	  /* share of the process's own CPU time; 0: none is kept */
	double coverage;  /* share of the time in which events were seen */
	double figures_s; /* since when the figures count */
	uint32_t windows; /* that there have been */
	double scale;	  /* from what they saw to these figures */
	bool rough; /* probes left the process next to no time in them: the scale is a guess */
	double overhead_s; /* of the process's time, since it was first probed; -1: not known */
	double cpu_s;	   /* that it used meanwhile, overhead included */
	/* Pairs of an allocation and a free that the budget allows for a second of CPU time; 0: not known. */
	double exact_pairs, sample_pairs;
	char why[MODE_WHY];
};

struct snapshot {
	uint64_t realtime_ns;
	uint64_t monotonic_ns;
	double min_age_s; /* what "aged" means */
	struct rules rules;
	struct mode_figures mode;
	bool windowed; /* figures are of windows: model/windows.h */
	bool sampled;  /* at some time since the start: figures are estimates */
	bool filtered; /* at some time some requests were not followed, by size, thread or module */
	struct totals totals;
	uint64_t lost[HT_LOST_REASONS];
	uint64_t unattributed[HT_UNATTRIBUTED_REASONS];
	uint64_t unwind[HT_UNWIND_REASONS];
	struct unwind_figures unwinder;
	uint64_t abandoned_calls; /* calls that never returned; known once the session is drained */
	uint64_t missed_events;	  /* the kernel did not run the program: counted nowhere else */
	uint32_t removed_probes;  /* gone from the target's memory: their events are missing */
	uint64_t frames_walked;	  /* of the stacks of all allocations that were followed */
	uint64_t events;	  /* calls seen since the start, allocating and freeing */
	uint64_t skew;		  /* of these, seen while the figures were read */
	double read_s; /* CPU time that it took to read all this from the kernel's tables */
	struct growth_figures growth;
	struct growth_figures trend; /* of windows: the same beside them, or not counted */
	struct site_figures *sites;
	struct site_estimates *estimates; /* by site; NULL: nothing was sampled */
	uint32_t site_count;
};

/* Room for so many sites, which are not written yet. 0 or -ENOMEM. */
int snapshot_reserve(struct snapshot *s, uint32_t site_count, bool sampled);
/* The errors of a site's figures: zeros where nothing was sampled. */
const struct site_estimates *snapshot_estimates(
	const struct snapshot *s, const struct site_figures *f);
/*
 * Adds the figures of another target of the same profile: sites of one stack become one. The moment and the rules are
 * those of the first. Its peak says nothing. 0 or -ENOMEM.
 */
int snapshot_add(struct snapshot *sum, const struct snapshot *s);
void snapshot_release(struct snapshot *s);

#endif
