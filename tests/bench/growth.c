// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What growth mode costs: a page fault and a system call, of the traced process and of a bystander; and programs
 * (slowdown.h). CPU time throughout: the machine has other users, and all that the tracepoints cost is spent in whoever
 * hits them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "slowdown.h"
#include "stats.h"
#include "tracer.h"

#define TOUCH_PAGES 8192u
#define SYSCALLS    200000u
#define VISIT_S	    0.3

static uint64_t thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static double touch_ns(void)
{
	size_t page = sysconf(_SC_PAGESIZE), bytes = TOUCH_PAGES * page;
	volatile char *at =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t start = thread_ns(), end;

	for (size_t i = 0; i < bytes; i += page)
		at[i] = 1;
	end = thread_ns();
	munmap((void *)at, bytes);
	return (double)(end - start) / TOUCH_PAGES;
}

static double syscall_ns(void)
{
	uint64_t start = thread_ns();

	for (unsigned int i = 0; i < SYSCALLS; i++)
		syscall(SYS_getppid);
	return (double)(thread_ns() - start) / SYSCALLS;
}

/* What the worker is asked for by a letter. */
static double answer(char what)
{
	return what == 'f' ? touch_ns() : syscall_ns();
}

/* ---- a fault, a system call ---- */

enum who { NOBODY, NOBODY_AGAIN, ITSELF, ANOTHER, ANOTHER_MAPPINGS, WHOS };
static const char *const who_names[WHOS] = { "not traced", "not traced, again (A/A)", "traced",
	"bystander: another is traced", "the same, with --domain mmap" };

struct micro {
	double *fault[WHOS];
	double *call[WHOS];
};

static int measure_who(const char *heaptap, struct worker *worker, pid_t idle, enum who who,
	double *fault, double *call)
{
	struct tracer tracer = TRACER_INIT;
	double warm;
	int rc = 0, stopped;

	if (who >= ITSELF)
		rc = tracer_start_domain(&tracer, heaptap, who == ITSELF ? worker->pid : idle,
			"growth", who == ANOTHER_MAPPINGS ? "mmap" : NULL, NULL);
	if (!rc)
		rc = worker_ask(worker, "f", &warm);
	if (!rc)
		rc = worker_ask(worker, "f", fault);
	if (!rc)
		rc = worker_ask(worker, "s", call);
	stopped = tracer_stop(&tracer, NULL, NULL);
	return rc ? rc : stopped;
}

/* The median of the ratios to the same round's untraced figure. */
static void print_ratio(const double *of, const double *to, size_t n)
{
	cleanup_free double *ratios = malloc(n * sizeof(*ratios));
	struct stats_interval interval;

	for (size_t i = 0; ratios && i < n; i++)
		ratios[i] = of[i] / to[i];
	interval = stats_median_interval(ratios, ratios ? n : 0);
	printf(" %8.1f  %.3f [%.3f, %.3f]", stats_median(of, n),
		stats_median(ratios, ratios ? n : 0), interval.low, interval.high);
}

static void print_micro(const struct micro *m, size_t n)
{
	printf("%-30s %8s  %-23s %8s  %s\n", "CPU ns, medians", "fault", "ratio", "getppid",
		"ratio");
	for (int who = 0; who < WHOS; who++) {
		printf("%-30s", who_names[who]);
		print_ratio(m->fault[who], m->fault[NOBODY], n);
		print_ratio(m->call[who], m->call[NOBODY], n);
		putchar('\n');
	}
}

static int bench_micro(const struct bench_opts *opts)
{
	struct worker worker = { 0 }, idle = { 0 };
	struct micro m = { 0 };
	int rc = worker_start(&worker, NULL, answer);

	if (!rc)
		rc = worker_start(&idle, NULL, answer);
	for (int who = 0; who < WHOS; who++) {
		m.fault[who] = calloc(opts->rounds, sizeof(double));
		m.call[who] = calloc(opts->rounds, sizeof(double));
		if (!m.fault[who] || !m.call[who])
			rc = -ENOMEM;
	}
	for (unsigned int i = 0; !rc && i < opts->rounds; i++)
		for (int who = 0; !rc && who < WHOS; who++)
			rc = measure_who(opts->heaptap, &worker, idle.pid, who, &m.fault[who][i],
				&m.call[who][i]);
	if (!rc)
		print_micro(&m, opts->rounds);
	worker_stop(&worker);
	worker_stop(&idle);
	for (int who = 0; who < WHOS; who++) {
		free(m.fault[who]);
		free(m.call[who]);
	}
	return rc;
}

int bench_growth(const struct bench_opts *opts)
{
	int rc;

	if (!opts->heaptap) {
		puts("growth: skipped, there is no heaptap");
		return 0;
	}
	printf("growth mode: %u rounds\n\n", opts->rounds);
	rc = bench_micro(opts);
	if (!rc)
		rc = slowdown_programs(opts, "growth", VISIT_S, PROGRAM_REDIS | PROGRAM_PYTHON);
	return rc;
}
