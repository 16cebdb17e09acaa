// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The governor against simulated targets: a target has a rate of calls and a CPU, probes make each call dearer, and
 * taking them out takes a while. What the governor believes of costs is wrong on purpose.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../user/trace/governor.h"

#define TICK_S	   0.05
#define EXACT_S	   0.9e-6 /* an entry */
#define SAMPLE_S   0.6e-6
#define TAIL_S	   0.07 /* from the order to take probes out to when they are */
#define BELIEVED_S 2e-6

struct target {
	struct governor governor;
	double calls_per_s; /* entries in a second of its own time */
	double busy;	    /* share of a core that it uses */
	double time_s, own_s, overhead_s, on_s;
	double rung_s[RUNGS];
	int orders[5];
};

static void begin(struct target *t, double budget, double calls_per_s, double busy)
{
	*t = (struct target){ .calls_per_s = calls_per_s, .busy = busy };
	governor_init(&t->governor, budget, BELIEVED_S, BELIEVED_S);
}

/* Runs the target for wall_s: a core is shared between its own work and the probes. */
static struct governor_figures work(struct target *t, double wall_s, bool probed)
{
	double cost = t->governor.rung == RUNG_SAMPLE ? SAMPLE_S : EXACT_S;
	double per_own_s = probed ? t->calls_per_s * cost : 0;
	double own_s = wall_s * fmin(t->busy, 1 / (1 + per_own_s));
	struct governor_figures f = {
		.wall_s = wall_s,
		.cpu_s = own_s * (1 + per_own_s),
		.overhead_s = own_s * per_own_s,
		.entries = probed ? own_s * t->calls_per_s : 0,
	};

	t->time_s += wall_s;
	t->own_s += own_s;
	t->overhead_s += f.overhead_s;
	t->rung_s[t->governor.rung] += wall_s;
	t->on_s += probed ? wall_s : 0;
	return f;
}

static struct governor_figures sum(struct governor_figures a, struct governor_figures b)
{
	return (struct governor_figures){ a.wall_s + b.wall_s, a.cpu_s + b.cpu_s,
		a.overhead_s + b.overhead_s, a.entries + b.entries };
}

/* One step of the loader's: it is called early when the kernel half raises its alarm. */
static void step(struct target *t)
{
	struct governor *g = &t->governor;
	double cost = g->rung == RUNG_SAMPLE ? SAMPLE_S : EXACT_S;
	double wall_s = TICK_S, allowed_s = governor_allowance(g);
	double rate = t->calls_per_s * cost / (1 + t->calls_per_s * cost);
	struct governor_figures f = { 0 };
	enum governor_order order;

	if (g->on && rate > 0 && allowed_s / rate < wall_s)
		wall_s = fmax(allowed_s / rate, 0.001);
	f = work(t, wall_s, g->on);
	order = governor_decide(g, &f);
	t->orders[order]++;
	if (order == ORDER_OFF) {
		/* Breakpoints fire until the last one has gone. */
		f = sum(work(t, TAIL_S, true), work(t, TICK_S, false));
		t->orders[governor_decide(g, &f)]++;
	}
}

static void run(struct target *t, double seconds)
{
	double end = t->time_s + seconds;

	while (t->time_s < end)
		step(t);
}

static double slowdown(const struct target *t)
{
	return t->overhead_s / t->own_s;
}

/* Over any longer time, whatever the rate: from nothing to ten million pairs a second. */
static void test_budget_is_kept(void **state)
{
	static const double budgets[] = { 0.005, 0.01, 0.05, 0.2, 1 };
	static const double busy[] = { 0.05, 0.5, 1 };

	(void)state;
	for (int b = 0; b < 5; b++)
		for (int i = 0; i < 3; i++)
			for (double calls = 100; calls < 3e7; calls *= 1.7) {
				struct target t;

				begin(&t, budgets[b], calls, busy[i]);
				run(&t, 600);
				/* What it begins with, and one end of a window, may be owed. */
				assert_true(t.overhead_s <=
					    budgets[b] * fmax(t.own_s, 0.2 * t.time_s) + TAIL_S);
			}
}

static void test_cheap_is_exact(void **state)
{
	struct target t;

	(void)state;
	begin(&t, 0.05, 20000, 1); /* 1.8 % */
	run(&t, 100);
	assert_int_equal(t.governor.rung, RUNG_EXACT);
	assert_int_equal(t.orders[ORDER_OFF] + t.orders[ORDER_SAMPLE], 0);
	assert_true(t.rung_s[RUNG_EXACT] >= 100);
}

static void test_dearer_is_sampled(void **state)
{
	struct target t;

	(void)state;
	begin(&t, 0.05, 50000, 1); /* 4.5 %, 3 % */
	governor_believe(&t.governor, 1.2 * EXACT_S, 1.2 * SAMPLE_S);
	run(&t, 300);
	assert_int_equal(t.governor.rung, RUNG_SAMPLE);
	assert_true(t.rung_s[RUNG_SAMPLE] > 200);
	assert_true(slowdown(&t) <= 0.05);
}

static void test_dear_is_watched_in_windows(void **state)
{
	struct target t;

	(void)state;
	begin(&t, 0.05, 2e7, 1);
	run(&t, 100);
	assert_int_equal(t.governor.rung, RUNG_WINDOWS);
	assert_true(t.orders[ORDER_ON] >= 10);
	assert_true(t.on_s > 1);
	assert_true(slowdown(&t) <= 0.05);
	/* Most of what is allowed is used. */
	assert_true(slowdown(&t) >= 0.025);
}

static void test_back_up_when_the_rate_falls(void **state)
{
	struct target t;

	(void)state;
	begin(&t, 0.05, 1e7, 1);
	run(&t, 30);
	assert_int_equal(t.governor.rung, RUNG_WINDOWS);
	t.calls_per_s = 1000;
	run(&t, 30);
	assert_int_equal(t.governor.rung, RUNG_EXACT);
	assert_true(t.governor.on);
}

/* A target that changes all the time does not drag the ladder along for ever. */
static void test_patience(void **state)
{
	struct target t;

	(void)state;
	begin(&t, 0.05, 1000, 1);
	for (int i = 0; i < 60; i++) {
		t.calls_per_s = i % 2 ? 55000 : 20000;
		run(&t, 10);
	}
	assert_true(t.orders[ORDER_EXACT] < 15);
	assert_true(slowdown(&t) <= 0.05);
}

/* From nothing to 5 million pairs a second: out within the tail, and what that cost is waited for. */
static void test_jump(void **state)
{
	struct target t;
	double before;

	(void)state;
	begin(&t, 0.05, 0, 0.01);
	run(&t, 60);
	assert_int_equal(t.governor.rung, RUNG_EXACT);
	t.calls_per_s = 1e7;
	t.busy = 1;
	before = t.overhead_s;
	run(&t, 0.2);
	assert_false(t.governor.on);
	assert_true(t.overhead_s - before < 0.05 + TAIL_S + 0.05);
	before = t.overhead_s;
	run(&t, 1);
	assert_true(t.overhead_s - before < 1e-9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_budget_is_kept),
		cmocka_unit_test(test_cheap_is_exact),
		cmocka_unit_test(test_dearer_is_sampled),
		cmocka_unit_test(test_dear_is_watched_in_windows),
		cmocka_unit_test(test_back_up_when_the_rate_falls),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_jump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
