// SPDX-License-Identifier: GPL-2.0-or-later
/* Views that are not about groups of stacks: the snapshots over time, and the sizes of blocks. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/units.h"
#include "report.h"

static void known(struct listing_cell *c, int64_t value)
{
	if (value >= 0)
		cell_number(c, value);
}

/* --- timeline ------------------------------------------------------------------------------------ */

/* clang-format off */
static const struct listing_column timeline_columns[] = {
	{ "SNAPSHOT", "snapshot", LISTING_COUNT, EVERYWHERE, false },
	{ "PID", "pid", LISTING_COUNT, IN_DATA, false },
	{ "TIME", "time", LISTING_TIME, EVERYWHERE, false },
	{ "WATCHED", "elapsed_s", LISTING_SECONDS, EVERYWHERE, false },
	{ "LIVE", "live_bytes", LISTING_BYTES, EVERYWHERE, false },
	{ "BLOCKS", "live_count", LISTING_COUNT, EVERYWHERE, false },
	{ "PEAK", "peak_live_bytes", LISTING_BYTES, EVERYWHERE, false },
	{ "RSS", "rss_bytes", LISTING_BYTES, EVERYWHERE, false },
	{ "PSS", "pss_bytes", LISTING_BYTES, EVERYWHERE, false },
	{ "SWAP", "swap_bytes", LISTING_BYTES, EVERYWHERE, false },
	{ NULL, "rss_anon_bytes", LISTING_BYTES, IN_DATA, false },
	{ NULL, "rss_file_bytes", LISTING_BYTES, IN_DATA, false },
	{ NULL, "rss_shmem_bytes", LISTING_BYTES, IN_DATA, false },
	{ NULL, "cgroup_bytes", LISTING_BYTES, IN_DATA, false },
	{ NULL, "limit_bytes", LISTING_BYTES, IN_DATA, false },
	{ NULL, "alloc_count", LISTING_COUNT, IN_DATA, false },
	{ NULL, "alloc_bytes", LISTING_BYTES, IN_DATA, false },
	{ NULL, "free_count", LISTING_COUNT, IN_DATA, false },
	{ NULL, "free_bytes", LISTING_BYTES, IN_DATA, false },
	{ NULL, "lost_count", LISTING_COUNT, IN_DATA, false },
	{ NULL, "lost_bytes", LISTING_BYTES, IN_DATA, false },
	{ NULL, "minor_faults", LISTING_COUNT, IN_DATA, false },
	{ NULL, "major_faults", LISTING_COUNT, IN_DATA, false },
	{ NULL, "cpu_ms", LISTING_COUNT, IN_DATA, false },
	{ NULL, "mem_available", LISTING_BYTES, IN_DATA, false },
	{ "KIND", "kind", LISTING_TEXT, EVERYWHERE, false },
	{ "LABEL", "label", LISTING_TEXT, EVERYWHERE, false },
};
/* clang-format on */

static void fill_moment(
	struct listing_cell *c, const struct recording *r, const struct recorded_snapshot *s)
{
	const struct totals *t = &s->figures.totals;
	const struct usage *u = &s->moment.usage;

	cell_number(c++, s->id);
	cell_number(c++, recording_target(r, s->target)->process.pid);
	cell_number(c++, (int64_t)s->figures.realtime_ns);
	cell_real(c++, (double)s->moment.elapsed_ns / NS_PER_S);
	cell_number(c++, (int64_t)t->live_bytes);
	cell_number(c++, (int64_t)t->live_count);
	cell_number(c++, (int64_t)t->peak_live_bytes);
	known(c++, u->rss);
	known(c++, u->pss);
	known(c++, u->swap);
	known(c++, u->rss_anon);
	known(c++, u->rss_file);
	known(c++, u->rss_shmem);
	known(c++, u->cgroup_usage);
	known(c++, u->cgroup_limit);
	cell_number(c++, (int64_t)t->alloc_count);
	cell_number(c++, (int64_t)t->alloc_bytes);
	cell_number(c++, (int64_t)t->free_count);
	cell_number(c++, (int64_t)t->free_bytes);
	cell_number(c++, (int64_t)t->lost_count);
	cell_number(c++, (int64_t)t->lost_bytes);
	known(c++, u->minor_faults);
	known(c++, u->major_faults);
	known(c++, u->cpu_ms);
	known(c++, u->mem_available);
	cell_text(c++, snapshot_kind_name(s->moment.kind));
	cell_text(c, s->moment.label);
}

