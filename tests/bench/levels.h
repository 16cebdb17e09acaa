/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * malloc+free pairs below a stack of a known depth, in code as distributions build it: -O2
 * -fomit-frame-pointer. In C and in C++, where operator new stands between.
 */
#ifndef BENCH_LEVELS_H
#define BENCH_LEVELS_H

#include <stddef.h>
#include <stdint.h>

struct levels_run {
	unsigned int pairs;
	unsigned int frames; /* counted on the way down, the one that allocates included */
	size_t size;
	uint64_t elapsed_ns; /* CPU time of the thread */
};

#ifdef __cplusplus
extern "C" {
#endif
/* Below `left` more functions, the first of which this calls. */
void levels_c(struct levels_run *run, unsigned int left);
void levels_cxx(struct levels_run *run, unsigned int left);
/* What a C++ program does all day: words into a map of strings and vectors, and out. Returns how many there were. */
double levels_churn(unsigned int words);
#ifdef __cplusplus
}
#endif

#endif
