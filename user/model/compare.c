// SPDX-License-Identifier: GPL-2.0-or-later
#include "compare.h"

#include <errno.h>
#include <stdlib.h>

#include "../base/cleanup.h"
#include "../base/table.h"

const char *change_kind_name(enum change_kind kind)
{
	static const char *const names[] = { "new", "gone", "grown", "shrunk", "same" };

	return names[kind];
}

static uint64_t bytes_of(enum metric m, const struct group *g)
{
	return g ? metric_bytes(m, &g->self) : 0;
}

static uint64_t count_of(enum metric m, const struct group *g)
{
	return g ? metric_count(m, &g->self) : 0;
}

static void judge(struct difference *d, enum metric m)
{
	uint64_t old = bytes_of(m, d->old), new = bytes_of(m, d->new);
	bool was = old || count_of(m, d->old), is = new || count_of(m, d->new);

	d->bytes = (int64_t)(new - old);
	d->count = (int64_t)(count_of(m, d->new) - count_of(m, d->old));
	d->kind = !was && is	 ? CHANGE_NEW
		  : was && !is	 ? CHANGE_GONE
		  : d->bytes > 0 ? CHANGE_GROWN
		  : d->bytes < 0 ? CHANGE_SHRUNK
		  : d->count > 0 ? CHANGE_GROWN
		  : d->count < 0 ? CHANGE_SHRUNK
				 : CHANGE_SAME;
}

static int order(uint64_t a, uint64_t b)
{
	return a > b ? -1 : a < b;
}

static uint64_t magnitude(int64_t n)
{
	return n < 0 ? -(uint64_t)n : (uint64_t)n;
}

static uint64_t key_of(const struct difference *d)
{
	return d->new ? d->new->key : d->old->key;
}

/* As StatisticDiff sorts: difference, size, difference of counts, count, each by its magnitude. */
static int compare(const void *a, const void *b, void *context)
{
	const struct difference *x = a, *y = b;
	enum metric m = *(const enum metric *)context;
	int o = order(magnitude(x->bytes), magnitude(y->bytes));

	if (!o)
		o = order(bytes_of(m, x->new), bytes_of(m, y->new));
	if (!o)
		o = order(magnitude(x->count), magnitude(y->count));
	if (!o)
		o = order(count_of(m, x->new), count_of(m, y->new));
	return o ? o : order(key_of(x), key_of(y));
}

int compare_groupings(struct comparison *c, const struct grouping *old, const struct grouping *new,
	enum metric metric)
{
	struct comparison made = { .metric = metric, .old = old, .new = new };
	struct table by_key CLEANUP(table_release) = { 0 };
	bool added;

	made.all = calloc(old->count + new->count + 1UL, sizeof(*made.all));
	if (!made.all)
		return -ENOMEM;
	for (uint32_t i = 0; i < new->count; i++) {
		uint32_t *index = table_add(&by_key, new->groups[i].key, &added);

		if (!index)
			goto no_memory;
		*index = made.count;
		made.all[made.count++].new = &new->groups[i];
	}
	for (uint32_t i = 0; i < old->count; i++) {
		uint32_t *index = table_add(&by_key, old->groups[i].key, &added);

		if (!index)
			goto no_memory;
		if (added)
			*index = made.count++;
		made.all[*index].old = &old->groups[i];
	}
	for (uint32_t i = 0; i < made.count; i++)
		judge(&made.all[i], metric);
	if (made.count)
		qsort_r(made.all, made.count, sizeof(*made.all), compare, &metric);
	*c = made;
	return 0;

no_memory:
	free(made.all);
	return -ENOMEM;
}

void compare_release(struct comparison *c)
{
	free(c->all);
	*c = (struct comparison){ 0 };
}
