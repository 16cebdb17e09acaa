// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What growth mode costs: a page fault and a system call, of the traced process and of a bystander; and two
 * programs, by pairs of ABBA, with as many pairs of AAAA beside them that say what the machine makes of
 * nothing. CPU time throughout: the machine has other users, and all that the tracepoints cost is spent in
 * whoever hits them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "stats.h"
#include "tracer.h"

#define TOUCH_PAGES 8192u
#define SYSCALLS    200000u

/* A child that does a piece of work for each line, and answers with a line. */
struct worker {
	pid_t pid;
	FILE *in, *out;
};

static uint64_t thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* ns of CPU time of all threads of a process; 0: not to be had. */
static uint64_t process_ns(pid_t pid)
{
	clockid_t clock;
	struct timespec ts;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		return 0;
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

static void work(FILE *in, FILE *out)
{
	char line[16];

	while (fgets(line, sizeof(line), in)) {
		fprintf(out, "%.3f\n", line[0] == 'f' ? touch_ns() : syscall_ns());
		fflush(out);
	}
	_exit(0);
}

/* argv NULL: work() of ours. */
static int worker_start(struct worker *w, const char *const argv[])
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return bench_err(-errno, "pipe: %m");
	w->pid = fork();
	if (w->pid < 0)
		return bench_err(-errno, "fork: %m");
	if (!w->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGINT, SIG_IGN);
		if (!argv) {
			close(in[1]);
			work(fdopen(in[0], "r"), fdopen(out[1], "w"));
		}
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	w->in = fdopen(in[1], "w");
	w->out = fdopen(out[0], "r");
	return w->in && w->out ? 0 : -ENOMEM;
}

/* A piece of work; what it answers, as a number. */
static int worker_ask(struct worker *w, const char *what, double *answer)
{
	char line[64];

	fprintf(w->in, "%s\n", what);
	fflush(w->in);
	if (!fgets(line, sizeof(line), w->out))
		return bench_err(-EIO, "the worker has ended");
	*answer = atof(line);
	return bench_stopping() ? -EINTR : 0;
}

