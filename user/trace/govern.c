// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Carries out what the governor decides, and says what it came to. The governor's rungs, and what the tables then hold:
 *
 *   exact, sample   one stretch of time since the target's `figures`; live blocks are known
 *   windows         the open window, if there is one; those before it are in the target's `windows`
 *
 * Budget and rung are the session's: events and overhead of all targets count together against the CPU time of all of
 * them. What was counted, what it cost, and how much of a target's time the windows saw is told of each.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

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

/* The time of one that has ended is not ours any more. */
static struct moment moment_of(const struct session *s, const struct target *t, uint64_t ns)
{
	struct moment m = { .ns = t->ended_ns && t->ended_ns < ns ? t->ended_ns : ns };

	cost_of_process(&s->cost, &t->cost, &m.cost);
	return m;
}

static struct span span(const struct moment *from, const struct moment *to)
{
	struct span span = {
		.wall_s = to->ns > from->ns ? (double)(to->ns - from->ns) / NS_PER_S : 0,
		.cpu_s = to->cost.cpu_s - from->cost.cpu_s,
	};

	span.own_s = fmax(span.cpu_s - (to->cost.overhead_s - from->cost.overhead_s), 0);
	return span;
}

static bool in_windows(const struct session *s)
{
	const struct governing *g = &s->governing;

	return g->budget > 0 && g->governor.rung == RUNG_WINDOWS && !g->leaving;
}

void session_update_costs(struct session *s)
{
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->has_slot)
			cost_update(
				&s->cost, &s->targets[i]->cost, &s->tables, s->targets[i]->slot);
	cost_settle(&s->cost);
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
	/* An alarm counts one kind of entry, of one target on one CPU, and a cost is that of either. */
	double at_once = s->target_count < s->tables.cpus ? s->target_count : s->tables.cpus;
	double entries = governor_allowance(g) / (2 * cost * at_once);

	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->has_slot)
			cost_set_alarm(&s->tables, s->targets[i]->slot,
				entries < 1e15 ? (uint64_t)entries : UINT64_MAX);
}

/* --- the trend, from growth mode ---------------------------------------------------------------- */

static double trend_overhead_s(struct session *trend)
{
	struct cost_figures total;

	if (!trend)
		return 0;
	session_update_costs(trend);
	cost_total(&trend->cost, &total);
	return total.overhead_s;
}

static const struct target *only_target(const struct session *s)
{
	const struct target *only = NULL;

	for (uint32_t i = 0; i < s->target_count; i++) {
		if (s->targets[i]->state != TARGET_TRACED)
			continue;
		if (only)
			return NULL;
		only = s->targets[i];
	}
	return only;
}

/* Windows cannot tell what the process holds; how its memory grows can be told all the same. */
static void begin_trend(struct session *s)
{
	static const struct table_limits limits = { .max_stacks = 64 };
	struct governing *g = &s->governing;
	struct buffer messages CLEANUP_BUFFER = { 0 };
	const struct target *t;
	int error;

	t = only_target(s);
	if (g->trend || g->no_trend || s->expecting || !t)
		return;
	log_capture(&messages); /* without it the report is a little shorter */
	error = session_open(
		&g->trend, t->process.pid, HT_MODE_GROWTH, (uint8_t)(1 << HT_DOMAIN_RSS));
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

static void read_trend(struct session *s, const struct target *t, struct snapshot *snapshot)
{
	struct session *trend = s->governing.trend;

	if (trend && session_process(trend)->start_ticks == t->process.start_ticks)
		growth_read(&trend->growth, &trend->tables, session_process(trend),
			session_first(trend)->slot, &snapshot->trend);
}

/* --- orders ----------------------------------------------------------------------------------- */

/* What is counted from the beginning of the open window on is what counts. */
static void begin_figures(struct session *s)
{
	struct governing *g = &s->governing;

	g->figures_ns = g->window_ns;
	for (uint32_t i = 0; i < s->target_count; i++) {
		struct target *t = s->targets[i];

		if (t->state != TARGET_TRACED)
			continue;
		windows_clear(&t->windows);
		t->figures = t->window;
	}
}

static void follow_requests(struct session *s, bool sample)
{
	s->rules = s->governing.asked;
	s->rules.sample = sample;
	if (!sample)
		s->rules.sample_bytes = 1;
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->state == TARGET_TRACED)
			s->targets[i]->was_sampled |= sample;
	session_publish_rules(s);
}

