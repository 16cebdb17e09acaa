// SPDX-License-Identifier: GPL-2.0-or-later
#include "growth_json.h"

#include <math.h>
#include <stdio.h>

#include "../base/clock.h"
#include "../model/estimate.h"

static void target(struct json *j, const char *key, const struct leaks_report *r,
	const struct report_target *t)
{
	const struct process *p = t->process;
	char time[CLOCK_TEXT];

	json_open(j, key, '{');
	json_uint(j, "pid", (uint64_t)p->pid);
	json_string(j, "comm", p->comm);
	json_string(j, "exe", p->exe);
	json_string(j, "cgroup", p->cgroup);
	json_string(j, "start_time", clock_format(time, p->start_realtime_ns));
	json_open(j, "allocators", '[');
	for (uint32_t i = 0; i < t->allocator_count; i++) {
		const struct profile_module *m = &r->profile->modules[t->allocators[i]];

		json_open(j, NULL, '{');
		json_string(j, "name", m->allocator);
		json_string(j, "module", m->path);
		json_string(j, "build_id", m->build_id);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

static void targets(struct json *j, const struct leaks_report *r)
{
	if (!r->together) {
		target(j, "target", r, r->targets);
		return;
	}
	json_open(j, "targets", '[');
	for (uint32_t i = 0; i < r->target_count; i++)
		target(j, NULL, r, &r->targets[i]);
	json_close(j, ']');
}

/* A figure and, when it is an estimate, its standard error. */
static void figure(struct json *j, bool sampled, const char *key, uint64_t value, double variance)
{
	char name[64];

	json_uint(j, key, value);
	if (!sampled)
		return;
	snprintf(name, sizeof(name), "%s_stderr", key);
	json_double(j, name, sqrt(variance), 2);
}

/* Null where some events are not seen: not when they are not counted here. */
static void uint_if(struct json *j, bool known, const char *key, uint64_t value)
{
	if (known)
		json_uint(j, key, value);
	else
		json_null(j, key);
}

/* What only an unbroken watch knows, and its error. */
static void figure_if(struct json *j, const struct snapshot *s, bool known, const char *key,
	uint64_t value, double variance)
{
	if (known)
		figure(j, s->sampled, key, value, variance);
	else
		json_null(j, key);
}

/* The followed blocks themselves: of these  allocated = live + freed + lost  is exact. */
static void samples(struct json *j, const struct samples *s)
{
	json_open(j, "samples", '{');
	json_uint(j, "alloc_count", s->alloc_count);
	json_uint(j, "alloc_bytes", s->alloc_bytes);
	json_uint(j, "free_count", s->free_count);
	json_uint(j, "free_bytes", s->free_bytes);
	json_uint(j, "live_count", s->live_count);
	json_uint(j, "live_bytes", s->live_bytes);
	json_uint(j, "lost_count", s->lost_count);
	json_uint(j, "lost_bytes", s->lost_bytes);
	json_close(j, '}');
}

/* Of blocks growth mode knows nothing: null, never 0. */
static void unknown(struct json *j, const char *const *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_null(j, keys[i]);
}

/* The first window is still to come. */
static bool saw_nothing(const struct snapshot *s)
{
	return s->windowed && s->mode.coverage <= 0;
}

static void no_totals(struct json *j)
{
	static const char *const blocks[] = { "alloc_count", "alloc_bytes", "free_count",
		"free_bytes", "live_count", "live_bytes", "aged_count", "aged_bytes", "lost_count",
		"lost_bytes", "peak_live_bytes", "survived_count", "survived_bytes", "failed_count",
		"untracked_frees", "untracked_inherited", "in_flight" };

	json_open(j, "totals", '{');
	unknown(j, blocks, ARRAY_SIZE(blocks));
	json_close(j, '}');
}

static void totals(struct json *j, const struct snapshot *s, bool together)
{
	const struct totals *t = &s->totals;
	const struct variances *v = &t->variance;

	json_open(j, "totals", '{');
	figure(j, s->sampled, "alloc_count", t->alloc_count, v->alloc_count);
	figure(j, s->sampled, "alloc_bytes", t->alloc_bytes, v->alloc_bytes);
	figure(j, s->sampled, "free_count", t->free_count, v->free_count);
	figure(j, s->sampled, "free_bytes", t->free_bytes, v->free_bytes);
	figure_if(j, s, !s->windowed, "live_count", t->live_count, v->live_count);
	figure_if(j, s, !s->windowed, "live_bytes", t->live_bytes, v->live_bytes);
	figure_if(j, s, !s->windowed, "aged_count", t->aged_count, v->aged_count);
	figure_if(j, s, !s->windowed, "aged_bytes", t->aged_bytes, v->aged_bytes);
	/* Of these sums, and of the peak, the error is not kept: no number, so null. */
	figure(j, s->sampled, "lost_count", t->lost_count, NAN);
	figure(j, s->sampled, "lost_bytes", t->lost_bytes, NAN);
	/* The highest of a sum is not the sum of the highest. */
	figure_if(j, s, !s->windowed && !together, "peak_live_bytes", t->peak_live_bytes, NAN);
	uint_if(j, s->windowed, "survived_count", t->survived_count);
	uint_if(j, s->windowed, "survived_bytes", t->survived_bytes);
	uint_if(j, !s->sampled, "failed_count", t->failed_count);
	uint_if(j, !s->sampled && !s->filtered && !s->windowed, "untracked_frees",
		t->untracked_frees);
	uint_if(j, !s->sampled && !s->filtered && !s->windowed, "untracked_inherited",
		t->untracked_inherited);
	json_uint(j, "in_flight", t->in_flight);
	if (s->sampled || s->windowed)
		samples(j, &t->samples);
	json_close(j, '}');
}

static void filters(struct json *j, const struct snapshot *s)
{
	const struct rules *r = &s->rules;

	if (!s->filtered) {
		json_null(j, "filters");
		return;
	}
	json_open(j, "filters", '{');
	uint_if(j, r->min_bytes, "min_bytes", r->min_bytes);
	uint_if(j, r->max_bytes, "max_bytes", r->max_bytes);
	uint_if(j, r->thread, "thread", r->thread);
	json_string(j, "module", r->module);
	json_close(j, '}');
}

/* What tracing has cost the process; overhead_cpu as a share of the CPU time that it used for itself. */
static void overhead(struct json *j, const struct mode_figures *m)
{
	double own_s = m->cpu_s - m->overhead_s;

	if (m->overhead_s < 0) {
		json_null(j, "overhead_ns");
		json_null(j, "overhead_cpu");
		return;
	}
	json_uint(j, "overhead_ns", (uint64_t)(m->overhead_s * NS_PER_S));
	json_double(j, "overhead_cpu", own_s > 0 ? m->overhead_s / own_s : NAN, 4);
}

static void health(struct json *j, const struct snapshot *s, uint64_t missed_processes)
{
#define KEY(name, key, what, remedy) key,
	static const char *const lost[] = { HT_LOST(KEY) };
	static const char *const unattributed[] = { HT_UNATTRIBUTED(KEY) };
	static const char *const ends[] = { HT_UNWIND(KEY) };
#undef KEY

	json_open(j, "health", '{');
	uint_if(j, !s->sampled && !s->filtered && !s->windowed, "events", s->events);
	json_double(j, "coverage", s->mode.coverage, 6);
	json_uint(j, "skew", s->skew);
	overhead(j, &s->mode);
	json_double(j, "truncated_share",
		s->totals.alloc_count
			? (double)s->totals.truncated_count / (double)s->totals.alloc_count
			: 0,
		4);
	json_uint(j, "missed_events", s->missed_events);
	json_uint(j, "missed_processes", missed_processes);
	json_double(j, "read_s", s->read_s, 6);
	json_uint(j, "removed_probes", s->removed_probes);
	json_uint(j, "abandoned_calls", s->abandoned_calls);
	json_open(j, "lost", '{');
	for (int i = 0; i < HT_LOST_REASONS; i++)
		json_uint(j, lost[i], s->lost[i]);
	json_close(j, '}');
	json_open(j, "unattributed", '{');
	for (int i = 0; i < HT_UNATTRIBUTED_REASONS; i++)
		json_uint(j, unattributed[i], s->unattributed[i]);
	json_close(j, '}');
	json_open(j, "unwind", '{');
	for (int i = 0; i < HT_UNWIND_REASONS; i++)
		json_uint(j, ends[i], s->unwind[i]);
	json_close(j, '}');
	json_open(j, "unwind_tables", '{');
	json_uint(j, "modules", s->unwinder.tables);
	json_uint(j, "cached", s->unwinder.cached);
	json_uint(j, "rows", s->unwinder.rows);
	json_uint(j, "bytes", s->unwinder.bytes);
	json_double(j, "spent_s", s->unwinder.spent_s, 6);
	if (s->unwinder.newest_s < 0)
		json_null(j, "mapping_to_rows_s");
	else
		json_double(j, "mapping_to_rows_s", s->unwinder.newest_s, 6);
	json_close(j, '}');
	json_close(j, '}');
}

static void surroundings(struct json *j, const struct leaks_report *r)
{
	json_open(j, "process", '{');
	json_bytes(j, "rss_bytes", r->figures->memory.rss);
	json_bytes(j, "pss_bytes", r->figures->memory.pss);
	json_bytes(j, "swap_bytes", r->figures->memory.swap);
	json_bytes(j, "limit_bytes", r->figures->memory.limit);
	json_close(j, '}');
	json_open(j, "host", '{');
	json_uint(j, "mem_total", r->figures->host.mem_total);
	json_uint(j, "mem_available", r->figures->host.mem_available);
	if (r->figures->host.cpu < 0)
		json_null(j, "cpu");
	else
		json_double(j, "cpu", r->figures->host.cpu, 4);
	json_close(j, '}');
}

static const char *frame_kind(uint64_t frame, bool jit)
{
	switch (ht_frame_tag(frame)) {
	case HT_FRAME_CALL:
	case HT_FRAME_PC:
		return "native";
	case HT_FRAME_PYTHON:
		return "python";
	case HT_FRAME_KERNEL:
		return "kernel";
	default:
		return jit ? "jit" : "unknown";
	}
}

/* A frame a level: consumers of lists of functions need not know of inlining. */
static void frame(struct json *j, const struct leaks_report *r, uint64_t word)
{
	struct symbol symbol = symbolizer_find(r->symbols, word);
	const struct profile_module *m = NULL;

	if (ht_frame_tag(word) == HT_FRAME_CALL || ht_frame_tag(word) == HT_FRAME_PC)
		m = &r->profile->modules[ht_frame_module(word)];
	for (uint32_t i = 0; i < symbol.level_count; i++) {
		const struct symbol_level *level = &symbol.levels[i];

		json_open(j, NULL, '{');
		json_string(j, "function", level->function);
		json_string(j, "file", level->file);
		if (level->line)
			json_uint(j, "line", level->line);
		else
			json_null(j, "line");
		json_string(j, "module", m ? m->path : NULL);
		json_string(j, "build_id", m ? m->build_id : NULL);
		json_uint(j, "offset", symbol.address);
		json_bool(j, "inlined", level->inlined);
		json_string(j, "kind", frame_kind(word, symbol.jit));
		json_close(j, '}');
	}
}

static void confidence(struct json *j, const char *key, double value, double variance)
{
	struct estimate_interval in = estimate_interval(value, variance);

	json_open(j, key, '[');
	json_double(j, NULL, in.low, 0);
	json_double(j, NULL, in.high, 0);
	json_close(j, ']');
}

static void site_figures(struct json *j, const struct site_figures *f, const struct snapshot *s)
{
	const struct site_estimates *e = snapshot_estimates(s, f);
	const struct variances *v = &e->variance;
	bool sampled = s->sampled;

	figure(j, sampled, "alloc_count", f->alloc_count, v->alloc_count);
	figure(j, sampled, "alloc_bytes", f->alloc_bytes, v->alloc_bytes);
	figure(j, sampled, "free_count", f->free_count, v->free_count);
	figure(j, sampled, "free_bytes", f->free_bytes, v->free_bytes);
	figure_if(j, s, !s->windowed, "live_count", f->live_count, v->live_count);
	figure_if(j, s, !s->windowed, "live_bytes", f->live_bytes, v->live_bytes);
	figure_if(j, s, !s->windowed, "aged_count", f->aged_count, v->aged_count);
	figure_if(j, s, !s->windowed, "aged_bytes", f->aged_bytes, v->aged_bytes);
	uint_if(j, !sampled, "temporary_count", f->temporary_count);
	uint_if(j, !sampled, "failed_count", f->failed_count);
	uint_if(j, s->windowed, "survived_count", f->survived_count);
	uint_if(j, s->windowed, "survived_bytes", f->survived_bytes);
	json_double(j, "oldest_s", s->windowed ? NAN : f->oldest_s, 2);
	if (!sampled)
		return;
	json_uint(j, "samples", e->samples.alloc_count);
	json_bool(j, "low_confidence",
		estimate_is_poor((double)f->alloc_bytes, v->alloc_bytes) ||
			estimate_is_poor((double)f->live_bytes, v->live_bytes));
	confidence(j, "alloc_bytes_ci95", (double)f->alloc_bytes, v->alloc_bytes);
	confidence(j, "live_bytes_ci95", (double)f->live_bytes, v->live_bytes);
}

static void stack(struct json *j, const struct leaks_report *r, const struct site_figures *f)
{
	static const char *const domains[] = { "heap", "mmap", "python", "rss" };
	static const char *const blocks[] = { "alloc_count", "alloc_bytes", "free_count",
		"free_bytes", "live_count", "live_bytes", "aged_count", "aged_bytes",
		"temporary_count", "failed_count", "survived_count", "survived_bytes", "oldest_s" };
	const struct profile_stack *s = &r->profile->stacks[f->stack];

	json_open(j, NULL, '{');
	json_hex(j, "id", s->id);
	json_string(j, "domain", f->domain < ARRAY_SIZE(domains) ? domains[f->domain] : NULL);
	uint_if(j, f->thread, "thread", f->thread);
	if (r->snapshot->growth.counted) {
		unknown(j, blocks, ARRAY_SIZE(blocks));
		growth_render_site(j, f);
	} else {
		site_figures(j, f, r->snapshot);
	}
	json_null(j, "verdict"); /* no verdict is given yet */
	json_null(j, "score");
	json_null(j, "growth_bytes_per_s");
	json_bool(j, "truncated", (s->flags & HT_STACK_TRUNCATED) != 0);
	json_open(j, "frames", '[');
	for (uint16_t i = 0; i < s->frame_count; i++)
		frame(j, r, r->profile->frames[s->first_frame + i]);
	json_close(j, ']');
	json_close(j, '}');
}

/* Without a rate, or a budget to make one of, null. */
static void positive(struct json *j, const char *key, double value, int digits)
{
	json_double(j, key, value > 0 ? value : NAN, digits);
}

static void mode(struct json *j, const struct leaks_report *r)
{
	const struct mode_figures *m = &r->snapshot->mode;

	json_open(j, "mode", '{');
	json_string(j, "name", m->name);
	uint_if(j, !r->snapshot->growth.counted, "sample_bytes", r->snapshot->rules.sample_bytes);
	json_string(j, "why", m->why);
	json_string(j, "null_because",
		r->snapshot->growth.counted ? "growth mode counts pages, not blocks"
		: r->snapshot->windowed	    ? "windows do not see what becomes of blocks"
					    : NULL);
	json_string(j, "link", r->figures->link);
	json_string(j, "reach", r->figures->for_all ? "all" : "targets");
	positive(j, "budget", m->budget, 6);
	json_double(j, "figures_s", m->figures_s, 3);
	uint_if(j, r->snapshot->windowed, "windows", m->windows);
	positive(j, "scale", m->scale, 3);
	if (r->snapshot->windowed)
		json_bool(j, "scale_is_rough", m->rough);
	else
		json_null(j, "scale_is_rough");
	positive(j, "exact_pairs_per_s", m->exact_pairs, 0);
	positive(j, "sample_pairs_per_s", m->sample_pairs, 0);
	json_close(j, '}');
}

void leaks_render_json(const struct leaks_report *r, struct buffer *out)
{
	struct json writer = { .out = out }, *j = &writer;
	char time[CLOCK_TEXT];

	json_open(j, NULL, '{');
	json_string(j, "schema", "heaptap/1");
	json_string(j, "kind", "leaks");
	json_string(j, "scope", r->together ? "all" : "process");
	json_string(j, "time", clock_format(time, r->snapshot->realtime_ns));
	json_double(j, "elapsed_s", r->figures->elapsed_s, 3);
	json_double(j, "interval_s", r->figures->interval_s, 3);
	json_double(j, "min_age_s", r->snapshot->min_age_s, 3);
	json_string(j, "ended", r->figures->ended);
	targets(j, r);
	mode(j, r);
	filters(j, r->snapshot);
	if (r->snapshot->growth.counted || saw_nothing(r->snapshot))
		no_totals(j);
	else
		totals(j, r->snapshot, r->together);
	if (r->snapshot->growth.counted || r->snapshot->trend.counted)
		growth_render_json(j, r);
	health(j, r->snapshot, r->figures->missed_processes);
	surroundings(j, r);
	json_open(j, "stacks", '[');
	for (uint32_t i = 0; i < r->selection->count; i++)
		stack(j, r, &r->snapshot->sites[r->selection->sites[i]]);
	json_close(j, ']');
	json_close(j, '}');
	buffer_text(out, "\n");
}
