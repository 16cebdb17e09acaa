// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a malloc+free pair costs, bare, under empty probes, and traced. Machines drift and have
 * other users, so the configurations take turns: a round visits all of them there and back again (A
 * B C C B A, which cancels a linear drift), a figure is compared only with those of its own round,
 * and P against P shows what a difference is worth.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"
#include "floor.h"
#include "stats.h"
#include "target.h"
#include "tracer.h"

enum config_id {
	BARE,
	PAIR,
	EXACT,
	MULTI,
	PERF,
	OTHER,
	PAIR_AGAIN,
	ENTRIES,
	SAMPLED,
	ENTRIES_AGAIN,
	CONFIGS
};

static const struct config {
	const char *name;
	const char *what;
	enum { NOTHING, FLOOR, TRACER } kind;
	enum floor_kind floor;
	const char *mode, *link; /* of a tracer */
	unsigned int scale;	 /* times the pairs of a batch, so that each lasts milliseconds */
} configs[CONFIGS] = {
	[BARE] = { "bare", "no probes", NOTHING, 0, NULL, NULL, 20 },
	[PAIR] = { "P", "empty session on malloc, empty entry on free", FLOOR, FLOOR_P, NULL, NULL,
		1 },
	[EXACT] = { "exact", "heaptap --mode exact, the best link", TRACER, 0, "exact", "auto", 1 },
	[MULTI] = { "multi", "the same by --link multi", TRACER, 0, "exact", "multi", 1 },
	[PERF] = { "perf", "the same by --link perf", TRACER, 0, "exact", "perf", 1 },
	[OTHER] = { "other", "exact mode of the other heaptap", TRACER, 0, "exact", "auto", 1 },
	[PAIR_AGAIN] = { "P again", "the same as P, for the noise", FLOOR, FLOOR_P, NULL, NULL, 1 },
	[ENTRIES] = { "E", "two empty entries", FLOOR, FLOOR_E, NULL, NULL, 1 },
	[SAMPLED] = { "sampled", "heaptap --mode sample", TRACER, 0, "sample", "auto", 1 },
	[ENTRIES_AGAIN] = { "E again", "the same as E, for the noise", FLOOR, FLOOR_E, NULL, NULL,
		1 },
};

static const struct {
	const char *name;
	enum config_id above, below;
} ratios[] = {
	{ "exact / P", EXACT, PAIR },
	{ "multi / P", MULTI, PAIR },
	{ "perf / P", PERF, PAIR },
	{ "other / P", OTHER, PAIR },
	{ "exact / other", EXACT, OTHER },
	{ "P / P (A/A)", PAIR_AGAIN, PAIR },
	{ "E / P", ENTRIES, PAIR },
	{ "sampled / E", SAMPLED, ENTRIES },
	{ "E / E (A/A)", ENTRIES_AGAIN, ENTRIES },
};
#define N_RATIOS (sizeof(ratios) / sizeof(ratios[0]))

/* ns per pair, one value a visit: the median and the minimum of its batches. Visits 2r and 2r + 1
 * are round r. */
struct series {
	double *median;
	double *min;
};

struct run {
	const struct bench_opts *opts;
	enum target_language language;
	struct target target;
	struct floor *floor;
	struct floor_places places;
	const char *places_from;
	struct floor_links links;
	struct tracer tracer;
	bool lacks[CONFIGS];  /* a kind of link that is not to be had here */
	uint64_t visit_pairs; /* run under the present attach */
	uint64_t traced_pairs;
	int64_t counted_pairs; /* by the tracer; -1: it does not say */
	struct series series[CONFIGS][BENCH_MAX_DEPTHS];
};

static bool is_run(const struct run *run, enum config_id id)
{
	if (id == OTHER)
		return run->opts->other != NULL;
	if ((id == MULTI || id == PERF) && run->opts->best)
		return false;
	return configs[id].kind != TRACER || (run->opts->heaptap && !run->lacks[id]);
}

static int attach(struct run *run, enum config_id id)
{
	const struct config *config = &configs[id];

	run->visit_pairs = 0;
	if (config->kind == FLOOR)
		return floor_attach(
			run->floor, config->floor, &run->places, run->target.pid, &run->links);
	if (config->kind == TRACER)
		return tracer_start(&run->tracer,
			id == OTHER ? run->opts->other : run->opts->heaptap, run->target.pid,
			config->mode, config->link, NULL);
	return 0;
}

