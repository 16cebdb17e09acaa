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

static struct span together(const struct span *a, const struct span *b)
{
	return (struct span){ a->wall_s + b->wall_s, a->cpu_s + b->cpu_s, a->own_s + b->own_s };
}

int windows_add(struct windows *w, const struct snapshot *window, const struct span *span)
{
	int error = add(&w->sum, window);

	if (error)
		return error;
	w->seen = together(&w->seen, span);
	w->count++;
	return 0;
}

static void scale(uint64_t *value, double factor)
{
	*value = (uint64_t)llround((double)*value * factor);
}

static void scale_site(struct site_figures *f, double factor)
{
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

/* A process whose time in windows all goes to probes: what was left to it is a small difference, and rough. */
#define OWN_LEAST 0.005 /* of its CPU time */
#define ROUGH	  0.2

/* What the whole time has more than was seen of it. */
static double scale_of(const struct span *seen, const struct span *whole)
{
	double own_s = fmax(seen->own_s, OWN_LEAST * seen->cpu_s);

	if (own_s > 0 && whole->own_s > own_s)
		return whole->own_s / own_s;
	/* It hardly ran at all. */
	if (own_s <= 0 && seen->wall_s > 0 && whole->wall_s > seen->wall_s)
		return whole->wall_s / seen->wall_s;
	return 1;
}

int windows_apply(const struct windows *w, struct snapshot *s, const struct span *open,
	const struct span *whole)
{
	struct span seen = together(&w->seen, open);
	double factor = scale_of(&seen, whole);
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
	s->mode.windows = w->count + (open->wall_s > 0);
	s->mode.coverage = whole->wall_s > 0 ? fmin(seen.wall_s / whole->wall_s, 1) : 1;
	s->mode.scale = factor;
	s->mode.rough = seen.own_s < ROUGH * seen.cpu_s;
	return 0;
}

void windows_clear(struct windows *w)
{
	snapshot_release(&w->sum);
	*w = (struct windows){ 0 };
}