/* Of all moments `top` spread evenly, and those that have a label. */
int timeline_rows(const struct heap *h, uint32_t top, struct listing *l)
{
	const struct recording *r = h->recording;
	uint32_t count = 0, at = 0, first = 0;

	*l = (struct listing){ .column_count = ARRAY_SIZE(timeline_columns) };
	memcpy(l->columns, timeline_columns, sizeof(timeline_columns));
	while (recording_snapshot(r, first)->target != h->at->target)
		first++;
	for (uint32_t i = first; i < recording_snapshot_count(r); i++)
		count += recording_snapshot(r, i)->target == h->at->target;
	for (uint32_t i = first; i < recording_snapshot_count(r); i++) {
		const struct recorded_snapshot *s = recording_snapshot(r, i);
		struct listing_cell *cells;
		bool wanted;

		if (s->target != h->at->target)
			continue;
		wanted = !top || count <= top || s->moment.label || !at || at + 1 == count ||
			 (uint64_t)at * top / count != (uint64_t)(at - 1) * top / count;
		at++;
		if (!wanted)
			continue;
		cells = listing_add(l);
		if (!cells)
			return -ENOMEM;
		fill_moment(cells, r, s);
	}
	return 0;
}

/* --- sizes --------------------------------------------------------------------------------------- */

/* clang-format off */
static const struct listing_column size_columns[] = {
	{ "FROM", "from_bytes", LISTING_BYTES, EVERYWHERE, false },
	{ "TO", "to_bytes", LISTING_BYTES, EVERYWHERE, false },
	{ "LIVE", "live_bytes", LISTING_BYTES, EVERYWHERE, false },
	{ "BLOCKS", "live_count", LISTING_COUNT, EVERYWHERE, false },
	{ "ALLOCATED", "alloc_bytes", LISTING_BYTES, EVERYWHERE, false },
	{ "BLOCKS", "alloc_count", LISTING_COUNT, EVERYWHERE, false },
	{ "STACKS", "stacks", LISTING_COUNT, EVERYWHERE, false },
};
/* clang-format on */

#define SIZE_CLASSES 65 /* 0, then powers of two */

static int class_of(uint64_t bytes)
{
	return bytes ? 64 - __builtin_clzll(bytes) : 0;
}

int size_rows(const struct heap *h, const struct filter *f, struct listing *l)
{
	struct site_figures sums[SIZE_CLASSES] = { 0 };
	uint32_t stacks[SIZE_CLASSES] = { 0 };
	uint32_t *masks CLEANUP_FREE = filter_masks(f, h->places);

	*l = (struct listing){ .column_count = ARRAY_SIZE(size_columns) };
	memcpy(l->columns, size_columns, sizeof(size_columns));
	if (!masks)
		return -ENOMEM;
	for (uint32_t i = 0; i < h->figures->site_count; i++) {
		const struct site_figures *site = &h->figures->sites[i];
		int class = site->alloc_count ? class_of(site->alloc_bytes / site->alloc_count) : 0;

		if (!site->alloc_count ||
			!filter_shows(f, masks, h->places, site->stack, site->live_bytes))
			continue;
		figures_add(&sums[class], site);
		stacks[class]++;
	}
	for (int class = 0; class < SIZE_CLASSES; class ++) {
		struct listing_cell *c = stacks[class] ? listing_add(l) : NULL;

		if (!stacks[class])
			continue;
		if (!c)
			return -ENOMEM;
		cell_number(c++, class ? (int64_t)(1ULL << (class - 1)) : 0);
		cell_number(c++, class ? (int64_t)((1ULL << (class - 1)) * 2 - 1) : 0);
		cell_number(c++, (int64_t)sums[class].live_bytes);
		cell_number(c++, (int64_t)sums[class].live_count);
		cell_number(c++, (int64_t)sums[class].alloc_bytes);
		cell_number(c++, (int64_t)sums[class].alloc_count);
		cell_number(c, stacks[class]);
	}
	return 0;
}

/* --- forms --------------------------------------------------------------------------------------- */

void listing_report_text(
	const struct listing_report *r, const struct report_style *style, struct stream *out)
{
	heap_heading_text(r->heap, style, &out->text);
	buffer_format(&out->text, "  %s\n\n", r->title);
	listing_render_table(r->listing, style->color, style->full_paths, out);
	buffer_text(&out->text, "\n");
	stream_flush(out);
}

static void members(const struct listing_report *r, struct json *j)
{
	json_string(j, "schema", "heaptap/1");
	json_string(j, "kind", "report");
	json_string(j, "scope", "process");
	json_string(j, "view", view_name(r->view));
	json_string(j, "filter", r->filter);
	heap_members_json(r->heap, j);
}

void listing_report_json(const struct listing_report *r, struct stream *out)
{
	struct json j = { .out = &out->text };

	json_open(&j, NULL, '{');
	members(r, &j);
	listing_render_json(r->listing, r->view == VIEW_TIMELINE ? "snapshots" : "sizes", &j, out);
	json_close(&j, '}');
	buffer_text(&out->text, "\n");
	stream_flush(out);
}

void listing_report_lines(const struct listing_report *r, struct stream *out)
{
	struct json j = { .out = &out->text };

	json_open(&j, NULL, '{');
	members(r, &j);
	json_close(&j, '}');
	buffer_text(&out->text, "\n");
	listing_render_lines(r->listing, out);
	stream_flush(out);
}

void listing_report_csv(const struct listing_report *r, struct stream *out)
{
	listing_render_csv(r->listing, out);
	stream_flush(out);
}
