// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The choice of the live table and of the counters: BPF hashes and per-CPU arrays against tables of
 * ours in mmapable arrays, each as a BPF program sees it, and as the loader reads it.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "stats.h"
#include "tables.h"
#include "tables.skel.h"

#define MAX_CPUS     8u
#define MAX_SHARDS   8u
#define BLOCKS	     8u	 /* turns that the candidates take */
#define BLOCK_RUNS   40u /* program runs of a turn, by each CPU */
#define WARM_RUNS    8u	 /* of them not measured */
#define READS	     10u
#define BATCH	     65536u
#define SITES_HOT    64u
#define SITES_MANY   131072u
#define MAX_VARIANTS 4u

/* ---- running the programs ---- */

/* Something to compare. The first of a list is the bare driver, whose cost is taken off the others.
 */
struct variant {
	const char *name;
	const struct bpf_program *prog;
	const struct bpf_map *map;
	uint64_t first; /* number of the next operation */
	uint64_t lost;	/* inserts without room, so far */
	double *ns;	/* per operation, one value a run */
	size_t runs;
};

/* One CPU's part of a turn. */
struct turn {
	pthread_t thread;
	int cpu;
	int prog_fd;
	struct tables_args args;
	double ns[BLOCK_RUNS];
	int rc;
};

static int run_once(int prog_fd, const struct tables_args *args, double *ns)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(*args));
	int rc = bpf_prog_test_run_opts(prog_fd, &opts);

	if (rc)
		return bench_err(rc, "tables: test run: %s", strerror(-rc));
	*ns = (double)opts.retval / TABLES_CHUNK;
	return bench_stopping() ? -EINTR : 0;
}

static void *take_turn(void *arg)
{
	struct turn *turn = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(turn->cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	for (unsigned int i = 0; !turn->rc && i < BLOCK_RUNS; i++) {
		turn->rc = run_once(turn->prog_fd, &turn->args, &turn->ns[i]);
		turn->args.first += TABLES_CHUNK;
	}
	return NULL;
}

/* A turn of one variant on the first `cpus` CPUs at once, whose results it appends. */
static int run_block(struct variant *variant, uint64_t live, unsigned int cpus)
{
	struct turn turns[MAX_CPUS] = {};
	unsigned int started = 0;
	int rc = 0;

	for (; !rc && started < cpus; started += !rc) {
		struct turn *turn = &turns[started];

		turn->cpu = started;
		turn->prog_fd = bpf_program__fd(variant->prog);
		turn->args.first = variant->first + ((uint64_t)started << 40);
		turn->args.live = live;
		rc = -pthread_create(&turn->thread, NULL, take_turn, turn);
	}
	for (unsigned int cpu = 0; cpu < started; cpu++) {
		pthread_join(turns[cpu].thread, NULL);
		rc = rc ? rc : turns[cpu].rc;
		for (unsigned int i = WARM_RUNS; i < BLOCK_RUNS; i++)
			variant->ns[variant->runs++] = turns[cpu].ns[i];
	}
	variant->first += BLOCK_RUNS * TABLES_CHUNK;
	return rc;
}

/* All variants by turns. */
static int run_variants(
	struct tables *tables, struct variant *variants, size_t n, uint64_t live, unsigned int cpus)
{
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		free(variants[i].ns);
		variants[i].runs = 0;
		variants[i].ns = calloc(BLOCKS * (BLOCK_RUNS - WARM_RUNS) * cpus, sizeof(double));
		if (!variants[i].ns)
			return -ENOMEM;
	}
	for (unsigned int block = 0; !rc && block < BLOCKS; block++) {
		for (size_t i = 0; !rc && i < n; i++) {
			uint64_t lost = tables->bss->lost;

			rc = run_block(&variants[i], live, cpus);
			variants[i].lost += tables->bss->lost - lost;
		}
	}
	return rc;
}

static void free_variants(struct variant *variants, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(variants[i].ns);
}

/* What a map occupies, as the kernel accounts for it. */
static double map_mib(const struct bpf_map *map)
{
	char path[64], line[128];
	double mib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", bpf_map__fd(map));
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		unsigned long bytes;

		if (sscanf(line, "memlock: %lu", &bytes) == 1)
			mib = bytes / 1048576.0;
	}
	if (file)
		fclose(file);
	return mib;
}

/* The driver's share is taken off; the ratio is to the last variant, which is ours. */
static void print_variants(const char *label, const struct variant *variants, size_t n)
{
	double driver = stats_median(variants[0].ns, variants[0].runs);
	double ours = stats_median(variants[n - 1].ns, variants[n - 1].runs) - driver;

	for (size_t i = 1; i < n; i++) {
		const struct variant *variant = &variants[i];
		double median = stats_median(variant->ns, variant->runs) - driver;

		printf("%-16s %-18s %10.1f %10.1f %8.2f %9.1f %8lu\n", label, variant->name, median,
			stats_min(variant->ns, variant->runs) - driver, median / ours,
			map_mib(variant->map), variant->lost);
	}
	printf("%-16s %-18s %10.1f\n", label, variants[0].name, driver);
	fflush(stdout);
}

