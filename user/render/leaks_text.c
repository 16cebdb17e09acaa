// SPDX-License-Identifier: GPL-2.0-or-later
#include "leaks_report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/units.h"
#include "../base/utf8.h"
#include "../model/estimate.h"

struct printer {
	const struct leaks_report *report;
	const struct text_style *style;
	struct buffer *out;
};

static void paint(const struct printer *p, const char *code)
{
	if (p->style->color)
		buffer_text(p->out, code);
}

#define BOLD  "\033[1m"
#define DIM   "\033[2m"
#define RED   "\033[31m"
#define GREEN "\033[32m"
#define PLAIN "\033[0m"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static void clean(const struct printer *p, const char *text)
{
	utf8_append_printable(p->out, text);
}

/* " ± 1.2 MiB" and " ± 12": the standard error of an estimate, and nothing behind an exact figure. */
static void error_bytes(const struct printer *p, double variance)
{
	char text[UNITS_TEXT];

	if (p->report->snapshot->sampled)
		buffer_format(
			p->out, " ± %s", format_bytes(text, (uint64_t)llround(sqrt(variance))));
}

static void error_count(const struct printer *p, double variance)
{
	char text[UNITS_TEXT];

	if (p->report->snapshot->sampled)
		buffer_format(
			p->out, " ± %s", format_count(text, (uint64_t)llround(sqrt(variance))));
}

static void bytes_in_blocks(const struct printer *p, uint64_t bytes, double bytes_variance,
	uint64_t count, double count_variance)
{
	char text[UNITS_TEXT];

	buffer_text(p->out, format_bytes(text, bytes));
	error_bytes(p, bytes_variance);
	buffer_format(p->out, " in %s", format_count(text, count));
	error_count(p, count_variance);
}

/* What is in no figure of this report. */
static void rules(const struct printer *p)
{
	const struct rules *r = &p->report->snapshot->rules;
	char text[UNITS_TEXT];

	if (r->sample)
		buffer_format(p->out,
			"  sampled    one in %s; figures are estimates ± their standard error\n",
			format_bytes(text, r->sample_bytes));
	if (!p->report->snapshot->filtered)
		return;
	buffer_text(p->out, "  followed   only requests");
	if (r->min_bytes)
		buffer_format(p->out, " of %s or more", format_bytes(text, r->min_bytes));
	if (r->max_bytes)
		buffer_format(p->out, "%s of %s or less", r->min_bytes ? " and" : "",
			format_bytes(text, r->max_bytes));
	if (r->thread)
		buffer_format(p->out, " by thread %u", r->thread);
	if (r->module) {
		buffer_text(p->out, " from ");
		clean(p, r->module);
	}
	buffer_text(p->out, "\n");
}

static void allocators(const struct printer *p)
{
	const struct report_target *t = p->report->targets;

	for (uint32_t i = 0; i < t->allocator_count; i++)
		buffer_format(p->out, "%s%s", i ? "+" : "",
			p->report->profile->modules[t->allocators[i]].allocator);
	if (!t->allocator_count)
		buffer_text(p->out, "none");
}

static void subject(const struct printer *p)
{
	const struct leaks_report *r = p->report;

	paint(p, BOLD);
	if (r->together) {
		buffer_format(p->out, "leaks of %u processes together", r->target_count);
	} else {
		buffer_format(p->out, "leaks of pid %d (", r->targets->process->pid);
		clean(p, r->targets->process->comm);
		buffer_text(p->out, ")");
	}
	paint(p, PLAIN);
}

static void heading(const struct printer *p)
{
	const struct leaks_report *r = p->report;
	char elapsed[UNITS_TEXT], time[CLOCK_TEXT];

	subject(p);
	buffer_format(p->out, "  mode %s", r->figures->mode);
	if (p->style->link)
		buffer_format(p->out, " by %s links", r->figures->link);
	if (r->figures->for_all)
		buffer_text(p->out, ", probes in all processes");
	if (!r->together) {
		buffer_text(p->out, "  allocator ");
		allocators(p);
	}
	buffer_format(p->out, "  watched %s  at %s",
		format_duration(elapsed, r->figures->elapsed_s),
		clock_format(time, r->snapshot->realtime_ns));
	if (r->figures->ended)
		buffer_format(p->out, "  ended: %s", r->figures->ended);
	buffer_text(p->out, "\n");
}