static void empty_tables(struct session *s)
{
	bool slots[TABLES_MAX_SLOTS] = { false };

	for (uint32_t i = 0; i < s->target_count; i++) {
		struct target *t = s->targets[i];

		if (!t->has_slot)
			continue;
		slots[t->slot] = true;
		t->was_sampled = s->rules.sample;
	}
	tables_empty(&s->tables, slots, session_sites_used(s));
}

/* A window has closed: its figures go to those of the others. */
static int add_window(struct session *s, struct target *t, struct snapshot *window)
{
	struct moment end = moment_of(s, t, s->governing.closed_ns);
	struct span seen = { 0 };

	if (t->window.ns)
		seen = span(&t->window, &end);
	t->window.ns = 0;
	t->windowed = true;
	return windows_add(&t->windows, window, &seen);
}

static int close_window(struct session *s)
{
	int error = read_each(s, add_window);

	empty_tables(s);
	return error;
}

static void close_windows_unread(struct session *s)
{
	for (uint32_t i = 0; i < s->target_count; i++)
		s->targets[i]->window.ns = 0;
}

static int take_out(struct session *s, enum rung from)
{
	struct governing *g = &s->governing;
	int error;

	session_update_costs(s); /* what is still paid for the links to go is not seen */
	g->closed_ns = clock_monotonic_ns();
	session_take_out(s);
	debug("probes out after %.3f s", (double)(g->out_ns - g->window_ns) / NS_PER_S);
	/* It takes a while to begin: not where children come meanwhile, which need slots. */
	error = follow_processes(s);
	if (error)
		return error;
	begin_trend(s);
	if (from == RUNG_WINDOWS)
		return close_window(s);
	if ((double)(g->out_ns - g->figures_ns) / NS_PER_S >= KEEP_S) {
		g->leaving = true;
		close_windows_unread(s);
		return SESSION_FIGURES_END;
	}
	/* Not worth a report, but a window it was. */
	return close_window(s);
}

