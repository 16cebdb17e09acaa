// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Many targets: what a pair costs in one of them, and in a process that is none, with links for single
 * processes and with one for all; how long --all takes, and what memory of the kernel.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "stats.h"
#include "target.h"
#include "tracer.h"

#define MANY	   200
#define DEPTH	   20
#define VISITS	   5
#define LIST_BYTES (MANY * 8)

struct group {
	struct target all[MANY + 1]; /* the last is no target of the tracer */
	unsigned int count;
};

static int group_start(struct group *g)
{
	double ns;

	for (g->count = 0; g->count <= MANY; g->count++) {
		int rc = target_start(&g->all[g->count], TARGET_C);

		/* The empty batch shows that it has started. */
		if (!rc)
			rc = target_batch(&g->all[g->count], DEPTH, 0, 0, &ns);
		if (rc)
			return rc;
	}
	return 0;
}

static void group_stop(struct group *g)
{
	for (unsigned int i = 0; i < g->count; i++)
		target_stop(&g->all[i]);
}

/* One way of tracing, and what it cost at each visit. */
struct way {
	const char *name;
	unsigned int targets; /* 0: --all */
	const char *reach;
	double target_ns[VISITS], bystander_ns[VISITS];
	double armed_ms;
	uint64_t bytes; /* of the kernel's memory */
};

/* What the kernel says of the maps that a process holds. */
static uint64_t map_bytes(pid_t pid)
{
	char path[64], line[128];
	uint64_t bytes = 0, n;
	struct dirent *entry;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	fds = opendir(path);
	while (fds && (entry = readdir(fds))) {
		char file[512];
		bool is_map = false;
		FILE *info;

		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		info = fopen(file, "r");
		while (info && fgets(line, sizeof(line), info)) {
			is_map |= !strncmp(line, "map_type:", 9);
			if (is_map && sscanf(line, "memlock: %lu", &n) == 1)
				bytes += n;
		}
		if (info)
			fclose(info);
	}
	if (fds)
		closedir(fds);
	return bytes;
}

static int start(const struct bench_opts *opts, const struct group *g, const struct way *w,
	struct tracer *tracer, uint64_t *armed_ns)
{
	char list[LIST_BYTES] = "";
	const char *const all[] = { opts->heaptap, "leaks", "--all", "--mode", "exact", "--every",
		"3600s", "-q", "--json", NULL };
	const char *const some[] = { opts->heaptap, "leaks", "-p", list, "--mode", "exact",
		"--reach", w->reach, "--every", "3600s", "-q", "--json", NULL };
	size_t used = 0;

	for (unsigned int i = 0; i < w->targets; i++)
		used += (size_t)snprintf(
			list + used, sizeof(list) - used, "%s%d", i ? "," : "", g->all[i].pid);
	return tracer_start_command(tracer, w->targets ? some : all, armed_ns);
}

static int visit(const struct bench_opts *opts, struct group *g, struct way *w, unsigned int i)
{
	struct tracer tracer = TRACER_INIT;
	uint64_t armed_ns;
	double warm;
	int rc = start(opts, g, w, &tracer, &armed_ns), stopped;

	if (rc)
		return rc;
	w->armed_ms = armed_ns / 1e6;
	w->bytes = map_bytes(tracer.pid);
	rc = target_batch(&g->all[0], DEPTH, opts->pairs / 4, opts->size, &warm);
	if (!rc)
		rc = target_batch(&g->all[0], DEPTH, opts->pairs, opts->size, &w->target_ns[i]);
	if (!rc)
		rc = target_batch(&g->all[MANY], DEPTH, opts->pairs / 4, opts->size, &warm);
	if (!rc)
		rc = target_batch(
			&g->all[MANY], DEPTH, opts->pairs, opts->size, &w->bystander_ns[i]);
	stopped = tracer_stop(&tracer, NULL, NULL);
	return rc ? rc : stopped;
}

static double least(const double *ns)
{
	double min = ns[0];

	for (unsigned int i = 1; i < VISITS; i++)
		min = ns[i] < min ? ns[i] : min;
	return min;
}

static void print(const struct way *ways, unsigned int count, const struct way *base)
{
	printf("%-28s %12s %8s %12s %8s %10s %10s\n", "", "target ns", "", "bystander ns", "",
		"armed ms", "tables MiB");
	for (const struct way *w = ways; w < ways + count; w++)
		printf("%-28s %12.0f %7.2fx %12.0f %7.2fx %10.0f %10.1f\n", w->name,
			least(w->target_ns), least(w->target_ns) / least(base->target_ns),
			least(w->bystander_ns), least(w->bystander_ns) / least(base->bystander_ns),
			w->armed_ms, w->bytes / 1048576.0);
}

int bench_targets(const struct bench_opts *opts)
{
	static struct way ways[] = {
		{ .name = "1 target, its own link", .targets = 1, .reach = "auto" },
		{ .name = "4 targets, their own links", .targets = 4, .reach = "auto" },
		{ .name = "1 target, a link for all", .targets = 1, .reach = "all" },
		{ .name = "4 targets, a link for all", .targets = 4, .reach = "all" },
		{ .name = "20 targets, a link for all", .targets = 20, .reach = "auto" },
		{ .name = "200 targets, a link for all", .targets = MANY, .reach = "auto" },
		{ .name = "--all (the bystander is in)", .targets = 0, .reach = "all" },
	};
	const unsigned int count = sizeof(ways) / sizeof(ways[0]);
	static struct group group;
	int rc;

	if (!opts->heaptap)
		return 0;
	rc = group_start(&group);
	for (unsigned int i = 0; !rc && i < VISITS; i++)
		for (unsigned int w = 0; !rc && w < count; w++)
			rc = bench_stopping() ? -EINTR : visit(opts, &group, &ways[w], i);
	group_stop(&group);
	if (rc)
		return rc;
	printf("\nA pair of malloc and free at depth %d, least of %d visits; ratios to 1 target, a "
	       "link for all\n",
		DEPTH, VISITS);
	print(ways, count, &ways[2]);
	return 0;
}
