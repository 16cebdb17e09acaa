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

int64_t leaks_site_growth(const struct site_figures *f)
{
	return (int64_t)(f->alloc_bytes - f->free_bytes);
}

enum group { GROUP_GROWN, GROUP_SHRUNK, GROUP_MAPPED, GROUPS };

static enum group group_of(const struct site_figures *f)
{
	if (f->domain != HT_DOMAIN_RSS)
		return GROUP_MAPPED;
	return leaks_site_growth(f) > 0 ? GROUP_GROWN : GROUP_SHRUNK;
}

static int compare_growth(const void *a, const void *b, void *context)
{
	const struct snapshot *s = context;
	const struct site_figures *x = &s->sites[*(const uint32_t *)a],
				  *y = &s->sites[*(const uint32_t *)b];
	int order = (int)group_of(x) - (int)group_of(y);
	int64_t p = leaks_site_growth(x), q = leaks_site_growth(y);

	if (!order && group_of(x) == GROUP_MAPPED)
		order = by_size(x->live_bytes, y->live_bytes);
	else if (!order && p != q)
		order = (p > q) == (group_of(x) == GROUP_GROWN) ? -1 : 1;
	return order ? order : x < y ? -1 : x > y;
}

/* Keeps the first `top` of each group, and of these what has changed. */
static uint32_t limit_groups(
	const struct snapshot *s, uint32_t *sites, uint32_t count, uint32_t top)
{
	uint32_t kept = 0, of_group[GROUPS] = { 0 };

	for (uint32_t i = 0; i < count; i++) {
		const struct site_figures *f = &s->sites[sites[i]];
		bool changed =
			f->domain == HT_DOMAIN_RSS ? leaks_site_growth(f) != 0 : f->live_bytes != 0;

		if (changed && of_group[group_of(f)]++ < top)
			sites[kept++] = sites[i];
	}
	return kept;
}

static int select_growth(const struct snapshot *s, uint32_t top, struct leaks_selection *selection)
{
	uint32_t *sites = calloc((size_t)s->site_count + 1, sizeof(*sites)), count = 0;

	if (!sites)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->site_count; i++)
		if (s->sites[i].alloc_bytes || s->sites[i].free_bytes)
			sites[count++] = i;
	qsort_r(sites, count, sizeof(*sites), compare_growth, (void *)s);
	*selection =
		(struct leaks_selection){ sites, top ? limit_groups(s, sites, count, top) : count };
	return 0;
}

int leaks_select(const struct snapshot *s, enum leaks_filter filter, uint32_t top,
	struct leaks_selection *selection)
{
	uint32_t *sites, count = 0;

	if (filter == LEAKS_GROWTH)
		return select_growth(s, top, selection);
	sites = calloc((size_t)s->site_count + 1, sizeof(*sites));
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
