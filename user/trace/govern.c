// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Carries out what the governor decides, and says what it came to. The governor's rungs, and what the tables then hold:
 *
 *   exact, sample   one stretch of time since figures_ns; live blocks are known
 *   windows         the open window, if there is one; those before it are in governing.windows
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/err.h"
#include "session_internal.h"

#define DECIDE_MS 50
#define KEEP_S	  1.0 /* figures of less time than that need no report of their own before they go */
/* Of a run that was not timed yet; what a stack costs depends on its depth. */
#define EXACT_ALLOC_NS	400
#define EXACT_RETURN_NS 150
#define OTHER_NS	80
#define FAR_S		60 /* windows so far apart say little */

static struct moment moment_at(struct session *s, uint64_t ns)
{
	struct moment m = { .ns = ns };

	cost_update(&s->cost, &s->tables, s->slot);
	cost_total(&s->cost, &m.cost);
	return m;
}

static struct moment moment_now(struct session *s)
{
	return moment_at(s, clock_monotonic_ns());
}

static struct span span(const struct moment *from, const struct moment *to)
{
	struct span span = {
		.wall_s = (double)(to->ns - from->ns) / NS_PER_S,
		.cpu_s = to->cost.cpu_s - from->cost.cpu_s,
	};

	span.own_s = fmax(span.cpu_s - (to->cost.overhead_s - from->cost.overhead_s), 0);
	return span;
}

/* --- costs ------------------------------------------------------------------------------------ */

/* Seconds of a pair of an allocation and a free. */
static double pair_cost(const struct session *s, bool sampled)
{
	const struct cost *c = &s->cost;
	bool now = s->rules.sample == sampled; /* what was timed is of this mode */
	double pair = cost_of_run(c, HT_PULSE_FREE, OTHER_NS);

	if (sampled && !now)
		pair = 2 * cost_of_trap(c, HT_PULSE_FREE) + 2.0 * OTHER_NS / NS_PER_S;
	else
		pair += cost_of_run(c, HT_PULSE_ALLOC, sampled ? OTHER_NS : EXACT_ALLOC_NS);
	if (!sampled && now)
		pair += cost_of_run(c, HT_PULSE_RETURN, EXACT_RETURN_NS);
	else if (!sampled)
		pair += cost_of_trap(c, HT_PULSE_RETURN) +
			(double)(EXACT_ALLOC_NS + EXACT_RETURN_NS - OTHER_NS) / NS_PER_S;
	else if (s->kernel.kind == LINK_MULTI || s->kernel.kind == LINK_PERF)
		pair += cost_of_trap(c, HT_PULSE_RETURN) + (double)OTHER_NS / NS_PER_S;
	return pair;
}

/* So many more entries on one CPU, and the kernel half calls. */
static void set_alarm(struct session *s)
{
	const struct governor *g = &s->governing.governor;
	double cost = g->rung == RUNG_SAMPLE ? g->sample_cost_s : g->exact_cost_s;
	/* An alarm counts one kind of entry, and a cost is that of either. */
	double entries = governor_allowance(g) / (2 * cost);

	cost_set_alarm(&s->tables, s->slot, entries < 1e15 ? (uint64_t)entries : UINT64_MAX);
}

/* --- the trend, from growth mode ---------------------------------------------------------------- */

static double trend_overhead_s(struct session *trend)
{
	struct cost_figures total;

	if (!trend)
		return 0;
	cost_update(&trend->cost, &trend->tables, trend->slot);
	cost_total(&trend->cost, &total);
	return total.overhead_s;
}

