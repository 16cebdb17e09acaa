/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program under test: a child that runs batches of malloc+free pairs, and nothing else, when
 * told to. */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How the benchmark, run by itself, knows that it is the target: argv[1], and argv[2] is the fd of
 * the page. */
#define TARGET_ARG "--bench-target"

/* main, target_main and three more are there at any depth. */
#define TARGET_MIN_DEPTH 5u

enum target_language { TARGET_C, TARGET_CXX };

struct target_page;

struct target {
	pid_t pid;
	struct target_page *page; /* shared with the child */
};

/* The child's side. Returns only on failure. */
int target_main(int page_fd);

int target_start(struct target *target, enum target_language language);

/* Kills and reaps. For a target that is not running: nothing. */
void target_stop(struct target *target);

/*
 * Runs one batch below `depth` frames and gives the ns of the thread's CPU time of one pair.
 * -ESRCH: the target died, which is said on stderr.
 */
int target_batch(struct target *target, unsigned int depth, unsigned int pairs, size_t size,
	double *ns_per_pair);

#endif
