/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps what tracing costs a target under a share of the CPU time that the target itself uses. A policy alone, fed with
 * measured figures: it asks nobody and touches nothing.
 *
 *   exact --too dear--> sample --too dear--> windows: probes in for a moment, then out until it is paid off
 *     ^                   |  ^                  |
 *     +----- cheap again -+  +-- would fit now -+   (or straight to exact)
 *
 * The measure is an account in seconds of CPU time. The target's own time fills it at the budget's rate, up to a limit,
 * and that of one that sleeps as if it were busy a fifth of the time; overhead empties it. Whatever overdraws it is waited for, so that the budget holds over any longer time, whatever
 * was believed of the costs of an event.
 */
#ifndef HEAPTAP_GOVERNOR_H
#define HEAPTAP_GOVERNOR_H

#include <stdbool.h>

enum rung { RUNG_EXACT, RUNG_SAMPLE, RUNG_WINDOWS, RUNGS };

/* What has been since the figures before. */
struct governor_figures {
	double wall_s;
	double cpu_s;	   /* of the target, overhead included */
	double overhead_s; /* of this, what probes took */
	double entries;	   /* of allocating and freeing functions */
};

enum governor_order {
	ORDER_NONE,
	ORDER_EXACT,  /* go on, and follow every request from now on */
	ORDER_SAMPLE, /* go on, and sample them */
	ORDER_OFF,    /* take the probes out */
	ORDER_ON,     /* put them in, on the rung that the governor is on by now */
};

/* Sums in which the past fades. */
struct governor_recent {
	double wall_s, own_s, entries;
};

struct governor {
	double budget; /* share of the target's own CPU time that is used: somewhat less than allowed */
	enum rung rung;
	bool on; /* the probes are in */
	double account_s;
	double in_rung_s; /* since the last order */
	struct governor_recent recent;
	/* Overhead of an entry, in seconds: measured where it has been, before that by what traps cost. */
	double exact_cost_s, sample_cost_s;
	bool exact_learned, sample_learned;
	double tail_s;	   /* overhead from the order to take probes out to when they are */
	double patience_s; /* how long a cheap time must last before a step up */
	double since_up_s; /* since the last step up: one that was hasty doubles the patience */
};

/* exact_cost_s, sample_cost_s: as believed at first. */
void governor_init(struct governor *g, double budget, double exact_cost_s, double sample_cost_s);
/* Better beliefs: they hold where nothing has been measured yet. */
void governor_believe(struct governor *g, double exact_cost_s, double sample_cost_s);
/* What to do now. */
enum governor_order governor_decide(struct governor *g, const struct governor_figures *f);
/*
 * The share of its own time that the target would pay at so much an entry, its time taken as above; INFINITY when that
 * is not to be said.
 */
double governor_share(const struct governor *g, double cost_s);
/* Overhead, in seconds, after which the kernel half should call before its time; never negative. */
double governor_allowance(const struct governor *g);
/* Seconds until the next window, at the rate at which the target now runs; 0 when the probes are in. */
double governor_time_out(const struct governor *g, double cpu_rate);

#endif
