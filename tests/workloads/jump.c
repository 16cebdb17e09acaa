// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A timer signal whose handler jumps out of whatever allocator call it interrupted, thousands of
 * times, and then a known number of calls that must be counted right.
 *
 * The heap has to survive this without a tracer. One thread, so that glibc takes no lock. No thread
 * cache, whose count and list are two stores; a fast bin is one. The calls that may be cut off
 * are served by fast bins filled beforehand, or are realloc in place or of a mapping. Nothing makes
 * glibc consolidate the fast bins, else chunks would have free neighbours that realloc swallows in
 * several stores. A block whose call was cut off is leaked: whether it is free is unknown.
 */

#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

#include "workload.h"

#define CLASSES	  3
#define FILL	  32
#define MAPPED	  ((size_t)256 << 10)
#define SPARE	  1500
#define AFTER	  5000
#define JUMPS_MAX 100000
#define TUNABLE	  "GLIBC_TUNABLES"

enum { SITE_after, SITE_after_realloc, SITES };

static const char *const names[SITES] = { "site_after", "site_after_realloc" };
static const size_t sizes[CLASSES] = { 24, 56, 88 };

static struct wl_tally tally;
static uint64_t jumps = 5000, seed = 1;
static char altstack[64 << 10];
static sigjmp_buf out;
static volatile sig_atomic_t jumpable;
static void *volatile mapped;
static void *spare[SPARE];
static unsigned int spares;

WL_SITE static void *site_storm_malloc(size_t size)
{
	return wl_kept(malloc(size));
}

WL_SITE static void *site_storm_realloc(void *old, size_t size)
{
	return wl_kept(realloc(old, size));
}

WL_SITE static void *site_after(size_t size)
{
	return wl_kept(malloc(size));
}

WL_SITE static void *site_after_realloc(void *old, size_t size)
{
	return wl_kept(realloc(old, size));
}

static void on_alarm(int signal)
{
	(void)signal;
	if (jumpable) {
		jumpable = 0;
		siglongjmp(out, 1);
	}
}

/* Mappings and a top chunk for the whole storm: to get more of either consolidates. */
static void provide(void)
{
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	/* First, while the top chunk is too small for one: it would come from there. */
	while (spares < SPARE)
		spare[spares++] = site_storm_malloc(MAPPED);
	mallopt(M_TOP_PAD, 64 << 20);
	if (!site_storm_malloc(MAPPED / 2 - WL_PAGE))
		wl_die("out of memory");
}

static void refill(void)
{
	void *blocks[CLASSES][FILL];

	if (!mapped && spares)
		mapped = spare[--spares];
	for (int i = 0; i < CLASSES; i++)
		for (int j = 0; j < FILL; j++)
			blocks[i][j] = site_storm_malloc(sizes[i]);
	/* Keeps them all away from the top chunk, into which realloc would grow. */
	if (!site_storm_malloc(sizes[0]))
		wl_die("out of memory");
	for (int i = 0; i < CLASSES; i++)
		for (int j = 0; j < FILL; j++)
			free(blocks[i][j]);
}

static void use_heap_until_jump(void)
{
	for (unsigned int i = 0;; i++) {
		void *block = site_storm_malloc(sizes[i % CLASSES]);

		block = site_storm_realloc(block, sizes[i % CLASSES] - 4);
		/* Never smaller: to split a chunk takes several stores. */
		block = site_storm_realloc(block, sizes[CLASSES - 1]);
		free(block);
		free(site_storm_realloc(NULL, sizes[(i + 2) % CLASSES]));
		if (i % 16 == 0 && mapped) {
			void *old = mapped;

			/* Cut off here, its place is unknown. */
			mapped = NULL;
			mapped = site_storm_realloc(old, MAPPED << (i / 16 % 2));
		}
	}
}

static void storm(uint64_t count)
{
	struct itimerval timer;

	for (volatile uint64_t i = 0; i < count; i++) {
		refill();
		/* It repeats, since the first tick may come before a jump is possible. */
		timer.it_interval = (struct timeval){ 0, 1000 };
		timer.it_value = (struct timeval){ 0, 5 + (long)(wl_random(&seed) % 60) };
		if (sigsetjmp(out, 1))
			continue;
		setitimer(ITIMER_REAL, &timer, NULL);
		jumpable = 1;
		use_heap_until_jump();
	}
	memset(&timer, 0, sizeof(timer));
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void run_after(unsigned int frames)
{
	if (frames) {
		run_after(frames - 1);
		__asm__ volatile("" : : : "memory");
		return;
	}
	for (int i = 0; i < AFTER; i++) {
		void *block = site_after(40);

		wl_alloc(&tally, SITE_after, 40);
		if (i % 5 == 0)
			continue;
		block = site_after_realloc(block, 80);
		wl_free(&tally, SITE_after, 40);
		wl_alloc(&tally, SITE_after_realloc, 80);
		if (i % 5 == 1)
			continue;
		free(block);
		wl_free(&tally, SITE_after_realloc, 80);
	}
}

static void on_stack(int flags)
{
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART | flags };

	sigaction(SIGALRM, &action, NULL);
}

/* The thread cache can be turned off only from the environment, before the first allocation. */
static void without_thread_cache(char **argv)
{
	static const char want[] = "glibc.malloc.tcache_count=0";
	const char *have = getenv(TUNABLE);

	if (have && !strcmp(have, want))
		return;
	if (setenv(TUNABLE, want, 1) || execv("/proc/self/exe", argv))
		wl_die("cannot run itself again");
}

int main(int argc, char **argv)
{
	const stack_t stack = { .ss_sp = altstack, .ss_size = sizeof(altstack) };
	const char *truth = NULL;
	const struct wl_option options[] = {
		{ "--jumps", &jumps, NULL, NULL },
		{ "--seed", &seed, NULL, NULL },
		{ "--truth", NULL, &truth, NULL },
		{ NULL, NULL, NULL, NULL },
	};

	wl_options(argc, argv, options);
	if (!seed || jumps > JUMPS_MAX)
		wl_die("--seed must not be 0, --jumps at most 100000");
	without_thread_cache(argv);
	if (sigaltstack(&stack, NULL))
		wl_die("cannot set signals up");
	wl_ready();
	provide();
	on_stack(0);
	storm(jumps / 2);
	on_stack(SA_ONSTACK);
	storm(jumps - jumps / 2);
	run_after(0);
	run_after(30);
	wl_truth(truth, names, SITES, &tally, 0);
	wl_say("done\n");
	wl_park();
}
