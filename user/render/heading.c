// SPDX-License-Identifier: GPL-2.0-or-later
/* What stands above the rows of a report: the target, the moment, the process. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/units.h"
#include "../base/utf8.h"
#include "../model/account.h"
#include "report.h"

enum metric view_metric(enum report_view view)
{
	switch (view) {
	case VIEW_LEAKS:
		return METRIC_AGED;
	case VIEW_ALLOC:
		return METRIC_ALLOC;
	case VIEW_TEMPORARY:
		return METRIC_TEMPORARY;
	default:
		return METRIC_LIVE;
	}
}

const char *view_name(enum report_view view)
{
	static const char *const names[] = { "live", "leaks", "alloc", "peak", "temporary",
		"growth", "timeline", "sizes" };

	return names[view];
}

const char *group_by_name(enum group_by by)
{
	static const char *const names[] = { "stack", "function", "line", "file", "module",
		"thread" };

	return names[by];
}

/* --- text --------------------------------------------------------------------------------------- */

static void allocators_text(const struct heap *h, struct buffer *out)
{
	const struct code *c = recording_code(h->recording);
	bool first = true;

	for (uint32_t i = 0; i < code_module_count(c); i++) {
		const char *name = code_module(c, i)->allocator;

		if (!name || !recording_maps(h->recording, h->at->target, i))
			continue;
		buffer_text(out, first ? "  allocator " : "+");
		utf8_append_printable(out, name);
		first = false;
	}
}

static void who_text(const struct heap *h, const struct report_style *style, struct buffer *out)
{
	const struct recorded_snapshot *at = h->at;
	char elapsed[UNITS_TEXT], time[CLOCK_TEXT];

	buffer_format(out, "%spid %d (", style->color ? "\033[1m" : "", h->target->process.pid);
	utf8_append_printable(out, h->target->process.comm);
	buffer_format(out, ")%s", style->color ? "\033[0m" : "");
	if (h->target->label) {
		buffer_text(out, " ");
		utf8_append_printable(out, h->target->label);
	}
	buffer_format(out, "  snapshot %u (%s", at->id, snapshot_kind_name(at->moment.kind));
	if (at->moment.label) {
		buffer_text(out, " \"");
		utf8_append_printable(out, at->moment.label);
		buffer_text(out, "\"");
	}
	buffer_text(out, ")  mode ");
	utf8_append_printable(out, h->target->mode ? h->target->mode : "unknown");
	allocators_text(h, out);
	buffer_format(out, "  watched %s  at %s",
		format_duration(elapsed, (double)at->moment.elapsed_ns / NS_PER_S),
		clock_format(time, at->figures.realtime_ns));
	if (h->target->ended) {
		buffer_text(out, "  ended: ");
		utf8_append_printable(out, h->target->ended);
	}
	buffer_text(out, "\n");
}

static void error_text(const struct snapshot *s, double variance, bool bytes, struct buffer *out)
{
	char text[UNITS_TEXT];
	uint64_t error = (uint64_t)llround(sqrt(variance));

	if (s->sampled)
		buffer_format(out, " ± %s",
			bytes ? format_bytes(text, error) : format_count(text, error));
}

static void amount_text(const struct snapshot *s, uint64_t bytes, double bytes_variance,
	uint64_t count, double count_variance, struct buffer *out)
{
	char text[UNITS_TEXT];

	buffer_text(out, format_bytes(text, bytes));
	error_text(s, bytes_variance, true, out);
	buffer_format(out, " in %s", format_count(text, count));
	error_text(s, count_variance, false, out);
	buffer_text(out, " blocks");
}

/* The stacks that were kept are those of a moment near the peak: how near is said. */
static void peak_text(const struct heap *h, struct buffer *out)
{
	uint64_t peak = h->at->figures.totals.peak_live_bytes;
	uint64_t kept = h->peak ? h->peak->figures.totals.live_bytes : 0;
	char text[UNITS_TEXT], time[CLOCK_TEXT];

	buffer_format(out, "  peak       %s", format_bytes(text, peak));
	if (h->peak && peak)
		buffer_format(out, "; kept %s (%.1f %%%s) at %s as snapshot %u",
			format_bytes(text, kept), 100 * (double)kept / (double)peak,
			(double)kept < 0.98 * (double)peak ? ", the peak itself was too short" : "",
			clock_format(time, h->peak->figures.realtime_ns), h->peak->id);
	buffer_text(out, "\n");
}

