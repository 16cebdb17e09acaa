/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a mode costs whole programs: CPU time for the same work, traced and not, by pairs of ABBA, with as many of AAAA
 * beside them that say what the machine makes of nothing.
 */
#ifndef BENCH_SLOWDOWN_H
#define BENCH_SLOWDOWN_H

#include <stdio.h>
#include <sys/types.h>

#include "bench.h"

/* A child that does a piece of work for each line, and answers with a line. */
struct worker {
	pid_t pid;
	FILE *in, *out;
};

/* Of another program, or with argv NULL of our own: `answer` to the first letter of a line. 0 or -errno, told. */
int worker_start(struct worker *w, const char *const argv[], double (*answer)(char what));
/* A piece of work; what it answers, as a number. 0 or -errno, told; -EINTR when the bench is to stop. */
int worker_ask(struct worker *w, const char *what, double *answer);
void worker_stop(struct worker *w); /* also a zeroed one */

enum program_set {
	PROGRAM_REDIS = 1,  /* redis-benchmark SET of 1 KiB */
	PROGRAM_PYTHON = 2, /* JSON */
	PROGRAM_CXX = 4,    /* std::map and std::string */
	PROGRAM_LOOP = 8,   /* nothing but malloc and free, some ten million pairs a second */
};

/* Prints a line a program; a visit is work of about so many seconds. 0 or -errno, told. */
int slowdown_programs(
	const struct bench_opts *opts, const char *mode, double visit_s, enum program_set programs);

#endif
