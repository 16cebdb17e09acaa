// SPDX-License-Identifier: GPL-2.0-or-later
#include "group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/table.h"

uint64_t metric_bytes(enum metric m, const struct site_figures *f)
{
	return m == METRIC_LIVE	   ? f->live_bytes
	       : m == METRIC_AGED  ? f->aged_bytes
	       : m == METRIC_ALLOC ? f->alloc_bytes
				   : f->temporary_bytes;
}

uint64_t metric_count(enum metric m, const struct site_figures *f)
{
	return m == METRIC_LIVE	   ? f->live_count
	       : m == METRIC_AGED  ? f->aged_count
	       : m == METRIC_ALLOC ? f->alloc_count
				   : f->temporary_count;
}

void figures_add(struct site_figures *a, const struct site_figures *b)
{
	a->alloc_count += b->alloc_count;
	a->alloc_bytes += b->alloc_bytes;
	a->free_count += b->free_count;
	a->free_bytes += b->free_bytes;
	a->failed_count += b->failed_count;
	a->temporary_count += b->temporary_count;
	a->temporary_bytes += b->temporary_bytes;
	a->live_count += b->live_count;
	a->live_bytes += b->live_bytes;
	a->aged_count += b->aged_count;
	a->aged_bytes += b->aged_bytes;
	if (b->oldest_s > a->oldest_s)
		a->oldest_s = b->oldest_s;
	a->survived_count += b->survived_count;
	a->survived_bytes += b->survived_bytes;
	a->discarded_bytes += b->discarded_bytes;
}

static void variances_add(struct variances *a, const struct variances *b)
{
	a->alloc_count += b->alloc_count;
	a->alloc_bytes += b->alloc_bytes;
	a->free_count += b->free_count;
	a->free_bytes += b->free_bytes;
	a->live_count += b->live_count;
	a->live_bytes += b->live_bytes;
	a->aged_count += b->aged_count;
	a->aged_bytes += b->aged_bytes;
}

struct variances snapshot_variances(const struct snapshot *s)
{
	struct variances sum = { 0 };

	for (uint32_t i = 0; i < s->site_count; i++)
		variances_add(&sum, &snapshot_estimates(s, &s->sites[i])->variance);
	return sum;
}

struct maker {
	struct grouping *g;
	const struct places *places;
	struct buffer groups; /* struct group */
	struct table by_key;
	uint32_t *of_place; /* group + 1; 0: not known yet */
	const struct site_figures *site;
	const struct variances *variance; /* the site's */
	uint32_t serial;		  /* of the site */
	bool first;			  /* the place looked at is the innermost */
	enum metric metric;
	bool failed;
};

/* What the site itself has, not what its callers have in it. */
static void add_self(const struct maker *m, struct group *g)
{
	figures_add(&g->self, m->site);
	variances_add(&g->variance, m->variance);
}

static struct group *at(struct maker *m, uint32_t index)
{
	return &((struct group *)(void *)m->groups.data)[index];
}

/* The group of a key, made if it is new; CODE_NONE: no memory. */
static uint32_t find(struct maker *m, uint64_t key, const struct place *place)
{
	bool added;
	uint32_t *index = table_add(&m->by_key, key, &added);
	struct group *group;

	if (index && !added)
		return *index;
	group = index ? buffer_extend(&m->groups, sizeof(*group)) : NULL;
	if (!group) {
		m->failed = true;
		return CODE_NONE;
	}
	*group = (struct group){ .key = key, .stack = CODE_NONE, .place = place };
	return *index = (uint32_t)(m->groups.length / sizeof(*group)) - 1;
}

static uint64_t add_text(uint64_t hash, const char *text)
{
	return text ? hash_bytes(hash, text, strlen(text)) : hash_mix(hash, 0);
}

/* What is unknown falls back to the next that is known: a line to the function, that to the address. */
static uint64_t key_of(enum group_by by, const struct place *p)
{
	const char *module = p->module ? place_base_name(p->module) : NULL;
	uint64_t key = add_text(by, module);

	if (by == BY_MODULE)
		return key;
	if (by != BY_FUNCTION && p->file) {
		key = add_text(by, p->file);
		return by == BY_LINE ? hash_mix(key, p->line) : key;
	}
	if (by == BY_FILE)
		return key;
	return p->function ? add_text(key, p->function) : hash_mix(key, p->address);
}

