// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long heaptap takes from its start until it counts, and from SIGINT until it is gone; also in a process
 * with many modules, whose unwind tables it compiles at the first attach and finds in its cache at the next.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "floor.h"
#include "modules.h"
#include "stats.h"
#include "target.h"
#include "tracer.h"

enum time_id {
	EMPTY_RUN,
	FLOOR_ATTACH,
	FLOOR_DETACH,
	ATTACH,
	DETACH,
	MULTI_ATTACH,
	MULTI_DETACH,
	PERF_ATTACH,
	PERF_DETACH,
	TIMES
};

static const struct {
	const char *what;
	bool needs_heaptap;
} rows[TIMES] = {
	[EMPTY_RUN] = { "heaptap --version, start to exit", true },
	[FLOOR_ATTACH] = { "floor P: two links made", false },
	[FLOOR_DETACH] = { "floor P: two links closed", false },
	[ATTACH] = { "heaptap: start to armed", true },
	[DETACH] = { "heaptap: SIGINT to exit", true },
	[MULTI_ATTACH] = { "--link multi: start to armed", true },
	[MULTI_DETACH] = { "--link multi: SIGINT to exit", true },
	[PERF_ATTACH] = { "--link perf: start to armed", true },
	[PERF_DETACH] = { "--link perf: SIGINT to exit", true },
};

static const struct {
	const char *link;
	enum time_id attach, detach;
} kinds[] = {
	{ "auto", ATTACH, DETACH },
	{ "multi", MULTI_ATTACH, MULTI_DETACH },
	{ "perf", PERF_ATTACH, PERF_DETACH },
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Milliseconds, by attach. */
struct times {
	double *ms[TIMES];
	bool lacks[TIMES]; /* a kind of link that is not to be had here */
};

static double ms_since(uint64_t start_ns)
{
	return (bench_now_ns() - start_ns) / 1e6;
}

static int time_floor(struct floor *floor, const struct floor_places *places, pid_t pid,
	struct times *times, size_t i)
{
	struct floor_links links = FLOOR_LINKS_INIT;
	uint64_t start_ns = bench_now_ns();
	int rc = floor_attach(floor, FLOOR_P, places, pid, &links);

	if (rc)
		return rc;
	times->ms[FLOOR_ATTACH][i] = ms_since(start_ns);
	start_ns = bench_now_ns();
	floor_detach(&links);
	times->ms[FLOOR_DETACH][i] = ms_since(start_ns);
	return 0;
}

static int time_link(const char *path, pid_t pid, size_t kind, struct times *times, size_t i)
{
	struct tracer tracer = TRACER_INIT;
	uint64_t armed_ns, exit_ns;
	int rc = tracer_start(&tracer, path, pid, "exact", kinds[kind].link, &armed_ns);

	if (!rc)
		rc = tracer_stop(&tracer, &exit_ns, NULL);
	if (rc)
		return rc;
	times->ms[kinds[kind].attach][i] = armed_ns / 1e6;
	times->ms[kinds[kind].detach][i] = exit_ns / 1e6;
	return 0;
}

static int time_heaptap(const char *path, pid_t pid, struct times *times, size_t i)
{
	const char *const empty[] = { path, "--version", NULL };
	uint64_t empty_ns;
	int rc = tracer_run(empty, NULL, 0, &empty_ns);

	if (rc)
		return rc;
	times->ms[EMPTY_RUN][i] = empty_ns / 1e6;
	for (size_t kind = 0; !rc && kind < N_KINDS; kind++)
		if (!times->lacks[kinds[kind].attach])
			rc = time_link(path, pid, kind, times, i);
	return rc;
}

static void find_links(const char *path, pid_t pid, struct times *times)
{
	for (size_t kind = 0; kind < N_KINDS; kind++) {
		bool lacks = !tracer_takes_link(path, pid, kinds[kind].link);

		times->lacks[kinds[kind].attach] = times->lacks[kinds[kind].detach] = lacks;
		if (lacks)
			printf("  --link %s: skipped, not to be had here\n", kinds[kind].link);
	}
}

static void print_times(const struct bench_opts *opts, const struct times *times)
{
	double empty = stats_median(times->ms[EMPTY_RUN], opts->attaches);

	printf("\n%-34s %10s %10s %10s   %s\n", "", "median ms", "min ms", "max ms", "empty runs");
	for (int id = 0; id < TIMES; id++) {
		double median = stats_median(times->ms[id], opts->attaches);

		if ((rows[id].needs_heaptap && !opts->heaptap) || times->lacks[id])
			continue;
		printf("%-34s %10.1f %10.1f %10.1f", rows[id].what, median,
			stats_min(times->ms[id], opts->attaches),
			stats_max(times->ms[id], opts->attaches));
		if (opts->heaptap)
			printf("   %.1f", median / empty);
		putchar('\n');
	}
}

static int measure(const struct bench_opts *opts, struct target *target, struct times *times)
{
	struct floor_places places;
	struct floor *floor = NULL;
	double ns;
	/* The empty batch shows that the target has started. */
	int rc = target_batch(target, opts->depths[0], 0, 0, &ns);

	if (!rc)
		rc = floor_discover(&places);
	if (!rc)
		rc = floor_load(&floor);
	if (!rc && opts->heaptap)
		find_links(opts->heaptap, target->pid, times);
	for (size_t i = 0; !rc && i < opts->attaches; i++) {
		rc = time_floor(floor, &places, target->pid, times, i);
		if (!rc && opts->heaptap)
			rc = time_heaptap(opts->heaptap, target->pid, times, i);
		/* Shows that it lives through what was done to it. */
		if (!rc)
			rc = target_batch(target, opts->depths[0], opts->pairs, opts->size, &ns);
	}
	floor_unload(floor);
	return rc;
}

/* ---- many modules ---- */

static double number_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? atof(at + strlen(key)) : 0;
}

