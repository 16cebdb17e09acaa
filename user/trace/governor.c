// SPDX-License-Identifier: GPL-2.0-or-later
#include "governor.h"

#include <math.h>

#define SAFETY		0.85 /* of the budget is used: costs are measured, and not exactly */
#define LEAST_BUSY	0.2 /* of a core: a target that sleeps most of the time counts as this busy */
#define FADE_S		1.0  /* of the target's own time: what was so long ago counts for a third */
#define CREDIT_S	1.0  /* of the target's own time: what can be saved up for a burst */
#define WINDOW_CREDIT_S 10.0 /* the same between windows */
#define START_CREDIT_S	0.4
#define OFF_LEAST_S	0.2 /* between two windows */
#define WINDOW_WORTH	2.0 /* a window is given so many times what ending it costs */
#define SETTLE_S	3.0 /* a window that lasts so long within the budget need not end */
#define PATIENCE_S	5.0
#define PATIENCE_MAX_S	300.0
#define HASTY_S		30.0
#define LEARN_ENTRIES	200.0

/* Steps go where the cost is so much of the budget: up is for longer than a moment. */
#define FITS_DOWN 0.9
#define FITS_UP	  0.7

void governor_init(struct governor *g, double budget, double exact_cost_s, double sample_cost_s)
{
	*g = (struct governor){
		.budget = SAFETY * budget,
		.rung = RUNG_EXACT,
		.on = true,
		.account_s = SAFETY * budget * START_CREDIT_S,
		.exact_cost_s = exact_cost_s,
		.sample_cost_s = sample_cost_s,
		.patience_s = PATIENCE_S,
		.since_up_s = HASTY_S,
	};
}

void governor_believe(struct governor *g, double exact_cost_s, double sample_cost_s)
{
	if (!g->exact_learned)
		g->exact_cost_s = exact_cost_s;
	if (!g->sample_learned)
		g->sample_cost_s = sample_cost_s;
}

double governor_share(const struct governor *g, double cost_s)
{
	const struct governor_recent *r = &g->recent;
	double busy_s = fmax(r->own_s, LEAST_BUSY * r->wall_s);

	if (r->entries <= 0)
		return 0;
	return busy_s > 0 ? r->entries * cost_s / busy_s : INFINITY;
}

static bool fits(const struct governor *g, double cost_s, double part)
{
	return governor_share(g, cost_s) <= part * g->budget;
}

/* What a window may cost, its end included; saved up before it begins. */
static double window_price(const struct governor *g)
{
	double worth = WINDOW_WORTH * g->tail_s, least = g->budget * CREDIT_S;

	return worth > least ? worth : least;
}

static void pay(struct governor *g, const struct governor_figures *f)
{
	double own = f->cpu_s > f->overhead_s ? f->cpu_s - f->overhead_s : 0;
	double most = g->budget * (g->rung == RUNG_WINDOWS ? WINDOW_CREDIT_S : CREDIT_S);

	if (g->rung == RUNG_WINDOWS && most < window_price(g))
		most = window_price(g);
	g->account_s += g->budget * fmax(own, LEAST_BUSY * f->wall_s);
	if (g->account_s > most)
		g->account_s = most;
	g->account_s -= f->overhead_s;
	g->in_rung_s += f->wall_s;
	g->since_up_s += f->wall_s;
}

/* Only of times with probes: without them nothing is known of the entries. */
static void learn(struct governor *g, const struct governor_figures *f)
{
	struct governor_recent *r = &g->recent;
	double own = f->cpu_s > f->overhead_s ? f->cpu_s - f->overhead_s : 0;
	double fade = exp(-fmax(own, LEAST_BUSY * f->wall_s) / FADE_S);
	bool sampled = g->rung == RUNG_SAMPLE;
	double *cost = sampled ? &g->sample_cost_s : &g->exact_cost_s;
	bool *learned = sampled ? &g->sample_learned : &g->exact_learned;

	r->wall_s = r->wall_s * fade + f->wall_s;
	r->own_s = r->own_s * fade + own;
	r->entries = r->entries * fade + f->entries;
	if (f->entries < LEARN_ENTRIES)
		return;
	*cost += (*learned ? 0.3 : 1) * (f->overhead_s / f->entries - *cost);
	*learned = true;
}

