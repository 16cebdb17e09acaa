// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "slowdown.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "levels.h"
#include "stats.h"
#include "tracer.h"

/* ---- workers ---- */

static void work(FILE *in, FILE *out, double (*answer)(char what))
{
	char line[16];

	while (fgets(line, sizeof(line), in)) {
		fprintf(out, "%.3f\n", answer(line[0]));
		fflush(out);
	}
	_exit(0);
}

int worker_start(struct worker *w, const char *const argv[], double (*answer)(char what))
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
			work(fdopen(in[0], "r"), fdopen(out[1], "w"), answer);
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

int worker_ask(struct worker *w, const char *what, double *answer)
{
	char line[64];

	fprintf(w->in, "%s\n", what);
	fflush(w->in);
	if (!fgets(line, sizeof(line), w->out))
		return bench_err(-EIO, "the worker has ended");
	*answer = atof(line);
	return bench_stopping() ? -EINTR : 0;
}

void worker_stop(struct worker *w)
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

/* ns of CPU time of all threads of a process; 0: not to be had. */
static uint64_t process_ns(pid_t pid)
{
	clockid_t clock;
	struct timespec ts;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		return 0;
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
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

static int run_worker(struct worker *w)
{
	double answer;

	return worker_ask(w, "go", &answer);
}

static double answer_cxx(char what)
{
	(void)what;
	return levels_churn(20000);
}

static double answer_loop(char what)
{
	(void)what;
	for (int i = 0; i < 5000000; i++) {
		void *block = malloc(64);

		__asm__ volatile("" : "+r"(block) : : "memory");
		free(block);
	}
	return 0;
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
	enum program_set bit;
	const char *name;
	const char *binary;	 /* skipped without it */
	const char *const *argv; /* NULL: our own, with `answer` */
	double (*answer)(char what);
	int (*run)(struct worker *w);
	bool daemon; /* answers elsewhere than on its output */
} programs[] = {
	{ PROGRAM_REDIS, "redis-benchmark SET 1 KiB", "/usr/bin/redis-benchmark", redis_argv, NULL,
		run_redis, true },
	{ PROGRAM_PYTHON, "Python, JSON", NULL, python_argv, NULL, run_worker, false },
	{ PROGRAM_CXX, "C++, map and string", NULL, NULL, answer_cxx, run_worker, false },
	{ PROGRAM_LOOP, "malloc and free alone", NULL, NULL, answer_loop, run_worker, false },
};

/* ---- pairs ---- */

struct visits {
	const char *heaptap, *mode;
	const struct program *program;
	struct worker worker;
	unsigned int runs; /* a visit */
};

static int run(struct visits *v)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < v->runs; i++)
		rc = v->program->run(&v->worker);
	if (!rc && bench_stopping())
		rc = -EINTR;
	return rc;
}

/* One visit: CPU ns of the program for its work. */
static int visit(struct visits *v, bool traced, double *ns)
{
	struct tracer tracer = TRACER_INIT;
	uint64_t start;
	int rc = 0, stopped;

	if (traced)
		rc = tracer_start(&tracer, v->heaptap, v->worker.pid, v->mode, NULL, NULL);
	start = process_ns(v->worker.pid);
	if (!rc)
		rc = run(v);
	*ns = (double)(process_ns(v->worker.pid) - start);
	stopped = tracer_stop(&tracer, NULL, NULL);
	return rc ? rc : stopped;
}

/* ABBA, or AAAA with the same places compared: (B1 + B2) / (A1 + A2). */
static int pair(struct visits *v, bool traced, double *ratio)
{
	double ns[4];
	int rc = 0;

	for (int i = 0; !rc && i < 4; i++)
		rc = visit(v, traced && (i == 1 || i == 2), &ns[i]);
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

/* How much work a visit is; the first run, which warms up, does not count. */
static int size_visit(struct visits *v, double visit_s)
{
	uint64_t start;
	int rc;

	v->runs = 1;
	rc = run(v);
	start = process_ns(v->worker.pid);
	if (!rc)
		rc = run(v);
	v->runs = (unsigned int)(visit_s * 1e9 / (process_ns(v->worker.pid) - start + 1)) + 1;
	return rc;
}

static int measure(const struct bench_opts *opts, struct visits *v)
{
	cleanup_free double *ratios = calloc(opts->rounds, sizeof(*ratios));
	cleanup_free double *nothing = calloc(opts->rounds, sizeof(*nothing));
	struct stats_interval with, without;
	int rc = ratios && nothing ? 0 : -ENOMEM;

	for (unsigned int i = 0; !rc && i < opts->rounds; i++) {
		rc = pair(v, true, &ratios[i]);
		if (!rc)
			rc = pair(v, false, &nothing[i]);
	}
	if (rc)
		return rc;
	with = stats_median_interval(ratios, opts->rounds);
	without = stats_median_interval(nothing, opts->rounds);
	printf("%-30s %.4f [%.4f, %.4f]   A/A %.4f [%.4f, %.4f]\n", v->program->name,
		stats_median(ratios, opts->rounds), with.low, with.high,
		stats_median(nothing, opts->rounds), without.low, without.high);
	fflush(stdout);
	return 0;
}

static int bench_program(const struct bench_opts *opts, const char *mode, double visit_s,
	const struct program *program)
{
	struct visits v = { .heaptap = opts->heaptap, .mode = mode, .program = program };
	int rc;

	if (program->binary && access(program->binary, X_OK)) {
		printf("%s: skipped, it is not there\n", program->name);
		return 0;
	}
	rc = worker_start(&v.worker, program->argv, program->answer);
	if (!rc && program->daemon)
		rc = wait_redis();
	if (!rc)
		rc = size_visit(&v, visit_s);
	if (!rc)
		rc = measure(opts, &v);
	worker_stop(&v.worker);
	return rc;
}

int slowdown_programs(
	const struct bench_opts *opts, const char *mode, double visit_s, enum program_set set)
{
	int rc = 0;

	snprintf(socket_path, sizeof(socket_path), "/tmp/heaptap-bench-%d.sock", getpid());
	printf("\nCPU time of programs in mode %s / not traced, medians of %u pairs, visits of "
	       "%.1f "
	       "s\n",
		mode, opts->rounds, visit_s);
	fflush(stdout);
	for (size_t i = 0; !rc && i < sizeof(programs) / sizeof(programs[0]); i++)
		if (programs[i].bit & set)
			rc = bench_program(opts, mode, visit_s, &programs[i]);
	unlink(socket_path);
	return rc;
}
