// SPDX-License-Identifier: GPL-2.0-or-later
#include "leaks_text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/units.h"
#include "../model/estimate.h"

/* Of a core: what rates are told for where no budget is kept. */
#define BUDGET_SHOWN 0.05

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
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

/* Targets together have no scale in common. */
static const char *scale_text(char text[UNITS_TEXT], double scale)
{
	snprintf(text, UNITS_TEXT, "%.3g", scale);
	return scale > 0 ? text : "what each of them needs";
}

/* What tracing costs the process, and why events are counted in this way. */
static void mode(const struct printer *p)
{
	const struct mode_figures *m = &p->report->snapshot->mode;
	double own_s = m->cpu_s - m->overhead_s, share;
	char text[UNITS_TEXT], other[UNITS_TEXT], scale[UNITS_TEXT];

	if (p->report->snapshot->windowed)
		buffer_format(p->out,
			"  windows    %s of the last %s seen, in %u windows; figures are scaled up "
			"from them, by %s%s; live blocks are not known\n",
			format_duration(text, m->coverage * m->figures_s),
			format_duration(other, m->figures_s), m->windows,
			m->rough ? "very roughly " : "", scale_text(scale, m->scale));
	buffer_text(p->out, "  overhead   ");
	share = own_s > 0 ? 100 * m->overhead_s / own_s : 0;
	if (m->overhead_s >= 0 && (own_s > 0 || !m->overhead_s))
		buffer_format(p->out,
			share < 10 ? "%.2g %% of the CPU time of the process%s; "
				   : "%.0f %% of the CPU time of the process%s; ",
			share, p->report->together ? "es" : "");
	else
		buffer_text(p->out, "not known; ");
	buffer_format(p->out, "%s\n", m->why);
	if (m->exact_pairs > 0 && (m->budget > 0 || p->style->link))
		buffer_format(p->out,
			"             %.3g %% of a core pays for %s pairs of malloc and free a "
			"second, sampled for %s\n",
			(m->budget > 0 ? m->budget : BUDGET_SHOWN) * 100,
			format_count(text, (uint64_t)m->exact_pairs),
			format_count(other, (uint64_t)m->sample_pairs));
}

/* What is in no figure of this report. */
static void rules(const struct printer *p)
{
	const struct rules *r = &p->report->snapshot->rules;
	char text[UNITS_TEXT];

	mode(p);
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
	buffer_format(p->out, "  mode %s", r->snapshot->mode.name);
	if (p->style->link && !r->snapshot->growth.counted)
		buffer_format(p->out, " by %s links", r->figures->link);
	if (r->figures->for_all)
		buffer_text(p->out, ", probes in all processes");
	if (!r->together && !r->snapshot->growth.counted) {
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

/* The trend beside windows: how the memory has changed since they began. */
static void trend(const struct printer *p)
{
	const struct growth_figures *g = &p->report->snapshot->trend;
	int64_t sum = growth_sum(g);
	char a[UNITS_TEXT], b[UNITS_TEXT];

	if (!g->counted)
		return;
	buffer_format(p->out, "  growth     %c%s of anonymous memory since then",
		sum < 0 ? '-' : '+', format_bytes(a, (uint64_t)(sum < 0 ? -sum : sum)));
	if (g->end_bytes >= 0)
		buffer_format(p->out, ", %s now", format_bytes(b, (uint64_t)g->end_bytes));
	buffer_text(p->out, "; --mode growth tells which code\n");
}

static void figures(const struct printer *p)
{
	const struct leaks_report *r = p->report;
	const struct totals *t = &r->snapshot->totals;
	char a[UNITS_TEXT], d[UNITS_TEXT];

	if (r->snapshot->windowed) {
		buffer_text(p->out, "  survived   ");
		bytes_in_blocks(p, t->survived_bytes, 0, t->survived_count, 0);
		buffer_text(p->out, " blocks to the end of their window");
	} else {
		buffer_text(p->out, "  live       ");
		bytes_in_blocks(p, t->live_bytes, t->variance.live_bytes, t->live_count,
			t->variance.live_count);
		buffer_text(p->out, " blocks");
		if (!r->together)
			buffer_format(p->out, ", peak %s", format_bytes(a, t->peak_live_bytes));
	}
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
	if (t->untracked_frees && !r->snapshot->sampled && !r->snapshot->filtered &&
		!r->snapshot->windowed)
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

/* What a site has, in the figure that reports are sorted by. */
static void weight(const struct printer *p, const struct site_figures *f)
{
	const struct snapshot *s = p->report->snapshot;
	uint64_t all = s->windowed ? s->totals.survived_bytes : s->totals.aged_bytes;
	uint64_t bytes = s->windowed ? f->survived_bytes : f->aged_bytes;
	uint64_t blocks = s->windowed ? f->survived_count : f->aged_count;
	char text[UNITS_TEXT];

	paint(p, BOLD);
	buffer_format(p->out, "  %s", format_bytes(text, bytes));
	error_bytes(p, snapshot_estimates(s, f)->variance.aged_bytes);
	paint(p, PLAIN);
	buffer_format(p->out, " (%.1f %%) in %s block%s",
		all ? 100.0 * (double)bytes / (double)all : 0.0, format_count(text, blocks),
		blocks == 1 ? "" : "s");
	buffer_format(p->out, ", average %s", format_bytes(text, blocks ? bytes / blocks : 0));
	if (s->windowed)
		buffer_format(p->out, ", of %s allocated", format_bytes(text, f->alloc_bytes));
	else
		buffer_format(p->out, ", oldest %s", format_duration(text, f->oldest_s));
}

void text_frames(const struct printer *p, const struct profile_stack *s)
{
	for (uint16_t i = 0; i < s->frame_count; i++)
		frame(p, p->report->profile->frames[s->first_frame + i]);
}

static void site(const struct printer *p, const struct site_figures *f)
{
	const struct leaks_report *r = p->report;
	const struct profile_stack *s = &r->profile->stacks[f->stack];

	buffer_text(p->out, "\n");
	weight(p, f);
	if (f->thread)
		buffer_format(p->out, ", thread %u", f->thread);
	if (s->flags & HT_STACK_TRUNCATED)
		buffer_text(p->out, ", truncated stack");
	low_confidence(
		p, (double)f->aged_bytes, snapshot_estimates(r->snapshot, f)->variance.aged_bytes);
	buffer_text(p->out, "\n");
	text_frames(p, s);
	if (!s->frame_count)
		buffer_text(
			p->out, "      allocations that found no room for a stack of their own\n");
}

static void outstanding(const struct printer *p)
{
	const struct snapshot *s = p->report->snapshot;
	const struct totals *t = &s->totals;
	char age[UNITS_TEXT];

	if (s->windowed) {
		buffer_text(p->out, "  by what survived");
		return;
	}
	buffer_format(
		p->out, "  outstanding for %s or longer: ", format_duration(age, s->min_age_s));
	bytes_in_blocks(
		p, t->aged_bytes, t->variance.aged_bytes, t->aged_count, t->variance.aged_count);
	buffer_text(p->out, " blocks");
}

void leaks_render_text(
	const struct leaks_report *r, const struct text_style *style, struct buffer *out)
{
	struct printer printer = { r, style, out }, *p = &printer;
	char shown[UNITS_TEXT];

	heading(p);
	if (r->snapshot->growth.counted) {
		growth_render_text(p);
		return;
	}
	rules(p);
	trend(p);
	figures(p);
	losses(p);
	outstanding(p);
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
