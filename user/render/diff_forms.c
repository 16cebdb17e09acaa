// SPDX-License-Identifier: GPL-2.0-or-later
/* A difference as text, JSON, JSON lines, CSV and folded stacks. */
#include <stdio.h>

#include "../base/clock.h"
#include "../base/units.h"
#include "../base/utf8.h"
#include "frames.h"
#include "report.h"

static void side_text(const char *name, const struct heap *h, struct buffer *out)
{
	char live[UNITS_TEXT], count[UNITS_TEXT], rss[UNITS_TEXT], time[CLOCK_TEXT];

	buffer_format(out, "  %s  ", name);
	utf8_append_printable(out, recording_path(h->recording));
	buffer_format(out, "@%u (%s", h->at->id, snapshot_kind_name(h->at->moment.kind));
	if (h->at->moment.label) {
		buffer_text(out, " \"");
		utf8_append_printable(out, h->at->moment.label);
		buffer_text(out, "\"");
	}
	buffer_format(out, ") pid %d (", h->target->process.pid);
	utf8_append_printable(out, h->target->process.comm);
	buffer_format(out, ") at %s: live %s in %s blocks",
		clock_format(time, h->at->figures.realtime_ns),
		format_bytes(live, h->figures->totals.live_bytes),
		format_count(count, h->figures->totals.live_count));
	if (h->at->moment.usage.rss >= 0)
		buffer_format(
			out, ", RSS %s", format_bytes(rss, (uint64_t)h->at->moment.usage.rss));
	buffer_text(out, "\n");
}

struct sums {
	int64_t bytes, count;
	uint32_t changed;
};

static struct sums sums_of(const struct comparison *c)
{
	struct sums s = { 0 };

	for (uint32_t i = 0; i < c->count; i++) {
		s.bytes += c->all[i].bytes;
		s.count += c->all[i].count;
		s.changed += c->all[i].kind != CHANGE_SAME;
	}
	return s;
}

static void title_text(const struct diff *d, struct buffer *out)
{
	const struct comparison *c = d->comparison;
	struct sums s = sums_of(c);
	uint32_t rows = shown_rows(s.changed, d->top);
	char a[UNITS_TEXT], b[UNITS_TEXT];

	buffer_format(out, "  %s by %s: %s%s (%lld bytes) in %s%s blocks", view_name(d->view),
		group_by_name(c->new->by), s.bytes < 0 ? "-" : "+",
		format_bytes(a, s.bytes < 0 ? -(uint64_t)s.bytes : (uint64_t)s.bytes),
		(long long)s.bytes, s.count < 0 ? "-" : "+",
		format_count(b, s.count < 0 ? -(uint64_t)s.count : (uint64_t)s.count));
	if (d->filter) {
		buffer_text(out, ", of what is in ");
		utf8_append_printable(out, d->filter);
	}
	if (rows < s.changed)
		buffer_format(out, "; the first %s of %s that changed", format_count(a, rows),
			format_count(b, s.changed));
	buffer_text(out, "\n\n");
}

void diff_render_text(const struct diff *d, const struct report_style *style, struct stream *out)
{
	struct strings texts CLEANUP(strings_release) = { 0 };
	struct listing rows CLEANUP(listing_release) = { 0 };

	if (diff_rows(d, false, &rows, &texts)) {
		out->text.failed = true;
		return;
	}
	side_text("from", d->old, &out->text);
	side_text("to  ", d->new, &out->text);
	title_text(d, &out->text);
	listing_render_table(&rows, style->color, style->full_paths, out);
	buffer_text(&out->text, "\n");
	stream_flush(out);
}

static void side_json(struct json *j, const char *key, const struct heap *h)
{
	json_open(j, key, '{');
	json_string(j, "recording", recording_path(h->recording));
	heap_members_json(h, j);
	json_close(j, '}');
}

static void members(const struct diff *d, struct json *j)
{
	struct sums s = sums_of(d->comparison);

	json_string(j, "schema", "heaptap/1");
	json_string(j, "kind", d->view == VIEW_GROWTH ? "report" : "diff");
	json_string(j, "scope", "process");
	json_string(j, "view", view_name(d->view));
	json_string(j, "by", group_by_name(d->comparison->new->by));
	json_string(j, "filter", d->filter);
	if (d->elapsed_s > 0)
		json_double(j, "between_s", d->elapsed_s, 3);
	else
		json_null(j, "between_s");
	side_json(j, "old", d->old);
	side_json(j, "new", d->new);
	json_open(j, "difference", '{');
	json_int(j, "bytes", s.bytes);
	json_int(j, "count", s.count);
	json_uint(j, "changed", s.changed);
	json_close(j, '}');
}

void diff_render_json(const struct diff *d, struct stream *out)
{
	struct strings texts CLEANUP(strings_release) = { 0 };
	struct listing rows CLEANUP(listing_release) = { 0 };
	struct json j = { .out = &out->text };

	if (diff_rows(d, true, &rows, &texts)) {
		out->text.failed = true;
		return;
	}
	json_open(&j, NULL, '{');
	members(d, &j);
	listing_render_json(
		&rows, d->comparison->new->by == BY_STACK ? "stacks" : "groups", &j, out);
	json_close(&j, '}');
	buffer_text(&out->text, "\n");
	stream_flush(out);
}

void diff_render_lines(const struct diff *d, struct stream *out)
{
	struct strings texts CLEANUP(strings_release) = { 0 };
	struct listing rows CLEANUP(listing_release) = { 0 };
	struct json j = { .out = &out->text };

	if (diff_rows(d, true, &rows, &texts)) {
		out->text.failed = true;
		return;
	}
	json_open(&j, NULL, '{');
	members(d, &j);
	json_close(&j, '}');
	buffer_text(&out->text, "\n");
	listing_render_lines(&rows, out);
	stream_flush(out);
}

void diff_render_csv(const struct diff *d, struct stream *out)
{
	struct strings texts CLEANUP(strings_release) = { 0 };
	struct listing rows CLEANUP(listing_release) = { 0 };

	if (diff_rows(d, true, &rows, &texts)) {
		out->text.failed = true;
		return;
	}
	listing_render_csv(&rows, out);
	stream_flush(out);
}

void diff_render_folded(const struct diff *d, struct stream *out)
{
	const struct comparison *c = d->comparison;

	for (uint32_t i = 0; i < shown_rows(c->count, d->top); i++) {
		const struct difference *x = &c->all[i];
		uint64_t old = x->old ? metric_bytes(c->metric, &x->old->self) : 0;
		uint64_t new = x->new ? metric_bytes(c->metric, &x->new->self) : 0;

		if (!old && !new)
			continue;
		if (x->new)
			frames_folded(c->new->code, x->new->stack, &out->text);
		else
			frames_folded(c->old->code, x->old->stack, &out->text);
		buffer_format(&out->text, " %llu %llu\n", (unsigned long long)old,
			(unsigned long long)new);
		stream_relieve(out);
	}
	stream_flush(out);
}

void diff_render(const struct diff *r, enum report_format format, struct report_style style,
	struct stream *out)
{
	switch (format) {
	case FORMAT_TEXT:
		diff_render_text(r, &style, out);
		break;
	case FORMAT_JSON:
		diff_render_json(r, out);
		break;
	case FORMAT_LINES:
		diff_render_lines(r, out);
		break;
	case FORMAT_CSV:
		diff_render_csv(r, out);
		break;
	case FORMAT_FOLDED:
		diff_render_folded(r, out);
		break;
	case FORMAT_PPROF:
		diff_render_pprof(r, out);
		break;
	}
}
