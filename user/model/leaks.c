// SPDX-License-Identifier: GPL-2.0-or-later
#include "leaks.h"

#include <errno.h>
#include <stdlib.h>

static int by_size(uint64_t a, uint64_t b)
{
	return a > b ? -1 : a < b;
}

static int compare_sites(const void *a, const void *b, void *context)
{
	const struct snapshot *s = context;
	const struct site_figures *x = &s->sites[*(const uint32_t *)a],
				  *y = &s->sites[*(const uint32_t *)b];
	int order = s->windowed ? by_size(x->survived_bytes, y->survived_bytes)
				: by_size(x->aged_bytes, y->aged_bytes);

	if (!order)
		order = by_size(x->aged_count, y->aged_count);
	if (!order)
		order = by_size(x->live_bytes, y->live_bytes);
	if (!order)
		order = by_size(x->alloc_bytes, y->alloc_bytes);
	return order ? order : x < y ? -1 : x > y;
}

int leaks_select(const struct snapshot *s, enum leaks_filter filter, uint32_t top,
	struct leaks_selection *selection)
{
	uint32_t *sites = calloc((size_t)s->site_count + 1, sizeof(*sites)), count = 0;

	if (!sites)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->site_count; i++) {
		const struct site_figures *f = &s->sites[i];

		uint64_t held = s->windowed ? f->survived_count : f->aged_count;

		if (filter == LEAKS_AGED ? held : f->alloc_count || f->failed_count)
			sites[count++] = i;
	}
	qsort_r(sites, count, sizeof(*sites), compare_sites, (void *)s);
	*selection = (struct leaks_selection){ sites, top && top < count ? top : count };
	return 0;
}

void leaks_release(struct leaks_selection *selection)
{
	free(selection->sites);
	*selection = (struct leaks_selection){ 0 };
}
