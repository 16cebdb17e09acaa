// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a pair costs as the program gets larger: more live blocks, more stacks, more threads. A workload that does
 * nothing else, under heaptap and under empty probes in turn: its own caches grow cold too.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "floor.h"
#include "slowdown.h"
#include "stats.h"
#include "tracer.h"

#define MANY  "build/workloads/many"
#define TURNS 200000u /* of a batch, about */

struct point {
	unsigned int stacks, live, threads;
};

enum how { UNTRACED, EMPTY, EXACT, HOWS };

struct figures {
	double *ns[HOWS];
};

struct curve {
	const struct bench_opts *opts;
	struct floor *floor;
	struct floor_places places;
};

static int attach(
	struct curve *c, enum how how, pid_t pid, struct floor_links *links, struct tracer *tracer)
{
	if (how == EMPTY)
		return floor_attach(c->floor, FLOOR_P, &c->places, pid, links);
	if (how == EXACT)
		return tracer_start_with(
			tracer, c->opts->heaptap, pid, "exact", "--max-stacks", "140000");
	return 0;
}

/* The fastest of some batches after one that fills all tables. */
static int visit(struct curve *c, struct worker *w, enum how how, double *ns)
{
	struct floor_links links = FLOOR_LINKS_INIT;
	struct tracer tracer = TRACER_INIT;
	double answer;
	int rc = attach(c, how, w->pid, &links, &tracer), stopped;

	for (unsigned int i = 0; !rc && i <= c->opts->batches; i++) {
		rc = worker_ask(w, "go", &answer);
		if (i == 1 || (i && answer < *ns))
			*ns = answer;
	}
	floor_detach(&links);
	stopped = tracer_stop(&tracer, NULL, NULL);
	return rc ? rc : stopped;
}

static int measure(struct curve *c, const struct point *p, struct figures *f)
{
	char stacks[16], live[16], threads[16], rounds[16], ready[64];
	const char *const argv[] = { MANY, "--stacks", stacks, "--live", live, "--threads", threads,
		"--rounds", rounds, "--depth", "17", NULL };
	struct worker w = { 0 };
	int rc;

	snprintf(stacks, sizeof(stacks), "%u", p->stacks);
	snprintf(live, sizeof(live), "%u", p->live);
	snprintf(threads, sizeof(threads), "%u", p->threads);
	/* Each round renews as many blocks as there are stacks: all that are live are to be seen. */
	snprintf(rounds, sizeof(rounds), "%u", (p->live > TURNS ? p->live : TURNS) / p->stacks + 1);
	rc = worker_start(&w, argv, NULL);
	if (!rc && (!fgets(ready, sizeof(ready), w.out) || strncmp(ready, "ready", 5)))
		rc = bench_err(-ENOENT, "no " MANY ": make workloads");
	for (unsigned int i = 0; !rc && i < c->opts->rounds; i++)
		for (int how = 0; !rc && how < HOWS; how++)
			rc = visit(c, &w, how, &f->ns[how][i]);
	worker_stop(&w);
	return rc;
}

static int print_point(struct curve *c, const struct point *p, double *exact)
{
	struct figures f = { 0 };
	double ns[HOWS];
	int rc = 0;

	for (int how = 0; how < HOWS; how++) {
		f.ns[how] = calloc(c->opts->rounds, sizeof(double));
		rc |= f.ns[how] ? 0 : -ENOMEM;
	}
	if (!rc)
		rc = measure(c, p, &f);
	for (int how = 0; how < HOWS; how++) {
		ns[how] = stats_median(f.ns[how], rc ? 0 : c->opts->rounds);
		free(f.ns[how]);
	}
	if (rc)
		return rc;
	printf("%8u %8u %8u %10.1f %10.1f %10.1f   %.3f\n", p->stacks, p->live, p->threads,
		ns[UNTRACED], ns[EMPTY], ns[EXACT], ns[EXACT] / ns[EMPTY]);
	fflush(stdout);
	*exact = ns[EXACT];
	return 0;
}

static int print_curve(struct curve *c, const char *what, const struct point *points, size_t n)
{
	double low = 0, high = 0, exact = 0;
	int rc = 0;

	printf("\n%s\n%8s %8s %8s %10s %10s %10s   %s\n", what, "stacks", "live", "threads",
		"not traced", "P", "exact", "exact / P");
	for (size_t i = 0; !rc && i < n; i++) {
		rc = print_point(c, &points[i], &exact);
		if (!i || exact < low)
			low = exact;
		if (exact > high)
			high = exact;
	}
	if (!rc)
		printf("exact, dearest / cheapest: %.3f\n", high / low);
	return rc;
}

int bench_curve(const struct bench_opts *opts)
{
	static const struct point live[] = { { 100, 1000, 1 }, { 100, 10000, 1 },
		{ 100, 100000, 1 }, { 100, 1000000, 1 } };
	static const struct point stacks[] = { { 100, 1000, 1 }, { 1000, 1000, 1 },
		{ 10000, 1000, 1 }, { 100000, 1000, 1 } };
	static const struct point threads[] = { { 100, 1000, 1 }, { 100, 1000, 2 },
		{ 100, 1000, 4 } };
	struct curve c = { .opts = opts };
	int rc;

	if (!opts->heaptap) {
		puts("curve: skipped, there is no heaptap");
		return 0;
	}
	printf("curve: CPU ns of a turn, a free and a malloc below 20 frames; medians of %u "
	       "visits, the fastest of %u batches each\n",
		opts->rounds, opts->batches);
	rc = floor_discover(&c.places);
	if (!rc)
		rc = floor_load(&c.floor);
	if (!rc)
		rc = print_curve(&c, "live blocks", live, sizeof(live) / sizeof(live[0]));
	if (!rc)
		rc = print_curve(&c, "stacks", stacks, sizeof(stacks) / sizeof(stacks[0]));
	if (!rc)
		rc = print_curve(&c, "threads", threads, sizeof(threads) / sizeof(threads[0]));
	floor_unload(c.floor);
	return rc;
}