/* Traced bytes and RSS side by side, and what the difference is. */
static void account_text(const struct heap *h, struct buffer *out)
{
	const struct usage *u = &h->at->moment.usage;
	struct account a;
	char text[UNITS_TEXT];

	account_make(
		&a, u, h->start ? &h->start->moment.usage : NULL, h->at->figures.totals.live_bytes);
	if (a.rss < 0)
		return;
	buffer_format(out, "  RSS        %s", format_bytes(text, (uint64_t)a.rss));
	if (a.file >= 0)
		buffer_format(out, " = %s file pages", format_bytes(text, (uint64_t)a.file));
	if (a.shmem > 0)
		buffer_format(out, " + %s shared", format_bytes(text, (uint64_t)a.shmem));
	if (a.complete) {
		buffer_format(out, " + %s anonymous before the attach + ",
			format_bytes(text, (uint64_t)a.before));
		buffer_format(out, "%s live", format_bytes(text, (uint64_t)a.live));
		buffer_format(out, " %c %s %s", a.rest < 0 ? '-' : '+',
			format_bytes(text, a.rest < 0 ? -(uint64_t)a.rest : (uint64_t)a.rest),
			a.rest < 0 ? "of that freed since, or not touched yet"
				   : "allocator overhead, fragmentation, stacks");
	}
	if (u->pss >= 0)
		buffer_format(out, "; PSS %s", format_bytes(text, (uint64_t)u->pss));
	if (u->swap > 0)
		buffer_format(out, ", swap %s", format_bytes(text, (uint64_t)u->swap));
	if (u->cgroup_limit >= 0)
		buffer_format(out, ", limit %s", format_bytes(text, (uint64_t)u->cgroup_limit));
	buffer_text(out, "\n");
}

struct reason {
	const char *key, *what, *remedy;
};

static void reasons_text(
	const struct reason *all, const uint64_t *counts, int n, struct buffer *out)
{
	char text[UNITS_TEXT];

	for (int i = 0; i < n; i++)
		if (counts[i])
			buffer_format(out, "             %s %s (%s); remedy: %s\n",
				format_count(text, counts[i]), all[i].what, all[i].key,
				all[i].remedy);
}

static void health_text(const struct snapshot *s, struct buffer *out)
{
#define REASON(name, key, what, remedy) { key, what, remedy },
	static const struct reason lost[] = { HT_LOST(REASON) };
	static const struct reason unattributed[] = { HT_UNATTRIBUTED(REASON) };
#undef REASON
	char a[UNITS_TEXT], b[UNITS_TEXT];

	if (s->totals.lost_count || s->missed_events || s->removed_probes)
		buffer_format(out, "  lost       %s in %s blocks",
			format_bytes(a, s->totals.lost_bytes),
			format_count(b, s->totals.lost_count));
	else
		buffer_text(out, "  nothing lost");
	if (s->totals.in_flight || s->skew)
		buffer_format(out, "; %s calls in flight, %s events while reading",
			format_count(a, s->totals.in_flight), format_count(b, s->skew));
	if (s->missed_events)
		buffer_format(out, "; %s events unseen", format_count(a, s->missed_events));
	if (s->removed_probes)
		buffer_format(out, "; %u probes taken out by a debugger", s->removed_probes);
	if (s->abandoned_calls)
		buffer_format(
			out, "; %s calls never returned", format_count(a, s->abandoned_calls));
	if (s->totals.truncated_count && s->totals.alloc_count)
		buffer_format(out, "; %.1f %% of allocations have a truncated stack",
			100.0 * (double)s->totals.truncated_count / (double)s->totals.alloc_count);
	buffer_text(out, "\n");
	reasons_text(lost, s->lost, HT_LOST_REASONS, out);
	reasons_text(unattributed, s->unattributed, HT_UNATTRIBUTED_REASONS, out);
}

void heap_heading_text(const struct heap *h, const struct report_style *style, struct buffer *out)
{
	const struct snapshot *s = h->figures;
	const struct totals *t = &s->totals;
	const struct variances v = snapshot_variances(s);
	char text[UNITS_TEXT];

	who_text(h, style, out);
	if (s->sampled)
		buffer_format(out,
			"  sampled    one in %s; figures are estimates ± their standard error\n",
			format_bytes(text, s->rules.sample_bytes));
	if (s->filtered)
		buffer_text(out, "  followed   only some requests: record was given a filter\n");
	buffer_text(out, "  live       ");
	amount_text(s, t->live_bytes, v.live_bytes, t->live_count, v.live_count, out);
	buffer_format(out, " (%" PRIu64 " bytes)\n  allocated  ", t->live_bytes);
	amount_text(s, t->alloc_bytes, v.alloc_bytes, t->alloc_count, v.alloc_count, out);
	buffer_text(out, ", freed ");
	amount_text(s, t->free_bytes, v.free_bytes, t->free_count, v.free_count, out);
	if (t->failed_count && !s->sampled)
		buffer_format(out, "; %s failed", format_count(text, t->failed_count));
	if (t->untracked_frees && !s->sampled && !s->filtered)
		buffer_format(out, "; %s frees of blocks not seen born",
			format_count(text, t->untracked_frees));
	buffer_text(out, "\n");
	peak_text(h, out);
	account_text(h, out);
	health_text(s, out);
}