static void print_variants_head(const char *label)
{
	printf("%-16s %-18s %10s %10s %8s %9s %8s\n", label, "kept in", "median ns", "min ns",
		"ratio", "MiB", "lost");
}

/* ---- maps and sizes ---- */

struct sizes {
	uint32_t slots; /* of the live tables, a power of two; at least TABLES_WAYS */
	uint32_t sites; /* of the counters */
	uint32_t shards;
};

static unsigned int count_cpus(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 1 ? 1 : cpus > (long)MAX_CPUS ? MAX_CPUS : (unsigned int)cpus;
}

static uint32_t power_above(uint32_t value)
{
	uint32_t power = 1;

	while (power < value)
		power *= 2;
	return power;
}

static int load(const struct sizes *sizes, struct tables **tables)
{
	struct tables *skel = tables__open();
	int rc;

	if (!skel)
		return bench_err(-errno, "tables: open: %m");
	bpf_map__set_max_entries(skel->maps.live_prealloc, sizes->slots);
	bpf_map__set_max_entries(skel->maps.live_dynamic, sizes->slots);
	bpf_map__set_max_entries(skel->maps.live_table, sizes->slots / TABLES_WAYS);
	bpf_map__set_max_entries(skel->maps.count_hash, sizes->sites);
	bpf_map__set_max_entries(skel->maps.count_percpu, sizes->sites);
	bpf_map__set_max_entries(skel->maps.count_sharded, sizes->sites * sizes->shards);
	skel->rodata->bucket_mask = sizes->slots / TABLES_WAYS - 1;
	skel->rodata->shard_mask = sizes->shards - 1;
	skel->rodata->shard_sites = sizes->sites;
	rc = tables__load(skel);
	if (rc) {
		tables__destroy(skel);
		return bench_err(rc, "tables: load: %s", strerror(-rc));
	}
	*tables = skel;
	return 0;
}

/* ---- reading ---- */

/* What a report needs at least of each live block. */
struct sums {
	uint64_t entries;
	uint64_t bytes;
};

static struct sums scan_table(const struct tables_bucket *buckets, size_t n)
{
	struct sums sums = {};

	for (size_t i = 0; i < n; i++) {
		for (size_t way = 0; way < TABLES_WAYS; way++) {
			uint64_t live = (buckets[i].key[way] & 7) == TABLES_KEY_LIVE;

			sums.entries += live;
			sums.bytes += -live & buckets[i].value[way].size;
		}
	}
	return sums;
}

struct batch {
	uint64_t keys[BATCH];
	struct tables_value values[BATCH];
};

static int read_hash(const struct bpf_map *map, struct batch *batch, struct sums *sums)
{
	uint32_t position = 0;
	void *in = NULL;
	int rc;

	*sums = (struct sums){};
	do {
		uint32_t count = BATCH;

		rc = bpf_map_lookup_batch(
			bpf_map__fd(map), in, &position, batch->keys, batch->values, &count, NULL);
		if (rc && rc != -ENOENT)
			return bench_err(rc, "tables: batch lookup: %s", strerror(-rc));
		for (uint32_t i = 0; i < count; i++)
			sums->bytes += batch->values[i].size;
		sums->entries += count;
		in = &position;
	} while (!rc); /* -ENOENT: that was the last batch */
	return 0;
}

static void print_reading(const char *what, const double *ms, const struct sums *sums, double ours)
{
	printf("%-28s %10.2f %10.2f %8.1f %10lu %12lu\n", what, stats_median(ms, READS),
		stats_min(ms, READS), stats_median(ms, READS) / ours, sums->entries, sums->bytes);
}

static double ms_since(uint64_t start_ns)
{
	return (bench_now_ns() - start_ns) / 1e6;
}

/* Both hold the same entries: equal sums show that both ways read all of them. */
static int compare_reading(struct tables *tables, uint32_t slots)
{
	cleanup_free struct batch *batch = malloc(sizeof(*batch));
	size_t size = (size_t)slots / TABLES_WAYS * sizeof(struct tables_bucket);
	struct tables_bucket *buckets = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE,
		bpf_map__fd(tables->maps.live_table), 0);
	double scan_ms[READS], batch_ms[READS];
	struct sums scanned = {}, read = {};
	int rc = 0;

	if (buckets == MAP_FAILED || !batch)
		return bench_err(-errno, "tables: mmap: %m");
	for (unsigned int i = 0; !rc && i < READS; i++) {
		uint64_t start_ns = bench_now_ns();

		scanned = scan_table(buckets, slots / TABLES_WAYS);
		scan_ms[i] = ms_since(start_ns);
		start_ns = bench_now_ns();
		rc = read_hash(tables->maps.live_prealloc, batch, &read);
		batch_ms[i] = ms_since(start_ns);
	}
	munmap(buckets, size);
	if (rc)
		return rc;
	printf("\nreading: ms for all of the live table, %u slots\n", slots);
	printf("%-28s %10s %10s %8s %10s %12s\n", "", "median ms", "min ms", "ratio", "entries",
		"bytes");
	print_reading("hash, bpf_map_lookup_batch", batch_ms, &read, stats_median(scan_ms, READS));
	print_reading("table, scan by mmap", scan_ms, &scanned, stats_median(scan_ms, READS));
	return 0;
}

