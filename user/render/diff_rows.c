// SPDX-License-Identifier: GPL-2.0-or-later
/* The rows of a difference, as compare_to prints them: size, difference, count, difference, average. */
#include <errno.h>
#include <math.h>

#include "columns.h"

struct diff_column {
	struct listing_column column;
	bool rate; /* only where the time between is known */
	bool sampled;
	void (*fill)(const struct diff *d, const struct difference *x, struct listing_cell *cell);
};

static uint64_t bytes_of(const struct diff *d, const struct group *g)
{
	return g ? metric_bytes(d->comparison->metric, &g->self) : 0;
}

static uint64_t count_of(const struct diff *d, const struct group *g)
{
	return g ? metric_count(d->comparison->metric, &g->self) : 0;
}

static void fill_change(const struct diff *d, const struct difference *x, struct listing_cell *cell)
{
	(void)d;
	cell_text(cell, change_kind_name(x->kind));
}

static void fill_new_bytes(
	const struct diff *d, const struct difference *x, struct listing_cell *cell)
{
	cell_number(cell, (int64_t)bytes_of(d, x->new));
}

static void fill_old_bytes(
	const struct diff *d, const struct difference *x, struct listing_cell *cell)
{
	cell_number(cell, (int64_t)bytes_of(d, x->old));
}

static void fill_new_count(
	const struct diff *d, const struct difference *x, struct listing_cell *cell)
{
	cell_number(cell, (int64_t)count_of(d, x->new));
}

static void fill_old_count(
	const struct diff *d, const struct difference *x, struct listing_cell *cell)
{
	cell_number(cell, (int64_t)count_of(d, x->old));
}

static void fill_bytes(const struct diff *d, const struct difference *x, struct listing_cell *cell)
{
	(void)d;
	cell_number(cell, x->bytes);
}

static void fill_count(const struct diff *d, const struct difference *x, struct listing_cell *cell)
{
	(void)d;
	cell_number(cell, x->count);
}

/* Of the blocks that are there now; when there are none, of those that were. */
static void fill_average(
	const struct diff *d, const struct difference *x, struct listing_cell *cell)
{
	const struct group *g = count_of(d, x->new) ? x->new : x->old;

	if (count_of(d, g))
		cell_number(cell, (int64_t)(bytes_of(d, g) / count_of(d, g)));
}

static void fill_rate(const struct diff *d, const struct difference *x, struct listing_cell *cell)
{
	if (d->elapsed_s > 0)
		cell_number(cell, llround((double)x->bytes / d->elapsed_s));
}

static double variance_of(const struct diff *d, const struct group *g)
{
	if (!g)
		return 0;
	switch (d->comparison->metric) {
	case METRIC_LIVE:
		return g->variance.live_bytes;
	case METRIC_AGED:
		return g->variance.aged_bytes;
	case METRIC_ALLOC:
		return g->variance.alloc_bytes;
	default:
		return 0;
	}
}

/*
 * As if the two were independent: of two snapshots of one run they share samples, and the true error is smaller.
 */
static void fill_stderr(const struct diff *d, const struct difference *x, struct listing_cell *cell)
{
	cell_real(cell, sqrt(variance_of(d, x->old) + variance_of(d, x->new)));
}

/* clang-format off */
static const struct diff_column diff_columns[] = {
	{ { "CHANGE", "change", LISTING_TEXT, EVERYWHERE, false }, false, false, fill_change },
	{ { "SIZE", "new_bytes", LISTING_BYTES, EVERYWHERE, false }, false, false, fill_new_bytes },
	{ { "DIFFERENCE", "diff_bytes", LISTING_BYTES, EVERYWHERE, true }, false, false, fill_bytes },
	{ { NULL, "diff_bytes_stderr", LISTING_SECONDS, IN_DATA, false }, false, true, fill_stderr },
	{ { "A SECOND", "diff_bytes_per_s", LISTING_BYTES, EVERYWHERE, true }, true, false, fill_rate },
	{ { "COUNT", "new_count", LISTING_COUNT, EVERYWHERE, false }, false, false, fill_new_count },
	{ { "DIFFERENCE", "diff_count", LISTING_COUNT, EVERYWHERE, true }, false, false, fill_count },
	{ { "AVERAGE", "average_bytes", LISTING_BYTES, EVERYWHERE, false }, false, false, fill_average },
	{ { NULL, "old_bytes", LISTING_BYTES, IN_DATA, false }, false, false, fill_old_bytes },
	{ { NULL, "old_count", LISTING_COUNT, IN_DATA, false }, false, false, fill_old_count },
};
/* clang-format on */

int diff_rows(const struct diff *d, bool all, struct listing *l, struct strings *texts)
{
	const struct comparison *c = d->comparison;
	const struct diff_column *figures[ARRAY_SIZE(diff_columns)];
	const struct name_column *names[LISTING_MAX_COLUMNS];
	uint32_t figure_count = 0, name_count = 0, rows = shown_rows(c->count, d->top);
	bool sampled = d->old->figures->sampled || d->new->figures->sampled;

	for (size_t i = 0; i < ARRAY_SIZE(diff_columns); i++)
		if ((!diff_columns[i].rate || d->elapsed_s > 0) &&
			(!diff_columns[i].sampled || sampled))
			figures[figure_count++] = &diff_columns[i];
	for (size_t i = 0; i < name_column_count; i++)
		if (name_columns[i].by & BY(c->new->by))
			names[name_count++] = &name_columns[i];
	*l = (struct listing){ .column_count = figure_count + name_count,
		.code = c->new->code,
		.other = c->old->code };
	for (uint32_t i = 0; i < figure_count; i++)
		l->columns[i] = figures[i]->column;
	for (uint32_t i = 0; i < name_count; i++)
		l->columns[figure_count + i] = names[i]->column;
	for (uint32_t g = 0; g < rows; g++) {
		const struct difference *x = &c->all[g];
		struct filler f = { .group = x->new ? x->new : x->old,
			.code = x->new ? c->new->code : c->old->code,
			.other = !x->new,
			.texts = texts };
		struct listing_cell *cells;

		if (!all && x->kind == CHANGE_SAME)
			continue;
		cells = listing_add(l);
		if (!cells)
			return -ENOMEM;
		for (uint32_t i = 0; i < figure_count; i++)
			figures[i]->fill(d, x, &cells[i]);
		for (uint32_t i = 0; i < name_count; i++)
			names[i]->fill(&f, &cells[figure_count + i]);
	}
	return 0;
}
