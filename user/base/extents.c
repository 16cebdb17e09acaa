// SPDX-License-Identifier: GPL-2.0-or-later
#include "extents.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int extents_init(struct extents *e, uint32_t count)
{
	*e = (struct extents){ .free = calloc(1, sizeof(*e->free)), .free_count = 1 };
	if (!e->free)
		return -ENOMEM;
	e->free[0] = (struct extent){ 0, count };
	return 0;
}

static void remove_at(struct extents *e, uint32_t i)
{
	e->free_count--;
	memmove(&e->free[i], &e->free[i + 1], (e->free_count - i) * sizeof(*e->free));
}

int extents_take(struct extents *e, uint32_t count, uint32_t *first)
{
	for (uint32_t i = 0; i < e->free_count; i++) {
		struct extent *f = &e->free[i];

		if (f->count < count)
			continue;
		*first = f->first;
		f->first += count;
		f->count -= count;
		if (!f->count)
			remove_at(e, i);
		return 0;
	}
	return -ENOSPC;
}

int extents_give(struct extents *e, struct extent part)
{
	struct extent *all = realloc(e->free, (e->free_count + 1UL) * sizeof(*all));
	uint32_t i = 0;

	if (!all)
		return -ENOMEM;
	e->free = all;
	while (i < e->free_count && all[i].first < part.first)
		i++;
	memmove(&all[i + 1], &all[i], (e->free_count - i) * sizeof(*all));
	all[i] = part;
	e->free_count++;
	if (i + 1 < e->free_count && all[i].first + all[i].count == all[i + 1].first) {
		all[i].count += all[i + 1].count;
		remove_at(e, i + 1);
	}
	if (i && all[i - 1].first + all[i - 1].count == all[i].first) {
		all[i - 1].count += all[i].count;
		remove_at(e, i);
	}
	return 0;
}

void extents_release(struct extents *e)
{
	free(e->free);
	*e = (struct extents){ 0 };
}
