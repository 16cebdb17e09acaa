// SPDX-License-Identifier: GPL-2.0-or-later
/* The rows of a report: which columns there are, and what stands in them. */
#include <errno.h>
#include <math.h>

#include "columns.h"

struct figure_column {
	struct listing_column column;
	uint32_t by;
	bool sampled; /* only where figures are estimates */
	void (*fill)(const struct report *r, const struct group *g, struct listing_cell *cell);
};

static double part(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

static enum metric metric_of(const struct report *r)
{
	return view_metric(r->view);
}

static void fill_size(const struct report *r, const struct group *g, struct listing_cell *cell)
{
	cell_number(cell, (int64_t)metric_bytes(metric_of(r), &g->self));
}

static void fill_share(const struct report *r, const struct group *g, struct listing_cell *cell)
{
	cell_real(cell, part(metric_bytes(metric_of(r), &g->self),
				metric_bytes(metric_of(r), &r->grouping->sum)));
}

static void fill_count(const struct report *r, const struct group *g, struct listing_cell *cell)
{
	cell_number(cell, (int64_t)metric_count(metric_of(r), &g->self));
}

static void fill_average(const struct report *r, const struct group *g, struct listing_cell *cell)
{
	uint64_t count = metric_count(metric_of(r), &g->self);

	if (count)
		cell_number(cell, (int64_t)(metric_bytes(metric_of(r), &g->self) / count));
}

static void fill_total(const struct report *r, const struct group *g, struct listing_cell *cell)
{
	(void)r;
	cell_number(cell, (int64_t)g->total_bytes);
}

static void fill_total_share(
	const struct report *r, const struct group *g, struct listing_cell *cell)
{
	cell_real(cell, part(g->total_bytes, metric_bytes(metric_of(r), &r->grouping->sum)));
}

static void fill_oldest(const struct report *r, const struct group *g, struct listing_cell *cell)
{
	(void)r;
	if (g->self.live_count)
		cell_real(cell, g->self.oldest_s);
}

/* Of the blocks allocated there, those that were freed before anything else was allocated. */
static void fill_temporary_share(
	const struct report *r, const struct group *g, struct listing_cell *cell)
{
	if (!r->heap->figures->sampled)
		cell_real(cell, part(g->self.temporary_count, g->self.alloc_count));
}

#define FIGURE(member)                                                                             \
	static void fill_##member(                                                                 \
		const struct report *r, const struct group *g, struct listing_cell *cell)          \
	{                                                                                          \
		(void)r;                                                                           \
		cell_number(cell, (int64_t)g->self.member);                                        \
	}
FIGURE(alloc_count)
FIGURE(alloc_bytes)
FIGURE(free_count)
FIGURE(free_bytes)
FIGURE(live_count)
FIGURE(live_bytes)
FIGURE(aged_count)
FIGURE(aged_bytes)
#undef FIGURE

/* Sampling does not see these. */
#define EXACT(member)                                                                              \
	static void fill_##member(                                                                 \
		const struct report *r, const struct group *g, struct listing_cell *cell)          \
	{                                                                                          \
		if (!r->heap->figures->sampled)                                                    \
			cell_number(cell, (int64_t)g->self.member);                                \
	}
EXACT(failed_count)
EXACT(temporary_count)
EXACT(temporary_bytes)
#undef EXACT

#define ERROR_OF(member)                                                                           \
	static void fill_##member##_stderr(                                                        \
		const struct report *r, const struct group *g, struct listing_cell *cell)          \
	{                                                                                          \
		(void)r;                                                                           \
		cell_real(cell, sqrt(g->variance.member));                                         \
	}
ERROR_OF(alloc_count)
ERROR_OF(alloc_bytes)
ERROR_OF(live_count)
ERROR_OF(live_bytes)
ERROR_OF(aged_count)
ERROR_OF(aged_bytes)
#undef ERROR_OF