static enum governor_order move(struct governor *g, enum rung rung, enum governor_order order)
{
	if (rung > g->rung && g->since_up_s < HASTY_S && g->patience_s < PATIENCE_MAX_S)
		g->patience_s *= 2;
	else if (rung > g->rung && g->since_up_s > 10 * g->patience_s)
		g->patience_s = PATIENCE_S;
	if (rung < g->rung)
		g->since_up_s = 0;
	g->rung = rung;
	g->in_rung_s = 0;
	g->on = order != ORDER_OFF;
	if (order == ORDER_ON)
		g->recent = (struct governor_recent){ 0 };
	return order;
}

static enum governor_order decide_on(struct governor *g)
{
	switch (g->rung) {
	case RUNG_EXACT:
		if (g->account_s >= 0)
			return ORDER_NONE;
		if (!fits(g, g->sample_cost_s, FITS_DOWN))
			return move(g, RUNG_WINDOWS, ORDER_OFF);
		g->account_s = 0;
		return move(g, RUNG_SAMPLE, ORDER_SAMPLE);
	case RUNG_SAMPLE:
		if (g->account_s < -g->budget * START_CREDIT_S / 2)
			return move(g, RUNG_WINDOWS, ORDER_OFF);
		if (g->in_rung_s >= g->patience_s && g->account_s > 0 &&
			fits(g, g->exact_cost_s, FITS_UP))
			return move(g, RUNG_EXACT, ORDER_EXACT);
		return ORDER_NONE;
	default:
		if (g->account_s <= g->tail_s)
			return move(g, RUNG_WINDOWS, ORDER_OFF);
		if (g->in_rung_s >= SETTLE_S && g->since_up_s >= g->patience_s &&
			fits(g, g->exact_cost_s, FITS_UP))
			return move(g, RUNG_EXACT, ORDER_EXACT);
		return ORDER_NONE;
	}
}

static enum governor_order decide_off(struct governor *g)
{
	if (g->in_rung_s < OFF_LEAST_S || g->account_s < window_price(g))
		return ORDER_NONE;
	/* As the last window saw it. */
	if (g->since_up_s >= g->patience_s && fits(g, g->exact_cost_s, FITS_UP))
		return move(g, RUNG_EXACT, ORDER_ON);
	if (g->since_up_s >= g->patience_s && fits(g, g->sample_cost_s, FITS_UP))
		return move(g, RUNG_SAMPLE, ORDER_ON);
	return move(g, RUNG_WINDOWS, ORDER_ON);
}

enum governor_order governor_decide(struct governor *g, const struct governor_figures *f)
{
	pay(g, f);
	if (g->on) {
		learn(g, f);
		return decide_on(g);
	}
	/* What comes in after the order to take them out is what such an order costs. */
	if (f->overhead_s > g->tail_s || g->in_rung_s <= f->wall_s)
		g->tail_s = fmax(f->overhead_s, 0.7 * g->tail_s);
	return decide_off(g);
}

double governor_allowance(const struct governor *g)
{
	double left = g->account_s;

	if (g->rung == RUNG_WINDOWS)
		left -= g->tail_s;
	if (g->rung == RUNG_SAMPLE)
		left += g->budget * START_CREDIT_S / 2;
	return left > 0 ? left : 0;
}

double governor_time_out(const struct governor *g, double cpu_rate)
{
	double missing = window_price(g) - g->account_s;

	if (g->on || missing <= 0)
		return 0;
	return missing / (g->budget * fmax(cpu_rate, LEAST_BUSY));
}
