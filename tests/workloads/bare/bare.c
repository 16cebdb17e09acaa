// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stacks that frame pointers do not lead through: built with -O2 -fomit-frame-pointer.
 *
 *   bare deep|variable|signal [--depth N] [--pause-us N]
 *
 * Allocates until its standard input ends. deep: below 60 frames of sixteen functions; variable: below
 * alloca, arrays of variable length and realigned stacks; signal: in a handler on a stack of its own,
 * below that of the thread in memory, so that whoever copies 64 KiB from there copies both.
 */
#include <alloca.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BARE	  __attribute__((noinline, noclone))
#define KEEP(x)	  __asm__ volatile("" : : "r"(x) : "memory")
#define AFTER()	  __asm__ volatile("" : : : "memory") /* the call before is no jump */
#define PAIRS	  100
#define FUNCTIONS 16

static unsigned int depth = 60, pause_us = 1000;

static BARE void allocate(size_t size)
{
	void *p = malloc(size), *q;

	KEEP(p);
	q = realloc(p, 2 * size);
	KEEP(q);
	free(q);
}

static BARE void pairs(unsigned int seed)
{
	for (unsigned int i = 0; i < PAIRS; i++)
		allocate(16 + (seed + i) % 200);
}

typedef void level(unsigned int left, unsigned int seed);
static level *const levels[FUNCTIONS];

/* Frames of different sizes and saved registers. */
#define LEVEL(n)                                                                                   \
	static BARE void level_##n(unsigned int left, unsigned int seed)                           \
	{                                                                                          \
		volatile char room[8 * (n) + 1];                                                   \
		unsigned int a = seed * 3, b = seed + n, c = seed ^ left;                          \
                                                                                                   \
		room[8 * (n)] = (char)seed;                                                        \
		KEEP(room);                                                                        \
		if (left)                                                                          \
			levels[(n + seed) % FUNCTIONS](left - 1, seed + 1);                        \
		else                                                                               \
			pairs(seed);                                                               \
		if (n % 3)                                                                         \
			KEEP(a);                                                                   \
		if (n % 2)                                                                         \
			KEEP(b);                                                                   \
		KEEP(c);                                                                           \
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

static level *const levels[FUNCTIONS] = { level_0, level_1, level_2, level_3, level_4, level_5,
	level_6, level_7, level_8, level_9, level_10, level_11, level_12, level_13, level_14,
	level_15 };

/* --- variable frames ------------------------------------------------------------------------------ */

static BARE void by_alloca(unsigned int seed)
{
	volatile char *p = alloca(16 + seed % 900);

	p[0] = 1;
	pairs(seed);
	AFTER();
}

static BARE void by_array(unsigned int seed)
{
	volatile char array[1 + seed % 3000];

	array[seed % 3000] = 1;
	KEEP(array);
	by_alloca(seed);
	AFTER();
}

static BARE void realigned(unsigned int seed)
{
	volatile char wide[96] __attribute__((aligned(64)));

	wide[seed % 96] = 1;
	KEEP(wide);
	by_array(seed);
	AFTER();
}

static BARE void realigned_alloca(unsigned int seed)
{
	volatile char wide[96] __attribute__((aligned(128))), *p = alloca(8 + seed % 77);

	wide[0] = p[0] = 1;
	KEEP(wide);
	realigned(seed);
	AFTER();
}

static int compare(const void *a, const void *b)
{
	const unsigned int *x = a, *y = b;

	pairs(*x);
	return (*x > *y) - (*x < *y);
}

static BARE void variable(unsigned int seed)
{
	unsigned int numbers[3] = { seed % 7, seed % 5, seed % 3 };

	realigned_alloca(seed);
	qsort(numbers, 3, sizeof(numbers[0]), compare);
	levels[seed % FUNCTIONS](seed % 30, seed);
}

/* --- signals ---------------------------------------------------------------------------------------- */

static void on_signal(int number, siginfo_t *info, void *context)
{
	static unsigned int seed;

	(void)number;
	(void)info;
	(void)context;
	levels[seed % FUNCTIONS](seed % 9, seed);
	seed++;
}

static BARE void interrupted(unsigned int left)
{
	if (left)
		interrupted(left - 1);
	else
		raise(SIGUSR1);
	AFTER();
}

static BARE void by_signals(unsigned int seed)
{
	interrupted(seed % 20);
}

/* ---------------------------------------------------------------------------------------------------- */

static BARE void deep(unsigned int seed)
{
	levels[seed % FUNCTIONS](depth - 6, seed);
}

static int run(void (*body)(unsigned int))
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	char byte;

	for (unsigned int seed = 0;; seed++) {
		body(seed);
		if (pause_us)
			usleep(pause_us);
		if (poll(&in, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0)
			return 0;
	}
}

#define OWN_BYTES    16384
#define THREAD_BYTES 32768
static char stacks[OWN_BYTES + THREAD_BYTES] __attribute__((aligned(4096)));

static void *run_signals(void *argument)
{
	const stack_t own = { .ss_sp = stacks, .ss_size = OWN_BYTES };
	const struct sigaction action = { .sa_sigaction = on_signal,
		.sa_flags = SA_ONSTACK | SA_SIGINFO };

	sigaltstack(&own, NULL);
	sigaction(SIGUSR1, &action, NULL);
	run(by_signals);
	return argument;
}

static int in_thread(void)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, stacks + OWN_BYTES, THREAD_BYTES);
	return pthread_create(&thread, &attributes, run_signals, NULL) ||
	       pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "deep";

	for (int i = 2; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--depth"))
			depth = (unsigned int)atoi(argv[i + 1]);
		else
			pause_us = (unsigned int)atoi(argv[i + 1]);
	}
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	if (!strcmp(what, "signal"))
		return in_thread();
	return run(!strcmp(what, "variable") ? variable : deep);
}