#define DATA(name)                                                                                 \
	{                                                                                          \
		{ NULL, #name, LISTING_COUNT, IN_DATA, false }, BY_ALL, false, fill_##name         \
	}
#define DATA_STDERR(name)                                                                          \
	{                                                                                          \
		{ NULL, #name "_stderr", LISTING_SECONDS, IN_DATA, false }, BY_ALL, true,          \
			fill_##name##_stderr                                                       \
	}

/* clang-format off */
static const struct figure_column figure_columns[] = {
	{ { "SIZE", NULL, LISTING_BYTES, IN_TABLE, false }, BY_ALL, false, fill_size },
	{ { "SHARE", NULL, LISTING_SHARE, IN_TABLE, false }, BY_ALL, false, fill_share },
	{ { "COUNT", NULL, LISTING_COUNT, IN_TABLE, false }, BY_ALL, false, fill_count },
	{ { "AVERAGE", NULL, LISTING_BYTES, IN_TABLE, false }, BY_ALL, false, fill_average },
	{ { "WITH CALLEES", "total_bytes", LISTING_BYTES, EVERYWHERE, false }, BY_PLACE, false, fill_total },
	{ { "SHARE", NULL, LISTING_SHARE, IN_TABLE, false }, BY_PLACE, false, fill_total_share },
	{ { "OLDEST", "oldest_s", LISTING_SECONDS, EVERYWHERE, false }, BY(BY_STACK) | BY(BY_THREAD), false, fill_oldest },
	{ { "TEMPORARY", "temporary_share", LISTING_SHARE, EVERYWHERE, false }, BY(BY_STACK), false, fill_temporary_share },
	DATA(alloc_count), DATA_STDERR(alloc_count), DATA(alloc_bytes), DATA_STDERR(alloc_bytes),
	DATA(free_count), DATA(free_bytes),
	DATA(live_count), DATA_STDERR(live_count), DATA(live_bytes), DATA_STDERR(live_bytes),
	DATA(aged_count), DATA_STDERR(aged_count), DATA(aged_bytes), DATA_STDERR(aged_bytes),
	DATA(temporary_count), DATA(temporary_bytes), DATA(failed_count),
};
/* clang-format on */

#define MOST (ARRAY_SIZE(figure_columns) + 12)
_Static_assert(MOST <= LISTING_MAX_COLUMNS, "room for all columns");

uint32_t shown_rows(uint32_t count, uint32_t top)
{
	return top && top < count ? top : count;
}

/* Those of a group of which there is nothing are left out: it has other figures, not this view's. */
static bool is_empty(const struct report *r, const struct group *g)
{
	return !metric_bytes(metric_of(r), &g->self) && !metric_count(metric_of(r), &g->self) &&
	       !g->total_bytes;
}

int report_rows(const struct report *r, bool all, struct listing *l, struct strings *texts)
{
	const struct figure_column *figures[MOST];
	const struct name_column *names[MOST];
	uint32_t by = BY(r->grouping->by), figure_count = 0, name_count = 0;
	uint32_t rows = shown_rows(r->grouping->count, r->top);

	/* JSON and CSV begin with what the row is about, tables with the figures. */
	for (size_t i = 0; i < ARRAY_SIZE(figure_columns); i++)
		if (figure_columns[i].by & by &&
			(!figure_columns[i].sampled || r->heap->figures->sampled))
			figures[figure_count++] = &figure_columns[i];
	for (size_t i = 0; i < name_column_count; i++)
		if (name_columns[i].by & by)
			names[name_count++] = &name_columns[i];
	*l = (struct listing){ .column_count = figure_count + name_count,
		.code = r->grouping->code };
	for (uint32_t i = 0; i < figure_count; i++)
		l->columns[i] = figures[i]->column;
	for (uint32_t i = 0; i < name_count; i++)
		l->columns[figure_count + i] = names[i]->column;
	for (uint32_t g = 0; g < rows; g++) {
		struct filler f = {
			.group = &r->grouping->groups[g], .code = r->grouping->code, .texts = texts
		};
		struct listing_cell *cells;

		if (!all && is_empty(r, f.group))
			continue;
		cells = listing_add(l);
		if (!cells)
			return -ENOMEM;
		for (uint32_t i = 0; i < figure_count; i++)
			figures[i]->fill(r, f.group, &cells[i]);
		for (uint32_t i = 0; i < name_count; i++)
			names[i]->fill(&f, &cells[figure_count + i]);
	}
	return 0;
}
