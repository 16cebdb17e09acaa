// SPDX-License-Identifier: GPL-2.0-or-later
#include "windows.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for the sites of another snapshot: sites keep their numbers, and new ones come at the end. */
static int add_room(struct snapshot *sum, uint32_t sites)
{
	struct site_figures *all;

	if (sites <= sum->site_count)
		return 0;
	all = realloc(sum->sites, sites * sizeof(*all));
	if (!all)
		return -ENOMEM;
	memset(all + sum->site_count, 0, (sites - sum->site_count) * sizeof(*all));
	sum->sites = all;
	sum->site_count = sites;
	return 0;
}

static void add_site(struct site_figures *sum, const struct site_figures *f)
{
	sum->stack = f->stack;
	sum->domain = f->domain;
	sum->thread = f->thread;
	sum->alloc_count += f->alloc_count;
	sum->alloc_bytes += f->alloc_bytes;
	sum->free_count += f->free_count;
	sum->free_bytes += f->free_bytes;
	sum->failed_count += f->failed_count;
	sum->temporary_count += f->temporary_count;
	sum->temporary_bytes += f->temporary_bytes;
	sum->survived_count += f->live_count + f->survived_count;
	sum->survived_bytes += f->live_bytes + f->survived_bytes;
}

static void add_totals(struct totals *sum, const struct totals *t)
{
	sum->alloc_count += t->alloc_count;
	sum->alloc_bytes += t->alloc_bytes;
	sum->free_count += t->free_count;
	sum->free_bytes += t->free_bytes;
	sum->survived_count += t->live_count + t->survived_count;
	sum->survived_bytes += t->live_bytes + t->survived_bytes;
	sum->lost_count += t->lost_count;
	sum->lost_bytes += t->lost_bytes;
	sum->failed_count += t->failed_count;
	sum->truncated_count += t->truncated_count;
}

/* What is counted for the process as a whole. */
static void add_health(struct snapshot *sum, const struct snapshot *s)
{
	for (int i = 0; i < HT_LOST_REASONS; i++)
		sum->lost[i] += s->lost[i];
	for (int i = 0; i < HT_UNATTRIBUTED_REASONS; i++)
		sum->unattributed[i] += s->unattributed[i];
	for (int i = 0; i < HT_UNWIND_REASONS; i++)
		sum->unwind[i] += s->unwind[i];
	sum->events += s->events;
	sum->abandoned_calls += s->abandoned_calls;
}

static int add(struct snapshot *sum, const struct snapshot *s)
{
	int error = add_room(sum, s->site_count);

	if (error)
		return error;
	for (uint32_t i = 0; i < s->site_count; i++)
		add_site(&sum->sites[i], &s->sites[i]);
	add_totals(&sum->totals, &s->totals);
	add_health(sum, s);
	return 0;
}

int windows_add(struct windows *w, const struct snapshot *window, double seconds)
{
	int error = add(&w->sum, window);

	if (error)
		return error;
	w->seen_s += seconds;
	w->count++;
	return 0;
}

static void scale(uint64_t *value, double factor)
{
	*value = (uint64_t)llround((double)*value * factor);
}

static void scale_site(struct site_figures *f, double factor)
{
	f->samples.alloc_count = f->alloc_count;
	f->samples.alloc_bytes = f->alloc_bytes;
	f->samples.free_count = f->free_count;
	f->samples.free_bytes = f->free_bytes;
	scale(&f->alloc_count, factor);
	scale(&f->alloc_bytes, factor);
	scale(&f->free_count, factor);
	scale(&f->free_bytes, factor);
	scale(&f->failed_count, factor);
	scale(&f->temporary_count, factor);
	scale(&f->temporary_bytes, factor);
	scale(&f->survived_count, factor);
	scale(&f->survived_bytes, factor);
	f->live_count = f->live_bytes = f->aged_count = f->aged_bytes = 0;
	f->oldest_s = 0;
}

static void scale_totals(struct totals *t, double factor)
{
	t->samples.alloc_count = t->alloc_count;
	t->samples.alloc_bytes = t->alloc_bytes;
	t->samples.free_count = t->free_count;
	t->samples.free_bytes = t->free_bytes;
	t->samples.live_count = t->survived_count;
	t->samples.live_bytes = t->survived_bytes;
	t->samples.lost_count = t->lost_count;
	t->samples.lost_bytes = t->lost_bytes;
	scale(&t->alloc_count, factor);
	scale(&t->alloc_bytes, factor);
	scale(&t->free_count, factor);
	scale(&t->free_bytes, factor);
	scale(&t->failed_count, factor);
	scale(&t->survived_count, factor);
	scale(&t->survived_bytes, factor);
	scale(&t->lost_count, factor);
	scale(&t->lost_bytes, factor);
	scale(&t->truncated_count, factor);
	t->live_count = t->live_bytes = t->aged_count = t->aged_bytes = 0;
	t->peak_live_bytes = 0;
}

int windows_apply(const struct windows *w, struct snapshot *s, double open_s, double elapsed_s)
{
	double seen_s = w->seen_s + open_s;
	/* No window yet: nothing is known, and nothing can be scaled. */
	double factor = seen_s > 0 && elapsed_s > seen_s ? elapsed_s / seen_s : 1;
	struct site_figures *sites;

	/* What is live in the open window has survived it so far. */
	for (uint32_t i = 0; i < s->site_count; i++) {
		s->sites[i].survived_count = s->sites[i].live_count;
		s->sites[i].survived_bytes = s->sites[i].live_bytes;
		s->sites[i].live_count = s->sites[i].live_bytes = 0;
	}
	s->totals.survived_count = s->totals.live_count;
	s->totals.survived_bytes = s->totals.live_bytes;
	s->totals.live_count = s->totals.live_bytes = 0;
	if (add(s, &w->sum))
		return -ENOMEM;
	sites = s->sites;
	for (uint32_t i = 0; i < s->site_count; i++)
		scale_site(&sites[i], factor);
	scale_totals(&s->totals, factor);
	s->windowed = true;
	s->mode.windows = w->count + (open_s > 0);
	s->mode.coverage = elapsed_s > 0 ? seen_s / elapsed_s : 1;
	return 0;
}

void windows_clear(struct windows *w)
{
	snapshot_release(&w->sum);
	*w = (struct windows){ 0 };
}