/* Windows cannot tell what the process holds; how its memory grows can be told all the same. */
static void begin_trend(struct session *s)
{
	static const struct table_limits limits = { .max_stacks = 64 };
	struct governing *g = &s->governing;
	struct buffer messages CLEANUP_BUFFER = { 0 };
	int error;

	if (g->trend || g->no_trend)
		return;
	log_capture(&messages); /* without it the report is a little shorter */
	error = session_open(
		&g->trend, s->process.pid, HT_MODE_GROWTH, (uint8_t)(1 << HT_DOMAIN_RSS));
	if (!error)
		error = session_load(g->trend, &limits, LINK_AUTO);
	if (!error)
		error = session_attach(g->trend);
	if (!error)
		error = session_arm(g->trend);
	log_capture(NULL);
	g->trend_before_s = 0;
	if (!error)
		return;
	debug("no growth beside the windows: %s", buffer_string(&messages));
	g->no_trend = true;
	session_close(g->trend);
	g->trend = NULL;
}

static void end_trend(struct session *s)
{
	session_close(s->governing.trend);
	s->governing.trend = NULL;
}

static void read_trend(struct session *s, struct snapshot *snapshot)
{
	struct session *trend = s->governing.trend;

	if (trend)
		growth_read(&trend->growth, &trend->tables, &trend->process, trend->slot,
			&snapshot->trend);
}

/* --- orders ----------------------------------------------------------------------------------- */

static void begin_figures(struct session *s, const struct moment *since)
{
	struct governing *g = &s->governing;

	windows_clear(&g->windows);
	g->figures = *since;
}

static void follow_requests(struct session *s, bool sample)
{
	s->rules = s->governing.asked;
	s->rules.sample = sample;
	if (!sample)
		s->rules.sample_bytes = 1;
	s->was_sampled |= sample;
	session_publish_rules(s);
}

static void empty_tables(struct session *s)
{
	tables_empty(&s->tables, s->slot, session_sites_used(s));
	s->was_sampled = s->rules.sample;
	s->abandoned_calls = 0;
}

/* A window has closed: its figures go to those of the others. */
static int close_window(struct session *s, const struct moment *end)
{
	struct governing *g = &s->governing;
	struct span seen = span(&g->window, end);
	struct snapshot window = { 0 };
	int error = session_read_tables(s, 0, &window);

	if (!error) {
		error = windows_add(&g->windows, &window, &seen);
		snapshot_release(&window);
	}
	empty_tables(s);
	return error;
}

static int take_out(struct session *s, enum rung from)
{
	struct governing *g = &s->governing;
	struct moment end = moment_now(s); /* what is still paid for the links to go is not seen */

	session_take_out(s);
	debug("probes out after %.3f s", (double)(g->out_ns - g->window.ns) / NS_PER_S);
	if (from == RUNG_WINDOWS)
		return close_window(s, &end);
	begin_trend(s);
	if ((double)(g->out_ns - g->figures.ns) / NS_PER_S >= KEEP_S) {
		g->leaving = true;
		return SESSION_FIGURES_END;
	}
	/* Not worth a report, but a window it was. */
	begin_figures(s, &g->figures);
	return close_window(s, &end);
}

static int put_in(struct session *s)
{
	struct governing *g = &s->governing;
	int error = session_put_in(s);

	if (error)
		return process_ended(&s->process) ? SESSION_TARGET_EXIT : error;
	g->window = moment_now(s);
	follow_requests(s, g->governor.rung == RUNG_SAMPLE);
	if (g->governor.rung != RUNG_WINDOWS) {
		begin_figures(s, &g->window);
		end_trend(s);
	}
	debug("probes in");
	return 0;
}

static int obey(struct session *s, enum governor_order order, enum rung from)
{
	switch (order) {
	case ORDER_EXACT:
	case ORDER_SAMPLE:
		if (from == RUNG_WINDOWS) {
			begin_figures(s, &s->governing.window);
			end_trend(s);
		}
		follow_requests(s, order == ORDER_SAMPLE);
		return 0;
	case ORDER_OFF:
		return take_out(s, from);
	case ORDER_ON:
		return put_in(s);
	default:
		return 0;
	}
}

/* --- from outside ----------------------------------------------------------------------------- */

void session_set_budget(struct session *s, double share)
{
	s->governing.budget = share;
}

