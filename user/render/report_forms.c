// SPDX-License-Identifier: GPL-2.0-or-later
/* A report as text, JSON, JSON lines and CSV: a heading, and the rows. */
#include <stdio.h>
#include <string.h>

#include "../base/units.h"
#include "../base/utf8.h"
#include "frames.h"
#include "report.h"

static const char *subject(enum report_view view)
{
	static const char *const names[] = {
		[VIEW_LIVE] = "live blocks",
		[VIEW_LEAKS] = "outstanding blocks",
		[VIEW_ALLOC] = "all that was allocated",
		[VIEW_PEAK] = "live blocks at the peak",
		[VIEW_TEMPORARY] = "temporary blocks: freed before anything else was allocated",
	};

	return names[view];
}

/* "live blocks by function: 1.2 MiB in 310; the first 10 of 45" */
static void title_text(const struct report *r, uint32_t rows, struct buffer *out)
{
	const struct grouping *g = r->grouping;
	enum metric m = view_metric(r->view);
	char a[UNITS_TEXT], b[UNITS_TEXT];

	buffer_format(out, "  %s by %s: %s (%llu bytes) in %s blocks", subject(r->view),
		group_by_name(g->by), format_bytes(a, metric_bytes(m, &g->sum)),
		(unsigned long long)metric_bytes(m, &g->sum),
		format_count(b, metric_count(m, &g->sum)));
	if (r->filter) {
		buffer_text(out, ", of what is in ");
		utf8_append_printable(out, r->filter);
	}
	if (rows < g->count)
		buffer_format(out, "; the first %s of %s", format_count(a, rows),
			format_count(b, g->count));
	buffer_text(out, "\n\n");
}

void report_render_text(
	const struct report *r, const struct report_style *style, struct stream *out)
{
	struct strings texts CLEANUP(strings_release) = { 0 };
	struct listing rows CLEANUP(listing_release) = { 0 };

	if (report_rows(r, false, &rows, &texts)) {
		out->text.failed = true;
		return;
	}
	heap_heading_text(r->heap, style, &out->text);
	title_text(r, shown_rows(r->grouping->count, r->top), &out->text);
	listing_render_table(&rows, style->color, style->full_paths, out);
	buffer_text(&out->text, "\n");
	stream_flush(out);
}

static void members(const struct report *r, struct json *j)
{
	json_string(j, "schema", "heaptap/1");
	json_string(j, "kind", "report");
	json_string(j, "scope", "process");
	json_string(j, "view", view_name(r->view));
	json_string(j, "by", group_by_name(r->grouping->by));
	json_string(j, "filter", r->filter);
	heap_members_json(r->heap, j);
	json_open(j, "shown", '{');
	json_uint(j, "bytes", metric_bytes(view_metric(r->view), &r->grouping->sum));
	json_uint(j, "count", metric_count(view_metric(r->view), &r->grouping->sum));
	json_close(j, '}');
}

void report_render_json(const struct report *r, struct stream *out)
{
	struct strings texts CLEANUP(strings_release) = { 0 };
	struct listing rows CLEANUP(listing_release) = { 0 };
	struct json j = { .out = &out->text };

	if (report_rows(r, true, &rows, &texts)) {
		out->text.failed = true;
		return;
	}
	json_open(&j, NULL, '{');
	members(r, &j);
	listing_render_json(&rows, r->grouping->by == BY_STACK ? "stacks" : "groups", &j, out);
	json_close(&j, '}');
	buffer_text(&out->text, "\n");
	stream_flush(out);
}

void report_render_lines(const struct report *r, struct stream *out)
{
	struct strings texts CLEANUP(strings_release) = { 0 };
	struct listing rows CLEANUP(listing_release) = { 0 };
	struct json j = { .out = &out->text };

	if (report_rows(r, true, &rows, &texts)) {
		out->text.failed = true;
		return;
	}
	json_open(&j, NULL, '{');
	members(r, &j);
	json_close(&j, '}');
	buffer_text(&out->text, "\n");
	listing_render_lines(&rows, out);
	stream_flush(out);
}

void report_render_csv(const struct report *r, struct stream *out)
{
	struct strings texts CLEANUP(strings_release) = { 0 };
	struct listing rows CLEANUP(listing_release) = { 0 };

	if (report_rows(r, true, &rows, &texts)) {
		out->text.failed = true;
		return;
	}
	listing_render_csv(&rows, out);
	stream_flush(out);
}

void report_render_folded(const struct report *r, struct stream *out)
{
	const struct grouping *g = r->grouping;
	enum metric m = view_metric(r->view);

	for (uint32_t i = 0; i < shown_rows(g->count, r->top); i++) {
		if (!metric_bytes(m, &g->groups[i].self))
			continue;
		frames_folded(g->code, g->groups[i].stack, &out->text);
		buffer_format(&out->text, " %llu\n",
			(unsigned long long)metric_bytes(m, &g->groups[i].self));
		stream_relieve(out);
	}
	stream_flush(out);
}

void report_render(const struct report *r, enum report_format format, struct report_style style,
	struct stream *out)
{
	switch (format) {
	case FORMAT_TEXT:
		report_render_text(r, &style, out);
		break;
	case FORMAT_JSON:
		report_render_json(r, out);
		break;
	case FORMAT_LINES:
		report_render_lines(r, out);
		break;
	case FORMAT_CSV:
		report_render_csv(r, out);
		break;
	case FORMAT_FOLDED:
		report_render_folded(r, out);
		break;
	case FORMAT_PPROF:
		report_render_pprof(r, out);
		break;
	}
}
