/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a process's resident memory has come from and gone to, as growth mode counts it. All in bytes:
 *
 *     start + sum of grown - sum of shrunk + residual = end
 *
 * start and the sums are the kernel half's, end is what /proc says; the residual is what neither explains.
 */
#ifndef HEAPTAP_GROWTH_MODEL_H
#define HEAPTAP_GROWTH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "../../include/growth.h"

struct growth_figures {
	bool counted; /* else no figure here means anything */
	int64_t start_bytes;
	uint64_t grown[HT_GROWTH_CAUSE_COUNT];
	uint64_t shrunk[HT_GROWTH_CAUSE_COUNT];
	int64_t end_bytes;   /* RssAnon; -1: the process has no memory any more */
	uint64_t skew_bytes; /* by how much the sum changed while RssAnon was read */
	int64_t huge_bytes;  /* AnonHugePages; -1: not asked for */
	/* Swap has a balance of its own: start + out - in - dropped = end. */
	int64_t swap_start_bytes;
	int64_t swap_end_bytes;
	uint64_t swapped_out, swapped_in, swap_dropped;
	uint64_t fork_copied; /* what children had when they were forked: no part of the sum */
	/* Address space, not memory. */
	bool mappings; /* followed */
	uint64_t mapped_bytes, unmapped_bytes, discarded_bytes;
	uint64_t mapping_drops;
};

/* Grown less shrunk, of all causes. */
int64_t growth_sum(const struct growth_figures *g);
/* What start and sum do not explain of the end; 0 when there is no end. */
int64_t growth_residual(const struct growth_figures *g);

#endif