/* ---- the live table ---- */

static int fill(struct tables *tables, struct variant *variant, uint64_t live)
{
	uint64_t lost = tables->bss->lost;
	struct tables_args args = {};
	double ns;
	int rc = 0;

	/* Rounded up to whole runs: a few more than asked for only when there are next to none. */
	for (; !rc && args.first < live; args.first += TABLES_CHUNK)
		rc = run_once(bpf_program__fd(variant->prog), &args, &ns);
	variant->first = args.first;
	variant->lost = tables->bss->lost - lost;
	return rc;
}

static int compare_live(uint64_t wanted, bool read)
{
	uint64_t live = (wanted + TABLES_CHUNK - 1) / TABLES_CHUNK * TABLES_CHUNK;
	struct sizes sizes = { .slots = power_above(2 * live), .sites = 1, .shards = 1 };
	struct tables *tables = NULL;
	char label[32];
	int rc = load(&sizes, &tables);

	if (rc)
		return rc;
	struct variant variants[MAX_VARIANTS] = {
		{ .name = "(driver)", .prog = tables->progs.driver_live_run },
		{ .name = "hash, preallocated",
			.prog = tables->progs.live_prealloc_run,
			.map = tables->maps.live_prealloc },
		{ .name = "hash, not",
			.prog = tables->progs.live_dynamic_run,
			.map = tables->maps.live_dynamic },
		{ .name = "table",
			.prog = tables->progs.live_table_run,
			.map = tables->maps.live_table },
	};

	for (size_t i = 1; !rc && i < MAX_VARIANTS; i++)
		rc = fill(tables, &variants[i], live);
	if (!rc)
		rc = run_variants(tables, variants, MAX_VARIANTS, live, 1);
	if (!rc) {
		snprintf(label, sizeof(label), "%lu/%u", live, sizes.slots);
		print_variants(label, variants, MAX_VARIANTS);
	}
	if (!rc && read)
		rc = compare_reading(tables, sizes.slots);
	free_variants(variants, MAX_VARIANTS);
	tables__destroy(tables);
	return rc;
}

/* ---- the counters ---- */

/* A site is counted only where it has an entry already, as at every allocation but its first. */
static int fill_counters(const struct bpf_map *map, uint32_t sites)
{
	struct tables_counters none = {};
	int rc = 0;

	for (uint32_t site = 0; !rc && site < sites; site++)
		rc = bpf_map_update_elem(bpf_map__fd(map), &site, &none, BPF_ANY);
	return rc;
}

static int compare_counters(uint32_t sites)
{
	unsigned int cpus = count_cpus();
	struct sizes sizes = { .slots = TABLES_WAYS, .sites = sites, .shards = power_above(cpus) };
	struct tables *tables = NULL;
	int rc = load(&sizes, &tables);

	if (rc)
		return rc;
	struct variant variants[MAX_VARIANTS] = {
		{ .name = "(driver)", .prog = tables->progs.driver_count_run },
		{ .name = "hash, atomic",
			.prog = tables->progs.count_hash_run,
			.map = tables->maps.count_hash },
		{ .name = "per-CPU array",
			.prog = tables->progs.count_percpu_run,
			.map = tables->maps.count_percpu },
		{ .name = "shards, atomic",
			.prog = tables->progs.count_sharded_run,
			.map = tables->maps.count_sharded },
	};

	rc = fill_counters(tables->maps.count_hash, sites);
	for (unsigned int n = 1; !rc && n <= cpus; n += cpus > 1 ? cpus - 1 : 1) {
		char label[32];

		rc = run_variants(tables, variants, MAX_VARIANTS, sites, n);
		if (rc)
			break;
		snprintf(label, sizeof(label), "%u/%u", sites, n);
		print_variants(label, variants, MAX_VARIANTS);
	}
	free_variants(variants, MAX_VARIANTS);
	tables__destroy(tables);
	return rc;
}

int bench_tables(const struct bench_opts *opts)
{
	int rc;

	printf("live table: ns per delete + insert, 8-byte random keys, 16-byte values, the driver "
	       "taken off\n\n");
	print_variants_head("live/slots");
	rc = compare_live(1000, false);
	if (!rc)
		rc = compare_live(100000, opts->quick);
	if (!rc && !opts->quick)
		rc = compare_live(1000000, true);
	if (rc)
		return rc;
	printf("\ncounters: ns for the four of a random site, the driver taken off; up to %u "
	       "shards\n\n",
		MAX_SHARDS);
	print_variants_head("sites/CPUs");
	rc = compare_counters(SITES_HOT);
	if (!rc)
		rc = compare_counters(SITES_MANY);
	return rc;
}