static void figures(const struct printer *p)
{
	const struct leaks_report *r = p->report;
	const struct totals *t = &r->snapshot->totals;
	char a[UNITS_TEXT], d[UNITS_TEXT];

	buffer_text(p->out, "  live       ");
	bytes_in_blocks(
		p, t->live_bytes, t->variance.live_bytes, t->live_count, t->variance.live_count);
	buffer_text(p->out, " blocks");
	if (!r->together)
		buffer_format(p->out, ", peak %s", format_bytes(a, t->peak_live_bytes));
	if (r->figures->memory.rss >= 0)
		buffer_format(
			p->out, "; RSS %s", format_bytes(d, (uint64_t)r->figures->memory.rss));
	if (r->figures->memory.swap > 0)
		buffer_format(
			p->out, ", swap %s", format_bytes(d, (uint64_t)r->figures->memory.swap));
	if (r->figures->memory.limit >= 0)
		buffer_format(
			p->out, ", limit %s", format_bytes(d, (uint64_t)r->figures->memory.limit));
	buffer_text(p->out, "\n  allocated  ");
	bytes_in_blocks(p, t->alloc_bytes, t->variance.alloc_bytes, t->alloc_count,
		t->variance.alloc_count);
	buffer_text(p->out, " blocks, freed ");
	bytes_in_blocks(
		p, t->free_bytes, t->variance.free_bytes, t->free_count, t->variance.free_count);
	if (t->failed_count && !r->snapshot->sampled)
		buffer_format(p->out, "; %s failed", format_count(a, t->failed_count));
	if (t->untracked_frees && !r->snapshot->sampled && !r->snapshot->filtered)
		buffer_format(p->out, "; %s frees of blocks not seen born",
			format_count(a, t->untracked_frees));
	buffer_text(p->out, "\n");
}

struct reason {
	const char *key, *what, *remedy;
};

static void reasons(
	const struct printer *p, const struct reason *all, const uint64_t *counts, int n)
{
	char text[UNITS_TEXT];

	for (int i = 0; i < n; i++) {
		if (!counts[i])
			continue;
		buffer_format(p->out, "             %s %s (%s); remedy: %s\n",
			format_count(text, counts[i]), all[i].what, all[i].key, all[i].remedy);
	}
}

static void losses(const struct printer *p)
{
#define REASON(name, key, what, remedy) { key, what, remedy },
	static const struct reason lost[] = { HT_LOST(REASON) };
	static const struct reason unattributed[] = { HT_UNATTRIBUTED(REASON) };
	static const struct reason ends[] = { HT_UNWIND(REASON) };
#undef REASON
	const struct snapshot *s = p->report->snapshot;
	char a[UNITS_TEXT], b[UNITS_TEXT];
	bool missed = s->missed_events || s->removed_probes;
	uint64_t nameless = 0;

	for (int i = 0; i < HT_UNATTRIBUTED_REASONS; i++)
		nameless += s->unattributed[i];
	if (!s->totals.lost_count && nameless && !missed) {
		paint(p, RED);
		buffer_format(p->out,
			"  no block lost, %s allocations without a stack of their own",
			format_count(a, nameless));
		paint(p, PLAIN);
	} else if (!s->totals.lost_count && !missed) {
		paint(p, GREEN);
		buffer_text(p->out, "  nothing lost");
		paint(p, PLAIN);
	} else {
		paint(p, RED);
		buffer_format(p->out, "  lost       %s in %s blocks",
			format_bytes(a, s->totals.lost_bytes),
			format_count(b, s->totals.lost_count));
		paint(p, PLAIN);
	}
	if (s->totals.in_flight || s->skew)
		buffer_format(p->out, "; %s calls in flight, %s events while reading",
			format_count(a, s->totals.in_flight), format_count(b, s->skew));
	if (s->missed_events)
		buffer_format(p->out, "; %s events unseen", format_count(a, s->missed_events));
	if (s->removed_probes)
		buffer_format(p->out,
			"; %u probes taken out by a debugger: their events are missing",
			s->removed_probes);
	if (p->report->figures->missed_processes)
		buffer_format(p->out, "; %s processes came that were not followed",
			format_count(a, p->report->figures->missed_processes));
	if (s->abandoned_calls)
		buffer_format(
			p->out, "; %s calls never returned", format_count(a, s->abandoned_calls));
	if (s->totals.truncated_count && s->totals.alloc_count)
		buffer_format(p->out, "; %.1f %% of allocations have a truncated stack",
			100.0 * (double)s->totals.truncated_count / (double)s->totals.alloc_count);
	buffer_text(p->out, "\n");
	reasons(p, lost, s->lost, HT_LOST_REASONS);
	reasons(p, unattributed, s->unattributed, HT_UNATTRIBUTED_REASONS);
	if (s->totals.truncated_count)
		reasons(p, ends, s->unwind, HT_UNWIND_REASONS);
}