static int put_in(struct session *s)
{
	struct governing *g = &s->governing;
	int error = session_put_in(s);

	if (error)
		return error;
	session_update_costs(s);
	g->window_ns = clock_monotonic_ns();
	for (uint32_t i = 0; i < s->target_count; i++) {
		struct target *t = s->targets[i];

		if (t->state == TARGET_TRACED)
			t->window = moment_of(s, t, g->window_ns);
	}
	follow_requests(s, g->governor.rung == RUNG_SAMPLE);
	if (g->governor.rung != RUNG_WINDOWS) {
		begin_figures(s);
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
			begin_figures(s);
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

void target_begin_governing(struct session *s, struct target *t, pid_t pid, bool new)
{
	s->several |= s->governed;
	s->governed = true;
	/* It is of one program alone; another one in the same process has its own. */
	end_trend(s);
	s->governing.no_trend |= new;
	if (pid > 0)
		cost_begin_process(&t->cost, pid, new);
	t->figures.ns = clock_monotonic_ns();
	t->was_sampled = s->rules.sample;
	t->window = s->governing.out_ns ? (struct moment){ 0 } : t->figures;
}

void target_end_governing(struct session *s, struct target *t)
{
	cost_update(&s->cost, &t->cost, &s->tables, t->slot);
	cost_end_process(&t->cost);
	t->windowed |= in_windows(s);
}

void session_govern_anew(struct session *s)
{
	s->governing.anew = true;
}

static void begin_exactly(struct session *s)
{
	struct governing *g = &s->governing;

	governor_init(&g->governor, g->budget, pair_cost(s, false) / 2, pair_cost(s, true) / 2);
	follow_requests(s, false);
}

void session_begin_governing(struct session *s)
{
	struct governing *g = &s->governing;

	find_stepped(s);
	for (uint32_t i = 0; i < s->target_count; i++)
		if (!s->targets[i]->figures.ns)
			target_begin_governing(s, s->targets[i], s->targets[i]->process.pid, false);
	session_update_costs(s);
	g->figures_ns = g->window_ns = g->decided_ns = clock_monotonic_ns();
	if (!g->budget)
		return;
	g->asked = s->rules;
	begin_exactly(s);
	set_alarm(s);
}

static int begin_anew(struct session *s)
{
	struct governing *g = &s->governing;
	int error = 0;

	g->anew = false;
	g->figures_ns = g->window_ns = clock_monotonic_ns();
	begin_exactly(s);
	if (g->out_ns)
		error = put_in(s);
	set_alarm(s);
	return error;
}

/* The figures of a time with probes have been read. */
static void leave_figures(struct session *s)
{
	struct governing *g = &s->governing;

	g->leaving = false;
	g->figures_ns = g->out_ns;
	session_update_costs(s);
	for (uint32_t i = 0; i < s->target_count; i++) {
		struct target *t = s->targets[i];

		windows_clear(&t->windows);
		/* One that has come since has its own. */
		if (t->figures.ns < g->out_ns)
			t->figures = moment_of(s, t, g->out_ns);
	}
	empty_tables(s);
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

	if (g->leaving)
		leave_figures(s);
	if (g->anew && g->budget)
		return begin_anew(s);
	if (!s->alarmed && wall_s < (double)DECIDE_MS / 1e3)
		return 0;
	s->alarmed = false;
	session_update_costs(s);
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

/* One that has ended stays as it was. */
static bool is_windowed(const struct session *s, const struct target *t)
{
	return t->state == TARGET_ENDED ? t->windowed : in_windows(s);
}

static const char *mode_name(const struct session *s, const struct target *t)
{
	if (s->mode == HT_MODE_GROWTH)
		return "growth";
	if (is_windowed(s, t))
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
static void append_together(struct mode_figures *m)
{
	size_t length = strlen(m->why);

	snprintf(m->why + length, sizeof(m->why) - length, ", of all targets together");
}

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
static double overhead_by_counts(
	const struct session *s, const struct target *t, const struct snapshot *snapshot)
{
	const struct totals *totals = &snapshot->totals;
	struct cost_counts n = { .sampled = snapshot->sampled,
		.frames = (double)snapshot->frames_walked,
		.idle = t->cost.sums.idle };
	double turns = 0;

	for (uint32_t shard = 0; shard < s->tables.shards; shard++)
		n.entries += (double)s->tables.process_counters[t->slot * s->tables.shards + shard]
				     .started;
	for (uint32_t i = 0; i < HT_THREAD_SLOTS; i++)
		turns += (double)s->tables.threads[i].turns;
	if (!snapshot->sampled && !snapshot->filtered) {
		n.frees = (double)(totals->free_count + totals->untracked_frees);
	} else {
		/* Turns are returns, frees, and entries: as many of the one as of the other. */
		n.frees = fmax(turns - n.entries, 0) / 2;
		n.declined = fmax(n.frees - n.entries, 0);
	}
	return cost_by_counts(&s->cost, &n);
}

/* Turns are not counted by target: of several, what was not followed is nobody's. */
static bool overhead_is_known(const struct session *s, const struct snapshot *snapshot)
{
	if (!s->cost.known)
		return false;
	return s->cost.timed || !s->several || (!snapshot->sampled && !snapshot->filtered);
}

static void describe(const struct session *s, const struct target *t,
	const struct snapshot *snapshot, uint64_t end, struct mode_figures *m)
{
	const struct governing *g = &s->governing;
	double share = g->budget ? g->budget : BUDGET_DEFAULT;
	double trend_s = s->several ? 0 : g->trend_s;
	struct cost_figures total;
	bool known = cost_of_process(&s->cost, &t->cost, &total);

	if (!s->cost.timed)
		total.overhead_s = overhead_by_counts(s, t, snapshot);
	*m = (struct mode_figures){
		.name = mode_name(s, t),
		.budget = g->budget,
		.coverage = 1,
		.figures_s = end > t->figures.ns ? (double)(end - t->figures.ns) / NS_PER_S : 0,
		.overhead_s = overhead_is_known(s, snapshot) ? total.overhead_s + trend_s : -1,
		.cpu_s = total.cpu_s,
		.exact_pairs = known ? share / pair_cost(s, false) : 0,
		.sample_pairs = known ? share / pair_cost(s, true) : 0,
	};
	explain(s, m);
	if (g->budget && s->several)
		append_together(m);
}

int target_describe(struct session *s, struct target *t, struct snapshot *snapshot)
{
	struct governing *g = &s->governing;
	struct moment now = moment_of(s, t, g->ended_ns ? g->ended_ns : snapshot->monotonic_ns);
	struct span whole, open = { 0 };

	describe(s, t, snapshot, now.ns, &snapshot->mode);
	if (!is_windowed(s, t))
		return 0;
	read_trend(s, t, snapshot);
	whole = span(&t->figures, &now);
	if (t->window.ns)
		open = span(&t->window, &now);
	return windows_apply(&t->windows, snapshot, &open, &whole);
}
