// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long a report of 10,000 stacks takes: the first, whose names have to be looked up, and those
 * after. The program is written by stacks.py and compiled with -O2 -g.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "tracer.h"

#define REPORTS	   4
#define LIMIT_MS   120000
#define POLL_US	   500
#define FRAMES_KEY "\"frames\":["
#define LEVEL_KEY  "\"function\":"
#define INLINE_KEY "\"inlined\":true"
#define UNKNOWN	   "\"function\":null"

struct program {
	pid_t pid;
	int in, out;
};

static int start_program(struct program *p)
{
	char path[PATH_MAX];
	int in[2], out[2];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 16);

	if (n <= 0)
		return -errno;
	path[n] = 0;
	strcpy(strrchr(path, '/'), "/stacks");
	if (pipe(in) || pipe(out))
		return -errno;
	p->pid = fork();
	if (!p->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[1]);
		execl(path, path, NULL);
		perror(path);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	p->in = in[1];
	p->out = out[0];
	return 0;
}

static void stop_program(struct program *p)
{
	if (p->pid <= 0)
		return;
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	close(p->in);
	close(p->out);
}

static int wait_line(const struct program *p)
{
	struct pollfd fd = { .fd = p->out, .events = POLLIN };
	char line[64];

	if (poll(&fd, 1, LIMIT_MS) != 1 || read(p->out, line, sizeof(line)) <= 0)
		return bench_err(-EIO, "the program with the stacks says nothing");
	return 0;
}

/* From SIGUSR1 until the report's last byte is there. */
static int time_report(const struct tracer *t, off_t *end, double *ms)
{
	uint64_t start_ns = bench_now_ns();
	struct stat st;
	char last = 0;

	kill(t->pid, SIGUSR1);
	while (bench_now_ns() - start_ns < LIMIT_MS * 1000000ull && !bench_stopping()) {
		if (!fstat(t->out_fd, &st) && st.st_size > *end &&
			pread(t->out_fd, &last, 1, st.st_size - 1) == 1 && last == '\n') {
			*ms = (bench_now_ns() - start_ns) / 1e6;
			*end = st.st_size;
			return 0;
		}
		usleep(POLL_US);
	}
	return bench_err(-ETIMEDOUT, "no report in %d s", LIMIT_MS / 1000);
}

static size_t count(const char *text, const char *key)
{
	size_t n = 0;

	while ((text = strstr(text, key))) {
		text += strlen(key);
		n++;
	}
	return n;
}

static void print_contents(const struct tracer *t, off_t from, off_t end)
{
	cleanup_free char *text = calloc(1, (size_t)(end - from) + 1);

	if (!text || pread(t->out_fd, text, (size_t)(end - from), from) <= 0)
		return;
	printf("stacks %zu, frames %zu, of them inlined %zu, without a name %zu, bytes of JSON "
	       "%zu\n",
		count(text, FRAMES_KEY), count(text, LEVEL_KEY), count(text, INLINE_KEY),
		count(text, UNKNOWN), strlen(text));
}

static int measure(const struct bench_opts *opts, struct program *program, struct tracer *tracer)
{
	off_t end = 0, before = 0;
	double ms[REPORTS];
	int rc = start_program(program);

	if (!rc)
		rc = wait_line(program);
	if (!rc)
		rc = tracer_start(tracer, opts->heaptap, program->pid, "exact", "auto", NULL);
	if (!rc && write(program->in, "\n", 1) != 1)
		rc = -errno;
	if (!rc)
		rc = wait_line(program);
	for (int i = 0; i < REPORTS && !rc; i++) {
		before = end;
		rc = time_report(tracer, &end, &ms[i]);
	}
	if (rc)
		return rc;
	print_contents(tracer, before, end);
	printf("%-34s %10s\n", "", "ms");
	for (int i = 0; i < REPORTS; i++)
		printf("report %d%-26s %10.1f\n", i + 1,
			i ? ", the same stacks" : ", all names new", ms[i]);
	return tracer_stop(tracer, NULL, NULL);
}

int bench_symbols(const struct bench_opts *opts)
{
	struct program program = { 0, -1, -1 };
	struct tracer tracer = TRACER_INIT;
	int rc;

	printf("\nA report of 10,000 stacks, from SIGUSR1 to its last byte\n\n");
	if (!opts->heaptap) {
		printf("left out: no --heaptap\n");
		return 0;
	}
	rc = measure(opts, &program, &tracer);
	if (rc)
		tracer_stop(&tracer, NULL, NULL);
	stop_program(&program);
	return rc;
}