/* The offset tells where in the machine code of a function a call is: no inlined one has its own. */
static void level(const struct printer *p, const struct symbol *s, const struct symbol_level *l)
{
	buffer_text(p->out, "      ");
	if (l->function) {
		clean(p, l->function);
		if (!l->inlined)
			buffer_format(p->out, "+0x%" PRIx64, s->function_offset);
	} else {
		buffer_format(p->out, "0x%" PRIx64, s->address);
	}
	if (l->inlined)
		buffer_text(p->out, " (inlined)");
	if (l->file) {
		buffer_text(p->out, " ");
		clean(p, p->style->full_paths ? l->file : base_name(l->file));
		buffer_format(p->out, ":%u", l->line);
	}
}

static void frame(const struct printer *p, uint64_t word)
{
	const struct leaks_report *r = p->report;
	struct symbol s = symbolizer_find(r->symbols, word);
	enum ht_frame_tag tag = ht_frame_tag(word);
	const char *path = tag == HT_FRAME_CALL || tag == HT_FRAME_PC
				   ? r->profile->modules[ht_frame_module(word)].path
			   : s.jit ? "JIT"
				   : "no file";

	for (uint32_t i = 0; i < s.level_count; i++) {
		level(p, &s, &s.levels[i]);
		paint(p, DIM);
		buffer_text(p->out, " (");
		clean(p, p->style->full_paths ? path : base_name(path));
		buffer_text(p->out, ")");
		paint(p, PLAIN);
		buffer_text(p->out, "\n");
	}
}

static void low_confidence(const struct printer *p, double value, double variance)
{
	struct estimate_interval in = estimate_interval(value, variance);
	char low[UNITS_TEXT], high[UNITS_TEXT];

	if (value > 0 && estimate_is_poor(value, variance))
		buffer_format(p->out, ", low confidence: %s to %s",
			format_bytes(low, (uint64_t)llround(in.low)),
			format_bytes(high, (uint64_t)llround(in.high)));
}

static void site(const struct printer *p, const struct site_figures *f)
{
	const struct leaks_report *r = p->report;
	const struct profile_stack *s = &r->profile->stacks[f->stack];
	const struct totals *t = &r->snapshot->totals;
	char bytes[UNITS_TEXT], count[UNITS_TEXT], average[UNITS_TEXT], age[UNITS_TEXT];

	buffer_text(p->out, "\n");
	paint(p, BOLD);
	buffer_format(p->out, "  %s", format_bytes(bytes, f->aged_bytes));
	error_bytes(p, f->variance.aged_bytes);
	paint(p, PLAIN);
	buffer_format(p->out, " (%.1f %%) in %s block%s, average %s, oldest %s",
		t->aged_bytes ? 100.0 * (double)f->aged_bytes / (double)t->aged_bytes : 0.0,
		format_count(count, f->aged_count), f->aged_count == 1 ? "" : "s",
		format_bytes(average, f->aged_count ? f->aged_bytes / f->aged_count : 0),
		format_duration(age, f->oldest_s));
	if (f->thread)
		buffer_format(p->out, ", thread %u", f->thread);
	if (s->flags & HT_STACK_TRUNCATED)
		buffer_text(p->out, ", truncated stack");
	low_confidence(p, (double)f->aged_bytes, f->variance.aged_bytes);
	buffer_text(p->out, "\n");
	for (uint16_t i = 0; i < s->frame_count; i++)
		frame(p, r->profile->frames[s->first_frame + i]);
	if (!s->frame_count)
		buffer_text(
			p->out, "      allocations that found no room for a stack of their own\n");
}

void leaks_render_text(
	const struct leaks_report *r, const struct text_style *style, struct buffer *out)
{
	struct printer printer = { r, style, out }, *p = &printer;
	const struct totals *t = &r->snapshot->totals;
	char age[UNITS_TEXT], shown[UNITS_TEXT];

	heading(p);
	rules(p);
	figures(p);
	losses(p);
	buffer_format(out,
		"  outstanding for %s or longer: ", format_duration(age, r->snapshot->min_age_s));
	bytes_in_blocks(
		p, t->aged_bytes, t->variance.aged_bytes, t->aged_count, t->variance.aged_count);
	buffer_text(out, " blocks");
	if (r->selection->count)
		buffer_format(out, "; the worst %s stack%s:\n",
			format_count(shown, r->selection->count),
			r->selection->count == 1 ? "" : "s");
	else
		buffer_text(out, "\n");
	for (uint32_t i = 0; i < r->selection->count; i++)
		site(p, &r->snapshot->sites[r->selection->sites[i]]);
	buffer_text(out, "\n");
}