/* Whether the kernel steps over the probes that fire most. */
static void find_stepped(struct session *s)
{
	for (uint32_t i = 0; i < s->plan.count; i++) {
		const struct plan_probe *p = &s->plan.probes[i];

		s->cost.alloc_stepped |= p->role == HT_ROLE_MALLOC && !p->emulated;
		s->cost.free_stepped |= p->role == HT_ROLE_FREE && !p->emulated;
	}
}

void session_begin_governing(struct session *s)
{
	struct governing *g = &s->governing;

	find_stepped(s);
	cost_set_process(&s->cost, s->process.pid);
	g->figures = g->window = moment_now(s);
	g->decided_ns = g->figures.ns;
	cost_set_alarm(&s->tables, s->slot, UINT64_MAX);
	if (!g->budget)
		return;
	g->asked = s->rules;
	governor_init(&g->governor, g->budget, pair_cost(s, false) / 2, pair_cost(s, true) / 2);
	follow_requests(s, false);
	set_alarm(s);
}

int session_govern(struct session *s)
{
	struct governing *g = &s->governing;
	uint64_t now = clock_monotonic_ns();
	double wall_s = (double)(now - g->decided_ns) / NS_PER_S;
	enum rung from = g->governor.rung;
	struct governor_figures f;
	struct cost_figures total;
	double trend_s;
	int event;

	if (g->leaving) { /* its figures have been read */
		g->leaving = false;
		g->figures = moment_at(s, g->out_ns);
		windows_clear(&g->windows);
		empty_tables(s);
	}
	if (!s->alarmed && wall_s < (double)DECIDE_MS / 1e3)
		return 0;
	s->alarmed = false;
	cost_update(&s->cost, &s->tables, s->slot);
	if (!g->budget || (!s->armed && !g->out_ns))
		return 0;
	trend_s = trend_overhead_s(g->trend);
	if (cost_total(&s->cost, &total))
		governor_believe(&g->governor, pair_cost(s, false) / 2, pair_cost(s, true) / 2);
	f = (struct governor_figures){
		.wall_s = wall_s,
		.cpu_s = total.cpu_s - g->before.cpu_s,
		.overhead_s = total.overhead_s - g->before.overhead_s + trend_s - g->trend_before_s,
		.entries = total.runs[HT_PULSE_ALLOC] + total.runs[HT_PULSE_FREE] -
			   g->before.runs[HT_PULSE_ALLOC] - g->before.runs[HT_PULSE_FREE],
	};
	g->cpu_rate += (f.cpu_s / wall_s - g->cpu_rate) * (wall_s < 1 ? wall_s : 1);
	g->trend_s += trend_s - g->trend_before_s;
	g->trend_before_s = trend_s;
	g->before = total;
	g->decided_ns = now;
	event = obey(s, governor_decide(&g->governor, &f), from);
	if (!g->out_ns)
		set_alarm(s);
	return event;
}

/* --- what is reported ------------------------------------------------------------------------- */

static const char *mode_name(const struct session *s)
{
	if (s->mode == HT_MODE_GROWTH)
		return "growth";
	if (s->governing.budget && s->governing.governor.rung == RUNG_WINDOWS &&
		!s->governing.leaving)
		return "windows";
	return s->rules.sample ? "sample" : "exact";
}

#define SHARE_TEXT 24
/* "3.1 %"; what is more than all of its time is no figure that helps anyone. */
static const char *share_text(char text[SHARE_TEXT], const struct governor *g, double cost_s)
{
	double share = governor_share(g, cost_s);

	if (share < 10)
		snprintf(text, SHARE_TEXT, share < 0.1 ? "%.2g %%" : "%.0f %%", share * 100);
	else
		snprintf(text, SHARE_TEXT, "more than 1000 %%");
	return text;
}