/* All that may be attached, whichever it is. */
static int detach(struct run *run, enum config_id id)
{
	bool traced = run->tracer.pid > 0 && id == EXACT; /* others estimate */
	int64_t counted;
	int rc;

	floor_detach(&run->links);
	rc = tracer_stop(&run->tracer, NULL, &counted);
	if (traced && !rc) {
		run->traced_pairs += run->visit_pairs;
		if (counted < 0 || run->counted_pairs < 0)
			run->counted_pairs = -1;
		else
			run->counted_pairs += counted;
	}
	return rc;
}

static int batch(struct run *run, enum config_id id, unsigned int depth, double *ns)
{
	unsigned int pairs = run->opts->pairs * configs[id].scale;

	run->visit_pairs += pairs;
	return target_batch(&run->target, run->opts->depths[depth], pairs, run->opts->size, ns);
}

static int measure(struct run *run, enum config_id id, unsigned int visit)
{
	double ns[64];
	int rc;

	for (unsigned int depth = 0; depth < run->opts->n_depths; depth++) {
		struct series *series = &run->series[id][depth];

		rc = batch(run, id, depth, &ns[0]); /* warms up */
		for (unsigned int i = 0; !rc && i < run->opts->batches; i++)
			rc = batch(run, id, depth, &ns[i]);
		if (rc)
			return rc;
		series->median[visit] = stats_median(ns, run->opts->batches);
		series->min[visit] = stats_min(ns, run->opts->batches);
	}
	return 0;
}

static int visit(struct run *run, enum config_id id, unsigned int visit)
{
	int rc, rc_detach;

	if (!is_run(run, id))
		return 0;
	rc = attach(run, id);
	if (!rc)
		rc = measure(run, id, visit);
	rc_detach = detach(run, id);
	return rc ? rc : rc_detach;
}

static int measure_rounds(struct run *run)
{
	int rc = 0;

	for (unsigned int round = 0; !rc && round < run->opts->rounds; round++) {
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\rround %u of %u ", round + 1, run->opts->rounds);
		for (int id = 0; !rc && id < CONFIGS; id++)
			rc = visit(run, id, 2 * round);
		for (int id = CONFIGS - 1; !rc && id >= 0; id--)
			rc = visit(run, id, 2 * round + 1);
		if (!rc && bench_stopping())
			rc = -EINTR;
	}
	if (isatty(STDERR_FILENO))
		fputs("\r                    \r", stderr);
	return rc;
}

/* ---- what it came to ---- */

/* Mean of the two visits of each round, above by below. */
static void ratio_by_round(
	const double *above, const double *below, unsigned int rounds, double *ratio)
{
	for (unsigned int r = 0; r < rounds; r++)
		ratio[r] = (above[2 * r] + above[2 * r + 1]) / (below[2 * r] + below[2 * r + 1]);
}

static void print_ratio(const double *above, const double *below, unsigned int rounds)
{
	cleanup_free double *ratio = malloc(rounds * sizeof(*ratio));
	struct stats_interval interval;

	if (!ratio)
		return;
	ratio_by_round(above, below, rounds, ratio);
	interval = stats_median_interval(ratio, rounds);
	printf("   %6.3f [%5.3f, %5.3f]", stats_median(ratio, rounds), interval.low, interval.high);
}

static void print_figures(const struct run *run)
{
	unsigned int visits = 2 * run->opts->rounds;

	printf("\n%-6s %-9s %12s %12s   %s\n", "depth", "config", "median ns", "min ns", "");
	for (unsigned int depth = 0; depth < run->opts->n_depths; depth++) {
		for (int id = 0; id < CONFIGS; id++) {
			const struct series *series = &run->series[id][depth];

			if (!is_run(run, id))
				continue;
			printf("%-6u %-9s %12.1f %12.1f   %s\n", run->opts->depths[depth],
				configs[id].name, stats_median(series->median, visits),
				stats_min(series->min, visits), configs[id].what);
		}
	}
}

static void print_ratios(const struct run *run)
{
	unsigned int rounds = run->opts->rounds;

	printf("\n%-6s %-12s   %-22s   %s\n", "depth", "ratio", "of medians [95 %]",
		"of minima [95 %]");
	for (unsigned int depth = 0; depth < run->opts->n_depths; depth++) {
		for (size_t i = 0; i < N_RATIOS; i++) {
			const struct series *above = &run->series[ratios[i].above][depth];
			const struct series *below = &run->series[ratios[i].below][depth];

			if (!is_run(run, ratios[i].above) || !is_run(run, ratios[i].below))
				continue;
			printf("%-6u %-12s", run->opts->depths[depth], ratios[i].name);
			print_ratio(above->median, below->median, rounds);
			print_ratio(above->min, below->min, rounds);
			putchar('\n');
		}
	}
}