static int time_modules_once(const char *path, const struct modules *m, double *ms)
{
	struct tracer tracer = TRACER_INIT;
	uint64_t armed_ns;
	int rc = tracer_start(&tracer, path, m->pid, "exact", "auto", &armed_ns);

	if (!rc)
		rc = tracer_stop(&tracer, NULL, NULL);
	*ms = armed_ns / 1e6;
	return rc;
}

static int print_sizes(const char *path, const struct modules *m)
{
	char pid[16], out[32768];
	const char *const argv[] = { path, "leaks", "-p", pid, "--json", "--count", "1", "--every",
		"10ms", NULL };
	double rows, bytes;
	int rc;

	snprintf(pid, sizeof(pid), "%d", m->pid);
	rc = tracer_run(argv, out, sizeof(out), NULL);
	if (rc)
		return rc;
	rows = number_after(out, "\"rows\":");
	bytes = number_after(strstr(out, "\"unwind_tables\"") ?: out, "\"bytes\":");
	printf("%.0f modules, %.0f rows, %.0f bytes, %.2f bytes a row; %.0f from the cache\n",
		number_after(out, "\"modules\":"), rows, bytes, rows ? bytes / rows : 0,
		number_after(out, "\"cached\":"));
	return 0;
}

static int bench_modules(const struct bench_opts *opts)
{
	struct modules m;
	char cache[80], command[128];
	int rc = modules_start(&m);

	snprintf(cache, sizeof(cache), "%s-cache", m.directory);
	if (!rc && mkdtemp(strcpy(command, "/tmp/heaptap-cache-XXXXXX")))
		snprintf(cache, sizeof(cache), "%s", command);
	setenv("XDG_CACHE_HOME", cache, 1);
	printf("\nattach to %d modules of %d rows, ms from the start to armed\n", MODULES_COUNT,
		MODULES_ROWS);
	for (unsigned int i = 0; !rc && i < 3; i++) {
		double first = 0, again = 0;

		snprintf(command, sizeof(command), "rm -rf '%s/heaptap'", cache);
		if (system(command))
			rc = -EIO;
		if (!rc)
			rc = time_modules_once(opts->heaptap, &m, &first);
		if (!rc)
			rc = time_modules_once(opts->heaptap, &m, &again);
		if (!rc)
			printf("  first %8.1f   again %8.1f\n", first, again);
	}
	if (!rc)
		rc = print_sizes(opts->heaptap, &m);
	snprintf(command, sizeof(command), "rm -rf '%s'", cache);
	if (system(command) && !rc)
		rc = -EIO;
	unsetenv("XDG_CACHE_HOME");
	modules_stop(&m);
	return rc;
}

int bench_attach(const struct bench_opts *opts)
{
	struct times times = {};
	struct target target = {};
	int rc = 0;

	for (int id = 0; id < TIMES; id++) {
		times.ms[id] = calloc(opts->attaches, sizeof(double));
		if (!times.ms[id])
			rc = -ENOMEM;
	}
	if (!rc)
		rc = target_start(&target, TARGET_C);
	if (!rc) {
		printf("attach and detach: %u times, the target idle\n", opts->attaches);
		if (!opts->heaptap)
			puts("  heaptap: skipped, there is none");
		fflush(stdout);
		rc = measure(opts, &target, &times);
	}
	if (!rc)
		print_times(opts, &times);
	target_stop(&target);
	if (!rc && opts->heaptap)
		rc = bench_modules(opts);
	for (int id = 0; id < TIMES; id++)
		free(times.ms[id]);
	return rc;
}
