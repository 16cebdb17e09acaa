/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the benchmark share: its options, its clocks, its way to fail. Every function:
 * 0 or -errno. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_MAX_DEPTHS 8u

struct bench_opts {
	unsigned int rounds;
	unsigned int
		batches;    /* measured in one visit of a configuration, after one for warming up */
	unsigned int pairs; /* of a batch of a traced target */
	unsigned int attaches;
	unsigned int n_depths;
	unsigned int depths[BENCH_MAX_DEPTHS]; /* frames between malloc and main's caller */
	size_t size;			       /* bytes of a block */
	const char *heaptap;		       /* NULL: only the floors can be measured */
	const char *other; /* another build, exact mode of which is measured beside; or NULL */
	bool best;	   /* leaves out all links but the best */
	bool quick;
};

/* The sections. Each prints a table on stdout. */
int bench_pairs(const struct bench_opts *opts);
int bench_attach(const struct bench_opts *opts);
int bench_tables(const struct bench_opts *opts);
int bench_targets(const struct bench_opts *opts);
int bench_parser(const struct bench_opts *opts);
int bench_symbols(const struct bench_opts *opts);
int bench_growth(const struct bench_opts *opts);
int bench_auto(const struct bench_opts *opts);
int bench_curve(const struct bench_opts *opts);

/* SIGINT or SIGTERM has come: whatever waits gives up with -EINTR, so that all is detached on the
 * way out. */
bool bench_stopping(void);

/* Logs "bench: ..." to stderr and returns rc. */
__attribute__((format(printf, 2, 3))) int bench_err(int rc, const char *fmt, ...);

uint64_t bench_now_ns(void);

void bench_free(void *ptr_to_ptr);
#define cleanup_free __attribute__((cleanup(bench_free)))

#endif
