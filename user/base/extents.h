/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which parts of an array of fixed size are in use: first fit, for few and long-lived parts. */
#ifndef HEAPTAP_EXTENTS_H
#define HEAPTAP_EXTENTS_H

#include <stdint.h>

struct extent {
	uint32_t first;
	uint32_t count;
};

struct extents {
	struct extent *free; /* sorted by first; neighbours are joined */
	uint32_t free_count;
};

/* Elements 0 to count - 1 are free. 0 or -ENOMEM. */
int extents_init(struct extents *e, uint32_t count);
/* Takes so many, at least one, in a row: *first, and 0; -ENOSPC, or -ENOMEM. */
int extents_take(struct extents *e, uint32_t count, uint32_t *first);
/* Gives back what was taken together. 0 or -ENOMEM, and then they stay in use. */
int extents_give(struct extents *e, struct extent part);
void extents_release(struct extents *e);

#endif