static void print_head(const struct run *run)
{
	const struct bench_opts *opts = run->opts;

	printf("pairs (%s): CPU ns per malloc+free of %zu bytes; %u rounds there and back, %u "
	       "batches of %u\n",
		run->language == TARGET_CXX ? "C++" : "C", opts->size, opts->rounds, opts->batches,
		opts->pairs);
	printf("  probes (%s): malloc 0x%lx %s, free 0x%lx %s\n", run->places_from,
		run->places.alloc.offset, run->places.alloc.path, run->places.release.offset,
		run->places.release.path);
	if (!opts->heaptap)
		puts("  exact and sampled: skipped, no heaptap");
	fflush(stdout);
}

static void print_results(const struct run *run)
{
	print_figures(run);
	print_ratios(run);
	if (run->opts->heaptap && run->counted_pairs >= 0)
		printf("\nexact: %ld allocations counted in %lu pairs\n", run->counted_pairs,
			run->traced_pairs);
	else if (run->opts->heaptap)
		puts("\nexact: its reports do not say how many allocations were counted");
}

/* ---- setting up ---- */

/* heaptap's own places where it tells them, else those that this libc suggests. */
static int find_places(struct run *run)
{
	char pid[16], plan[32768];
	const char *const argv[] = { run->opts->heaptap, "leaks", "-p", pid, "--dry-run", NULL };
	int rc = floor_discover(&run->places);

	if (rc)
		return rc;
	run->places_from = "found by the benchmark";
	if (!run->opts->heaptap)
		return 0;
	snprintf(pid, sizeof(pid), "%d", run->target.pid);
	rc = tracer_run(argv, plan, sizeof(plan), NULL);
	if (!rc && !floor_parse_plan(plan, &run->places))
		run->places_from = "heaptap's plan";
	else
		bench_err(0, "no malloc and free in the plan of %s", run->opts->heaptap);
	return 0;
}

static void find_links(struct run *run)
{
	for (int id = 0; id < CONFIGS; id++) {
		if (!is_run(run, id) || configs[id].kind != TRACER)
			continue;
		run->lacks[id] =
			!tracer_takes_link(run->opts->heaptap, run->target.pid, configs[id].link);
		if (run->lacks[id])
			printf("%s: skipped, not to be had here\n", configs[id].name);
	}
}

static int alloc_series(struct run *run)
{
	size_t visits = 2 * (size_t)run->opts->rounds;

	for (int id = 0; id < CONFIGS; id++) {
		for (unsigned int depth = 0; depth < run->opts->n_depths; depth++) {
			struct series *series = &run->series[id][depth];

			series->median = calloc(visits, sizeof(double));
			series->min = calloc(visits, sizeof(double));
			if (!series->median || !series->min)
				return -ENOMEM;
		}
	}
	return 0;
}

static void free_series(struct run *run)
{
	for (int id = 0; id < CONFIGS; id++) {
		for (unsigned int depth = 0; depth < BENCH_MAX_DEPTHS; depth++) {
			free(run->series[id][depth].median);
			free(run->series[id][depth].min);
		}
	}
}

static int prepare(struct run *run)
{
	double ns;
	int rc = alloc_series(run);

	if (!rc)
		rc = target_start(&run->target, run->language);
	if (!rc) /* an empty batch: it has started, and its libc is mapped */
		rc = target_batch(&run->target, run->opts->depths[0], 0, 0, &ns);
	if (!rc)
		rc = find_places(run);
	if (!rc)
		find_links(run);
	if (!rc)
		rc = floor_load(&run->floor);
	return rc;
}

static int measure_language(const struct bench_opts *opts, enum target_language language)
{
	struct run run = {
		.opts = opts, .language = language, .links = FLOOR_LINKS_INIT, .tracer = TRACER_INIT
	};
	int rc = prepare(&run);

	if (!rc) {
		print_head(&run);
		rc = measure_rounds(&run);
	}
	if (!rc)
		print_results(&run);
	floor_unload(run.floor);
	target_stop(&run.target);
	free_series(&run);
	return rc;
}

int bench_pairs(const struct bench_opts *opts)
{
	int rc = measure_language(opts, TARGET_C);

	if (rc)
		return rc;
	putchar('\n');
	return measure_language(opts, TARGET_CXX);
}
