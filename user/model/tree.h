/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Functions as a tree of calls. Top-down: from the root of the stacks to what allocates; a function's total is what it
 * and what it calls hold. Bottom-up: from what allocates to who calls it.
 */
#ifndef HEAPTAP_TREE_H
#define HEAPTAP_TREE_H

#include "group.h"

#define TREE_MAX_DEPTH 1000 /* deeper ones end there */

struct tree_node {
	const struct place *place; /* NULL: the root, or a stack that is not known */
	uint64_t total_bytes, total_count;
	uint64_t self_bytes, self_count; /* of stacks that end here */
	uint32_t first_child, next;	 /* the largest first; 0: none */
};

struct tree {
	struct tree_node *nodes; /* 0 is the root, of all that is shown */
	uint32_t count;
};

/* 0 or -ENOMEM. */
int tree_make(struct tree *t, const struct snapshot *s, const struct places *p, bool bottom_up,
	const struct filter *f, enum metric metric);
void tree_release(struct tree *t);

#endif
