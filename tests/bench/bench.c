// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The cost benchmark of `make bench`: tables of figures and ratios on stdout. It judges nothing;
 * only a benchmark that could not be run fails.
 */
#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "parser.h"
#include "target.h"

#define MAX_BATCHES 64u /* pairs.c keeps them on its stack */

static volatile sig_atomic_t stop_signal;

static void on_stop(int signal)
{
	stop_signal = signal;
}

bool bench_stopping(void)
{
	return stop_signal;
}

int bench_err(int rc, const char *fmt, ...)
{
	int saved = errno; /* for %m */
	va_list args;

	va_start(args, fmt);
	fputs("bench: ", stderr);
	errno = saved;
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	return rc;
}

uint64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

void bench_free(void *ptr_to_ptr)
{
	free(*(void **)ptr_to_ptr);
}

/* ---- the command line ---- */

static const struct section {
	const char *name;
	int (*run)(const struct bench_opts *opts);
} sections[] = {
	{ "pairs", bench_pairs },
	{ "attach", bench_attach },
	{ "tables", bench_tables },
	{ "targets", bench_targets },
	{ "parser", bench_parser },
	{ "symbols", bench_symbols },
	{ "growth", bench_growth },
	{ "auto", bench_auto },
	{ "curve", bench_curve },
};
#define N_SECTIONS (sizeof(sections) / sizeof(sections[0]))

enum {
	OPT_ROUNDS = 1,
	OPT_PAIRS,
	OPT_BATCHES,
	OPT_DEPTHS,
	OPT_SIZE,
	OPT_ATTACHES,
	OPT_HEAPTAP,
	OPT_OTHER,
	OPT_BEST,
	OPT_ONLY,
	OPT_QUICK,
	OPT_HELP
};

static const struct option options[] = {
	{ "rounds", required_argument, NULL, OPT_ROUNDS },
	{ "pairs", required_argument, NULL, OPT_PAIRS },
	{ "batches", required_argument, NULL, OPT_BATCHES },
	{ "depths", required_argument, NULL, OPT_DEPTHS },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "attaches", required_argument, NULL, OPT_ATTACHES },
	{ "heaptap", required_argument, NULL, OPT_HEAPTAP },
	{ "other", required_argument, NULL, OPT_OTHER },
	{ "best", no_argument, NULL, OPT_BEST },
	{ "only", required_argument, NULL, OPT_ONLY },
	{ "quick", no_argument, NULL, OPT_QUICK },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
	"usage: bench [--rounds 30] [--pairs 5000] [--batches 5] [--depths 5,20,50] [--size 64]\n"
	"             [--attaches 10] [--heaptap build/heaptap] [--other HEAPTAP] [--best] "
	"[--quick]\n"
	"             [--only pairs,attach,tables,targets,parser,symbols,growth,auto,curve]\n";

static int parse_number(
	const char *text, unsigned long low, unsigned long high, unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(text, &end, 10);
	if (errno || end == text || *end || *number < low || *number > high)
		return bench_err(-EINVAL, "'%s' is not a number from %lu to %lu", text, low, high);
	return 0;
}

static int parse_unsigned(
	const char *text, unsigned int low, unsigned int high, unsigned int *number)
{
	unsigned long parsed;
	int rc = parse_number(text, low, high, &parsed);

	if (!rc)
		*number = parsed;
	return rc;
}

static int parse_depths(const char *text, struct bench_opts *opts)
{
	cleanup_free char *copy = strdup(text);
	char *save = NULL;
	int rc = 0;

	opts->n_depths = 0;
	for (char *word = strtok_r(copy, ",", &save); word && !rc;
		word = strtok_r(NULL, ",", &save)) {
		if (opts->n_depths == BENCH_MAX_DEPTHS)
			return bench_err(-EINVAL, "at most %u depths", BENCH_MAX_DEPTHS);
		rc = parse_unsigned(word, TARGET_MIN_DEPTH, 1000, &opts->depths[opts->n_depths++]);
	}
	if (!rc && !opts->n_depths)
		rc = bench_err(-EINVAL, "no depth in '%s'", text);
	return rc;
}