/* Why events are counted as they are. */
static void explain(const struct session *s, struct mode_figures *m)
{
	const struct governing *g = &s->governing;
	char exact[SHARE_TEXT], sample[SHARE_TEXT];
	double out_s = governor_time_out(&g->governor, g->cpu_rate);

	if (!g->budget) {
		snprintf(m->why, sizeof(m->why), "asked for");
		return;
	}
	share_text(exact, &g->governor, g->governor.exact_cost_s);
	share_text(sample, &g->governor, g->governor.sample_cost_s);
	if (g->leaving)
		snprintf(m->why, sizeof(m->why),
			"budget %.3g %%: these figures end here, for now it would cost %s",
			g->budget * 100, s->rules.sample ? sample : exact);
	else if (g->governor.rung == RUNG_EXACT)
		snprintf(m->why, sizeof(m->why), "budget %.3g %%: exact costs %s", g->budget * 100,
			exact);
	else if (g->governor.rung == RUNG_SAMPLE)
		snprintf(m->why, sizeof(m->why),
			"budget %.3g %%: sampling costs %s, exact would cost %s", g->budget * 100,
			sample, exact);
	else
		snprintf(m->why, sizeof(m->why),
			"budget %.3g %%: all the time, sampling would cost %s, exact %s%s",
			g->budget * 100, sample, exact,
			out_s > FAR_S ? "; the next window is more than a minute away" : "");
}

/* Without a clock in our programs the cost is told by what they have counted. */
static double overhead_by_counts(const struct session *s, const struct snapshot *snapshot)
{
	const struct totals *t = &snapshot->totals;
	struct cost_counts n = { .sampled = snapshot->sampled,
		.frames = (double)snapshot->frames_walked };
	double turns = 0;

	for (uint32_t shard = 0; shard < s->tables.shards; shard++)
		n.entries += (double)s->tables.process_counters[s->slot * s->tables.shards + shard]
				     .started;
	for (uint32_t i = 0; i < HT_THREAD_SLOTS; i++)
		turns += (double)s->tables.threads[i].turns;
	if (!snapshot->sampled && !snapshot->filtered) {
		n.frees = (double)(t->free_count + t->untracked_frees);
	} else {
		/* Turns are returns, frees, and entries: as many of the one as of the other. */
		n.frees = fmax(turns - n.entries, 0) / 2;
		n.declined = fmax(n.frees - n.entries, 0);
	}
	return cost_by_counts(&s->cost, &n);
}

static void describe(
	const struct session *s, const struct snapshot *snapshot, struct mode_figures *m)
{
	const struct governing *g = &s->governing;
	uint64_t end = g->ended_ns ? g->ended_ns : clock_monotonic_ns();
	double share = g->budget ? g->budget : BUDGET_DEFAULT;
	struct cost_figures total;
	bool known = cost_total(&s->cost, &total);

	if (!s->cost.timed)
		total.overhead_s = overhead_by_counts(s, snapshot);
	*m = (struct mode_figures){
		.name = mode_name(s),
		.budget = g->budget,
		.coverage = 1,
		.figures_s = (double)(end - g->figures.ns) / NS_PER_S,
		.overhead_s = known ? total.overhead_s + g->trend_s : -1,
		.cpu_s = total.cpu_s,
		.exact_pairs = known ? share / pair_cost(s, false) : 0,
		.sample_pairs = known ? share / pair_cost(s, true) : 0,
	};
	explain(s, m);
}

int session_read(struct session *s, double min_age_s, struct snapshot *snapshot)
{
	struct governing *g = &s->governing;
	struct moment now = moment_now(s);
	struct span whole, open = { 0 };
	uint64_t begun_ns = clock_thread_ns();
	int error;

	error = session_read_tables(s, min_age_s, snapshot);
	if (error)
		return error;
	snapshot->read_s = (double)(clock_thread_ns() - begun_ns) / NS_PER_S;
	describe(s, snapshot, &snapshot->mode);
	if (!g->budget || g->governor.rung != RUNG_WINDOWS || g->leaving)
		return 0;
	read_trend(s, snapshot);
	if (g->ended_ns)
		now.ns = g->ended_ns;
	whole = span(&g->figures, &now);
	if (!g->out_ns)
		open = span(&g->window, &now);
	error = windows_apply(&g->windows, snapshot, &open, &whole);
	if (error)
		snapshot_release(snapshot);
	return error ? err(error, "out of memory") : 0;
}
