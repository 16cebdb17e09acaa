// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <stdlib.h>
#include <time.h>

#include "levels.h"

#define LEVELS 16u

/*
 * CPU time of the thread, not wall time: the machine has other users, and all that a probe costs is
 * spent in the thread that hits it.
 */
static uint64_t thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static __attribute__((noinline)) void run_pairs(struct levels_run *run)
{
	unsigned int pairs = run->pairs;
	size_t size = run->size;
	uint64_t start_ns;

	run->frames++;
	start_ns = thread_ns();
	for (unsigned int i = 0; i < pairs; i++) {
		void *block = malloc(size);

		/* The compiler may drop a pair whose block nobody sees. */
		asm volatile("" : "+r"(block) : : "memory");
		free(block);
	}
	run->elapsed_ns = thread_ns() - start_ns;
}

/* Different functions, so that a stack is not one return address again and again, which suits every
 * cache. */
typedef void level_fn(struct levels_run *run, unsigned int left);
static level_fn *const levels[LEVELS];

/* The asm after the calls keeps them from becoming jumps, which leave no frame. */
#define LEVEL(n)                                                                                   \
	static __attribute__((noinline)) void level_##n(struct levels_run *run, unsigned int left) \
	{                                                                                          \
		run->frames++;                                                                     \
		if (left > 1)                                                                      \
			levels[(n + 1) % LEVELS](run, left - 1);                                   \
		else                                                                               \
			run_pairs(run);                                                            \
		asm volatile("" : : "i"(n) : "memory");                                            \
	}

LEVEL(0)
LEVEL(1)
LEVEL(2)
LEVEL(3)
LEVEL(4)
LEVEL(5)
LEVEL(6)
LEVEL(7)
LEVEL(8)
LEVEL(9)
LEVEL(10)
LEVEL(11)
LEVEL(12)
LEVEL(13)
LEVEL(14)
LEVEL(15)

static level_fn *const levels[LEVELS] = { level_0, level_1, level_2, level_3, level_4, level_5,
	level_6, level_7, level_8, level_9, level_10, level_11, level_12, level_13, level_14,
	level_15 };

void levels_c(struct levels_run *run, unsigned int left)
{
	if (left > 1)
		levels[0](run, left - 1);
	else
		run_pairs(run);
	asm volatile("" : : : "memory");
}
