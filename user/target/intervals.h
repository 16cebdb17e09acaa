/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who made the mappings of a process: address ranges, sorted and disjoint, each with the site that
 * mapped it. Fed by the system calls that change mappings, in the order in which they come; knows
 * nothing of the kernel.
 */
#ifndef HEAPTAP_INTERVALS_H
#define HEAPTAP_INTERVALS_H

#include <stddef.h>
#include <stdint.h>

struct interval {
	uint64_t start;
	uint64_t end; /* first address behind */
	uint32_t site;
};

struct intervals {
	struct interval *all; /* sorted by start */
	size_t count;
	size_t capacity;
};

/* Is told of each part that an operation ends: its site and bytes. */
typedef void intervals_gone(void *context, uint32_t site, uint64_t bytes);

/*
 * Maps a range for a site; what was there ends. An empty or wrapping range is nothing. 0 or -ENOMEM, the
 * intervals then unchanged.
 */
int intervals_map(struct intervals *v, uint64_t start, uint64_t bytes, uint32_t site,
	intervals_gone *gone, void *context);
/* Unmaps a range, whatever parts of it are mapped. 0 or -ENOMEM, as above. */
int intervals_unmap(
	struct intervals *v, uint64_t start, uint64_t bytes, intervals_gone *gone, void *context);
/*
 * Moves old_bytes to `to`, where they become `bytes`: what is behind the old ones is of `site`, what is
 * moved keeps its sites. What does not fit any more, and what was at the new place, ends. old_bytes 0: a
 * second mapping of shared pages. 0 or -ENOMEM, as above.
 */
int intervals_move(struct intervals *v, uint64_t from, uint64_t old_bytes, uint64_t to,
	uint64_t bytes, uint32_t site, intervals_gone *gone, void *context);
/* The interval that holds an address, or NULL. */
const struct interval *intervals_find(const struct intervals *v, uint64_t address);
/* Tells of the parts of a range that are mapped; changes nothing. */
void intervals_visit(const struct intervals *v, uint64_t start, uint64_t bytes,
	intervals_gone *part, void *context);
void intervals_release(struct intervals *v);

#endif