static void add_place(uint32_t place, void *context)
{
	struct maker *m = context;
	uint32_t index = m->of_place[place];
	struct group *group;

	if (!index) {
		const struct place *p = &m->places->all[place];

		index = find(m, key_of(m->g->by, p), p) + 1;
		if (m->failed)
			return;
		m->of_place[place] = index;
	}
	group = at(m, index - 1);
	if (m->first)
		add_self(m, group);
	m->first = false;
	if (group->seen == m->serial)
		return;
	group->seen = m->serial;
	group->total_bytes += metric_bytes(m->metric, m->site);
	group->total_count += metric_count(m->metric, m->site);
}

static void add_whole(struct maker *m, const struct site_figures *f)
{
	uint64_t key = hash_mix(m->g->by, f->thread);
	uint32_t index;

	if (m->g->by != BY_THREAD)
		key = hash_mix(f->stack == CODE_NONE ? 0 : code_stack(m->g->code, f->stack)->key,
			f->domain);
	index = find(m, key, NULL);
	if (m->failed)
		return;
	at(m, index)->stack = m->g->by == BY_STACK ? f->stack : CODE_NONE;
	at(m, index)->domain = f->domain;
	at(m, index)->thread = m->g->by == BY_THREAD ? f->thread : 0;
	add_self(m, at(m, index));
}

static void add_site(struct maker *m, const struct snapshot *s, const struct site_figures *f)
{
	m->site = f;
	m->variance = &snapshot_estimates(s, f)->variance;
	m->serial++;
	m->first = true;
	figures_add(&m->g->sum, f);
	m->g->stacks++;
	if (m->g->by == BY_STACK || m->g->by == BY_THREAD) {
		add_whole(m, f);
		return;
	}
	if (f->stack != CODE_NONE)
		places_each(m->places, f->stack, add_place, m);
	/* Nothing is known of where it was allocated. */
	if (m->first) {
		uint32_t index = find(m, hash_mix(m->g->by, 0), NULL);

		if (!m->failed) {
			add_self(m, at(m, index));
			at(m, index)->total_bytes += metric_bytes(m->metric, f);
			at(m, index)->total_count += metric_count(m->metric, f);
		}
	}
}

int group_sites(struct grouping *g, const struct snapshot *s, const struct places *p,
	enum group_by by, const struct filter *f, enum metric metric)
{
	struct grouping made = { .by = by, .code = p->code };
	struct maker m = { .g = &made, .places = p, .metric = metric };
	uint32_t *masks = filter_masks(f, p);

	m.of_place = calloc(p->count + 1UL, sizeof(*m.of_place));
	m.failed = !masks || !m.of_place;
	for (uint32_t i = 0; !m.failed && i < s->site_count; i++) {
		const struct site_figures *site = &s->sites[i];

		if (filter_shows(f, masks, p, site->stack, metric_bytes(metric, site)))
			add_site(&m, s, site);
	}
	free(masks);
	free(m.of_place);
	table_release(&m.by_key);
	if (m.failed) {
		buffer_release(&m.groups);
		return -ENOMEM;
	}
	made.count = (uint32_t)(m.groups.length / sizeof(struct group));
	made.groups = (struct group *)(void *)m.groups.data;
	*g = made;
	return 0;
}

static int order(uint64_t a, uint64_t b)
{
	return a > b ? -1 : a < b;
}

static int compare(const void *a, const void *b, void *context)
{
	const struct group *x = a, *y = b;
	enum metric m = *(const enum metric *)context;
	int o = order(metric_bytes(m, &x->self), metric_bytes(m, &y->self));

	if (!o)
		o = order(metric_count(m, &x->self), metric_count(m, &y->self));
	if (!o)
		o = order(x->total_bytes, y->total_bytes);
	/* Last, so that the same recording always gives the same list. */
	return o ? o : order(x->key, y->key);
}

void group_sort(struct grouping *g, enum metric metric)
{
	if (g->count)
		qsort_r(g->groups, g->count, sizeof(*g->groups), compare, &metric);
}

void group_release(struct grouping *g)
{
	free(g->groups);
	*g = (struct grouping){ 0 };
}
