/* SPDX-License-Identifier: GPL-2.0-or-later */
/* heaptap as a child of the benchmark. */
#ifndef BENCH_TRACER_H
#define BENCH_TRACER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tracer {
	pid_t pid;  /* 0: not running */
	int out_fd; /* a memfd with what it wrote to stdout */
	int err_fd; /* the reading end of its stderr */
};
#define TRACER_INIT                                                                                \
	{                                                                                          \
		0, -1, -1                                                                          \
	}

/* Starts `PATH leaks -p PID --mode MODE --link LINK ...` and waits for the armed line; ns from the
 * fork to it, if asked for. */
int tracer_start(struct tracer *tracer, const char *path, pid_t target, const char *mode,
	const char *link, uint64_t *armed_ns);

/* The same with all arguments, the path first. */
int tracer_start_command(struct tracer *tracer, const char *const argv[], uint64_t *armed_ns);
/* The same with one option more and its value; NULL: without. */
int tracer_start_with(struct tracer *tracer, const char *path, pid_t target, const char *mode,
	const char *option, const char *value);

/* Does it take this --link here? What it says against it goes to stderr. */
bool tracer_takes_link(const char *path, pid_t target, const char *link);

/* The same with `--domain DOMAIN`; NULL: without. */
int tracer_start_domain(struct tracer *tracer, const char *path, pid_t target, const char *mode,
	const char *domain, uint64_t *armed_ns);

/*
 * SIGINT, then waits for the exit; ns between the two, and the allocations that the last report
 * counted (-1: it does not say), if asked for. Fails when the exit code is not 0. A tracer that is
 * not running: nothing.
 */
int tracer_stop(struct tracer *tracer, uint64_t *exit_ns, int64_t *alloc_count);

/* Runs a command to its end: its stdout, cut to size - 1 bytes, and ns from fork to exit. Fails
 * unless it exits 0. */
int tracer_run(const char *const argv[], char *out, size_t size, uint64_t *elapsed_ns);

#endif
