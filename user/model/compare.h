/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What has changed between two groupings, as tracemalloc's compare_to tells. */
#ifndef HEAPTAP_COMPARE_H
#define HEAPTAP_COMPARE_H

#include "group.h"

enum change_kind { CHANGE_NEW, CHANGE_GONE, CHANGE_GROWN, CHANGE_SHRUNK, CHANGE_SAME };
const char *change_kind_name(enum change_kind kind);

struct difference {
	const struct group *old, *new; /* at least one; NULL: not there */
	int64_t bytes, count;	       /* new - old, of the metric */
	enum change_kind kind;
};

struct comparison {
	enum metric metric;
	const struct grouping *old, *new;
	struct difference *all; /* the greatest absolute difference first */
	uint32_t count;
};

/* Both groupings must be by the same, and outlive it. 0 or -ENOMEM. */
int compare_groupings(struct comparison *c, const struct grouping *old, const struct grouping *new,
	enum metric metric);
void compare_release(struct comparison *c);

#endif