static void worker_stop(struct worker *w)
{
	if (w->in)
		fclose(w->in);
	if (w->out)
		fclose(w->out);
	if (w->pid > 0) {
		kill(w->pid, SIGKILL);
		waitpid(w->pid, NULL, 0);
	}
	*w = (struct worker){ 0 };
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
	int rc = worker_start(&worker, NULL);

	if (!rc)
		rc = worker_start(&idle, NULL);
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

/* ---- programs ---- */

static char socket_path[64];

static int run_redis(struct worker *w)
{
	const char *const flush[] = { "/usr/bin/redis-cli", "-s", socket_path, "flushall", NULL };
	const char *const set[] = { "/usr/bin/redis-benchmark", "-s", socket_path, "-t", "set",
		"-d", "1024", "-n", "20000", "-r", "1000000", "-q", NULL };
	char out[256];
	int rc = tracer_run(set, out, sizeof(out), NULL);

	(void)w;
	/* Each run fills the memory anew. */
	return rc ? rc : tracer_run(flush, out, sizeof(out), NULL);
}

static int run_python(struct worker *w)
{
	double answer;

	return worker_ask(w, "go", &answer);
}

static const char *const redis_argv[] = { "redis-server", "--port", "0", "--unixsocket",
	socket_path, "--save", "", "--daemonize", "no", "--logfile", "/dev/null", NULL };
static const char *const python_argv[] = { "python3", "-c",
	"import json, sys\n"
	"for line in sys.stdin:\n"
	"    for n in range(40):\n"
	"        kept = [json.loads(json.dumps({'k%d' % j: [i, j, 'x' * 50] for j in range(50)}))"
	" for i in range(40)]\n"
	"    print(1, flush=True)\n",
	NULL };

static const struct program {
	const char *name;
	const char *binary;
	const char *const *argv;
	int (*run)(struct worker *w);
	bool daemon; /* answers elsewhere than on its output */
} redis = { "redis-benchmark SET 1 KiB", "/usr/bin/redis-benchmark", redis_argv, run_redis, true },
  python = { "Python, JSON", NULL, python_argv, run_python, false };

/* One visit: CPU ns of the program for a piece of work. */
static int visit(
	const char *heaptap, const struct program *p, struct worker *w, bool traced, double *ns)
{
	struct tracer tracer = TRACER_INIT;
	uint64_t start;
	int rc = traced ? tracer_start(&tracer, heaptap, w->pid, "growth", NULL, NULL) : 0, stopped;

	start = process_ns(w->pid);
	if (!rc)
		rc = p->run(w);
	*ns = (double)(process_ns(w->pid) - start);
	stopped = tracer_stop(&tracer, NULL, NULL);
	if (!rc && bench_stopping())
		rc = -EINTR;
	return rc ? rc : stopped;
}

/* ABBA, or AAAA with the same places compared: (B1 + B2) / (A1 + A2). */
static int pair(
	const char *heaptap, const struct program *p, struct worker *w, bool traced, double *ratio)
{
	double ns[4];
	int rc = 0;

	for (int i = 0; !rc && i < 4; i++)
		rc = visit(heaptap, p, w, traced && (i == 1 || i == 2), &ns[i]);
	*ratio = (ns[1] + ns[2]) / (ns[0] + ns[3]);
	return rc;
}

static int wait_redis(void)
{
	for (int i = 0; i < 100; i++) {
		if (!access(socket_path, F_OK))
			return 0;
		usleep(50000);
	}
	return bench_err(-ETIMEDOUT, "redis-server does not listen");
}

static int bench_program(const struct bench_opts *opts, const struct program *p)
{
	cleanup_free double *ratios = calloc(opts->rounds, sizeof(*ratios));
	cleanup_free double *nothing = calloc(opts->rounds, sizeof(*nothing));
	struct worker w = { 0 };
	struct stats_interval with, without;
	int rc;

	if (p->binary && access(p->binary, X_OK)) {
		printf("%s: skipped, it is not there\n", p->name);
		return 0;
	}
	rc = ratios && nothing ? worker_start(&w, p->argv) : -ENOMEM;
	if (!rc && p->daemon)
		rc = wait_redis();
	if (!rc)
		rc = p->run(&w);
	for (unsigned int i = 0; !rc && i < opts->rounds; i++) {
		rc = pair(opts->heaptap, p, &w, true, &ratios[i]);
		if (!rc)
			rc = pair(opts->heaptap, p, &w, false, &nothing[i]);
	}
	worker_stop(&w);
	if (rc)
		return rc;
	with = stats_median_interval(ratios, opts->rounds);
	without = stats_median_interval(nothing, opts->rounds);
	printf("%-30s %.4f [%.4f, %.4f]   A/A %.4f [%.4f, %.4f]\n", p->name,
		stats_median(ratios, opts->rounds), with.low, with.high,
		stats_median(nothing, opts->rounds), without.low, without.high);
	return 0;
}

int bench_growth(const struct bench_opts *opts)
{
	int rc;

	if (!opts->heaptap) {
		puts("growth: skipped, there is no heaptap");
		return 0;
	}
	printf("growth mode: %u rounds\n\n", opts->rounds);
	snprintf(socket_path, sizeof(socket_path), "/tmp/heaptap-bench-%d.sock", getpid());
	rc = bench_micro(opts);
	if (!rc) {
		printf("\nCPU time of programs, traced / not traced, medians of %u pairs\n",
			opts->rounds);
		fflush(stdout);
		rc = bench_program(opts, &redis);
	}
	fflush(stdout);
	if (!rc)
		rc = bench_program(opts, &python);
	unlink(socket_path);
	return rc;
}