/* A bit for each section. */
static int parse_only(const char *text, unsigned int *only)
{
	cleanup_free char *copy = strdup(text);
	char *save = NULL;

	*only = 0;
	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		size_t i = 0;

		while (i < N_SECTIONS && strcmp(sections[i].name, word))
			i++;
		if (i == N_SECTIONS)
			return bench_err(-EINVAL, "no section '%s'", word);
		*only |= 1u << i;
	}
	return 0;
}

static void make_quick(struct bench_opts *opts)
{
	opts->quick = true;
	opts->rounds = 3;
	opts->pairs = 2000;
	opts->attaches = 3;
}

static int parse_option(int option, struct bench_opts *opts, unsigned int *only)
{
	unsigned long size;
	int rc;

	switch (option) {
	case OPT_ROUNDS:
		return parse_unsigned(optarg, 1, 10000, &opts->rounds);
	case OPT_PAIRS:
		return parse_unsigned(optarg, 1, 10000000, &opts->pairs);
	case OPT_BATCHES:
		return parse_unsigned(optarg, 1, MAX_BATCHES, &opts->batches);
	case OPT_DEPTHS:
		return parse_depths(optarg, opts);
	case OPT_SIZE:
		rc = parse_number(optarg, 0, 1ul << 30, &size);
		opts->size = size;
		return rc;
	case OPT_ATTACHES:
		return parse_unsigned(optarg, 1, 10000, &opts->attaches);
	case OPT_HEAPTAP:
		opts->heaptap = optarg;
		return 0;
	case OPT_OTHER:
		opts->other = optarg;
		return 0;
	case OPT_BEST:
		opts->best = true;
		return 0;
	case OPT_ONLY:
		return parse_only(optarg, only);
	case OPT_QUICK: /* parse_options() has seen it */
		return 0;
	case OPT_HELP:
		fputs(usage, stdout);
		exit(0);
	default:
		return -EINVAL;
	}
}

static int parse_options(int argc, char **argv, struct bench_opts *opts, unsigned int *only)
{
	int option, rc = 0;

	/* First, wherever it stands: it changes defaults, not what was asked for. */
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--quick"))
			make_quick(opts);
	}
	while (!rc && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		rc = parse_option(option, opts, only);
	if (!rc && optind < argc)
		rc = bench_err(-EINVAL, "unexpected '%s'", argv[optind]);
	return rc;
}

/* ---- the run ---- */

static void print_machine(void)
{
	struct utsname name;
	double load = 0;

	uname(&name);
	if (getloadavg(&load, 1) != 1)
		load = 0;
	printf("heaptap bench: Linux %s %s, %ld CPUs, load %.2f\n", name.release, name.machine,
		sysconf(_SC_NPROCESSORS_ONLN), load);
}

static int run_sections(const struct bench_opts *opts, unsigned int only)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < N_SECTIONS; i++) {
		if (!(only & 1u << i))
			continue;
		putchar('\n');
		rc = sections[i].run(opts);
		fflush(stdout);
	}
	return rc;
}

/* libbpf's news matter only when something fails, and then its warnings are enough. */
static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, args) : 0;
}

int main(int argc, char **argv)
{
	struct bench_opts opts = { .rounds = 30,
		.batches = 5,
		.pairs = 5000,
		.attaches = 10,
		.n_depths = 3,
		.depths = { 5, 20, 50 },
		.size = 64,
		.heaptap = "build/heaptap" };
	struct sigaction on_signal = { .sa_handler = on_stop };
	unsigned int only = (1u << N_SECTIONS) - 1;
	int rc;

	parser_child(argv);
	if (argc == 3 && !strcmp(argv[1], TARGET_ARG)) {
		rc = target_main(atoi(argv[2]));
		return rc ? 1 : 0;
	}
	if (parse_options(argc, argv, &opts, &only)) {
		fputs(usage, stderr);
		return 2;
	}
	if (access(opts.heaptap, X_OK))
		opts.heaptap = NULL;
	sigaction(SIGINT, &on_signal, NULL);
	sigaction(SIGTERM, &on_signal, NULL);
	libbpf_set_print(print_libbpf);
	print_machine();
	rc = run_sections(&opts, only);
	if (stop_signal)
		return 128 + stop_signal;
	return rc ? 1 : 0;
}
