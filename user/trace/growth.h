/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Growth mode's part of a session: no probe in the program, but programs where the kernel counts pages
 * and where it changes mappings. See include/growth.h.
 */
#ifndef HEAPTAP_TRACE_GROWTH_H
#define HEAPTAP_TRACE_GROWTH_H

#include "../model/growth.h"
#include "../target/intervals.h"
#include "../target/process.h"
#include "kernel.h"
#include "tables.h"

struct bpf_link;
struct ring_buffer;

#define GROWTH_LINKS 3

/* What a site has mapped and is rid of again; by site. */
struct mapped {
	uint64_t calls;
	uint64_t bytes; /* by these */
	uint64_t unmapped;
	uint64_t discarded;
};

struct growth {
	uint32_t cpus;
	struct ht_growth *records;	     /* by slot, mapped */
	struct ht_growth_counters *counters; /* by slot and shard, mapped */
	struct mapping mappings[2];
	struct bpf_link *links[GROWTH_LINKS];
	uint32_t link_count;
	struct ring_buffer *ring; /* of mappings */
	bool follows_mappings;
	struct intervals intervals;
	struct mapped *mapped; /* by site */
	uint32_t mapped_count;
	uint64_t brk; /* its end; 0: not known */
	uint64_t unmapped, discarded;
	struct growth_figures ended; /* the figures when it was disarmed; else not counted */
};

/* Before the load. 0 or -errno. */
int growth_configure(struct growth *g, struct kernel *kernel);
/* After it. 0 or -errno, after a message. */
int growth_map(struct growth *g, struct kernel *kernel);
/*
 * Programs run from here on, and count nothing. `mappings`: also what becomes of address space, for which every system
 * call of the host pays. 0 or -errno, after a message.
 */
int growth_attach(struct growth *g, const struct kernel *kernel, bool mappings);
/* The process is armed: its memory is looked at, and counts. 0 or -errno, after a message. */
int growth_begin(
	struct growth *g, const struct kernel *kernel, const struct process *p, uint32_t slot);
/* Takes in what has happened to the mappings. */
void growth_follow(struct growth *g);
/* The figures now, or, once ended, of the end. */
void growth_read(struct growth *g, const struct tables *t, const struct process *p, uint32_t slot,
	struct growth_figures *figures);
/* Before the process is disarmed: remembers the end. */
void growth_end(struct growth *g, const struct tables *t, const struct process *p, uint32_t slot);
/* Bytes of address space that each of `count` sites holds now, added to `bytes`. */
void growth_mapped(const struct growth *g, uint64_t *bytes, uint32_t count);
/* Events that the kernel did not run a program for. */
uint64_t growth_missed(const struct growth *g, const struct kernel *kernel);
uint64_t growth_events(const struct growth *g, const struct tables *t, uint32_t slot);
/* No program runs any more when this returns. */
void growth_detach(struct growth *g);
void growth_release(struct growth *g);

#endif
