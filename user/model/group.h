/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures of sites added up by what their stacks have in common. */
#ifndef HEAPTAP_GROUP_H
#define HEAPTAP_GROUP_H

#include "filter.h"
#include "places.h"
#include "profile.h"

enum group_by { BY_STACK, BY_FUNCTION, BY_LINE, BY_FILE, BY_MODULE, BY_THREAD };
#define GROUP_BY_CHOICES "stack|function|line|file|module|thread"

/* Which figure is looked at. */
enum metric { METRIC_LIVE, METRIC_AGED, METRIC_ALLOC, METRIC_TEMPORARY };
uint64_t metric_bytes(enum metric m, const struct site_figures *f);
uint64_t metric_count(enum metric m, const struct site_figures *f);

struct group {
	uint64_t key;	/* the same in every recording */
	uint32_t stack; /* BY_STACK: CODE_NONE: none was kept */
	uint8_t domain;
	uint32_t thread;
	const struct place
		*place; /* of the others but BY_THREAD: one of those in it; NULL: not known */
	struct site_figures
		self; /* of stacks whose innermost function is in it; stack, thread unset */
	struct variances variance; /* of self */
	/* Of the metric, in stacks that have it anywhere; 0 BY_STACK and BY_THREAD. */
	uint64_t total_bytes, total_count;
	uint32_t seen;
};

struct grouping {
	enum group_by by;
	const struct code *code;
	struct group *groups;
	uint32_t count;
	struct site_figures sum; /* of all sites that the filter shows */
	uint32_t stacks;	 /* how many these are */
};

/* Adds up the sites that are shown. The grouping lives as long as places. 0 or -ENOMEM. */
int group_sites(struct grouping *g, const struct snapshot *s, const struct places *p,
	enum group_by by, const struct filter *f, enum metric metric);
/* The most bytes first, then the most blocks. */
void group_sort(struct grouping *g, enum metric metric);
void group_release(struct grouping *g);

/* Of the totals, of which a recording keeps none: the sums over the sites. */
struct variances snapshot_variances(const struct snapshot *s);
/* Adds b's figures to a's. */
void figures_add(struct site_figures *a, const struct site_figures *b);

#endif
