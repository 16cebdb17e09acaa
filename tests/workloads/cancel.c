// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Threads that end while they use the allocator: by asynchronous cancellation anywhere inside a
 * call, by deferred cancellation and by pthread_exit between calls.
 *
 * Cancelled inside glibc's allocator, a thread keeps the lock of its arena for ever, so the calls
 * that may be cut off are only those that take none: malloc and free served by the thread cache,
 * and realloc of a mapping. What they count is unknown (the call may or may not have happened), so
 * the truth has only the other sites, and no totals: threads start and end while it is measured.
 */

#include <malloc.h>
#include <pthread.h>

#include "workload.h"

#define CLASSES	   4
#define CACHED	   7 /* glibc's default for blocks a class of the thread cache */
#define PAIRS	   8
#define MAPPED	   ((size_t)256 << 10)
#define AFTER	   1000
#define MAPPED_ONE 64

enum { SITE_deferred, SITE_exit, SITE_after, SITES };

static const char *const names[SITES] = { "site_deferred", "site_exit", "site_after" };
static const size_t sizes[CLASSES] = { 24, 100, 400, 1000 };

/* Threads run one at a time, and main waits for each. */
static struct wl_tally tally;
static void *mapped;
static uint64_t threads = 300, seed = 1;
static unsigned int cleaned;
static int running;

WL_SITE static void *site_async(size_t size)
{
	return wl_kept(malloc(size));
}

WL_SITE static void *site_async_realloc(void *old, size_t size)
{
	return wl_kept(realloc(old, size));
}

WL_SITE static void *site_deferred(size_t size)
{
	return wl_kept(malloc(size));
}

WL_SITE static void *site_exit(size_t size)
{
	return wl_kept(malloc(size));
}

WL_SITE static void *site_after(size_t size)
{
	return wl_kept(malloc(size));
}

static void on_cancel(void *arg)
{
	(void)arg;
	__atomic_fetch_add(&cleaned, 1, __ATOMIC_RELAXED);
}

static void fill_cache(void)
{
	void *blocks[CLASSES][CACHED];

	for (int i = 0; i < CLASSES; i++)
		for (int j = 0; j < CACHED; j++)
			blocks[i][j] = site_async(sizes[i]);
	for (int i = 0; i < CLASSES; i++)
		for (int j = 0; j < CACHED; j++)
			free(blocks[i][j]);
}

static void use_heap_for_ever(void)
{
	for (unsigned int i = 0;; i++) {
		free(site_async(sizes[i % CLASSES]));
		if (mapped && i % MAPPED_ONE == 0)
			mapped = site_async_realloc(mapped, MAPPED << (i / MAPPED_ONE % 3));
	}
}

static void *asynchronous(void *with_mapping)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	fill_cache();
	/* Cut off in realloc, its place is unknown: so each is leaked, and not every thread has
	 * one. */
	mapped = with_mapping ? site_async(MAPPED) : NULL;
	pthread_cleanup_push(on_cancel, NULL);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	__atomic_store_n(&running, 1, __ATOMIC_RELEASE);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	use_heap_for_ever();
	pthread_cleanup_pop(0);
	return NULL;
}

static void *deferred(void *arg)
{
	(void)arg;
	pthread_cleanup_push(on_cancel, NULL);
	__atomic_store_n(&running, 1, __ATOMIC_RELEASE);
	for (;;) {
		void *block = site_deferred(200);

		wl_alloc(&tally, SITE_deferred, 200);
		free(block);
		wl_free(&tally, SITE_deferred, 200);
		block = site_deferred(56);
		wl_alloc(&tally, SITE_deferred, 56);
		pthread_testcancel();
		free(block);
		wl_free(&tally, SITE_deferred, 56);
	}
	pthread_cleanup_pop(0);
	return NULL;
}

WL_SITE static void leave(void)
{
	pthread_exit(NULL);
}

static void *leaving(void *arg)
{
	(void)arg;
	pthread_cleanup_push(on_cancel, NULL);
	for (int i = 0; i < PAIRS; i++) {
		void *block = site_exit(48);

		wl_alloc(&tally, SITE_exit, 48);
		if (i) {
			free(block);
			wl_free(&tally, SITE_exit, 48);
		}
	}
	leave();
	pthread_cleanup_pop(0);
	return NULL;
}

static void run_thread(void *(*body)(void *), void *arg, int cancel)
{
	unsigned int before = cleaned;
	pthread_t thread;
	void *result;

	running = 0;
	if (pthread_create(&thread, NULL, body, arg))
		wl_die("cannot start a thread");
	if (cancel) {
		while (!__atomic_load_n(&running, __ATOMIC_ACQUIRE))
			wl_sleep_ns(10000);
		wl_sleep_ns(wl_random(&seed) % 200000);
		pthread_cancel(thread);
	}
	pthread_join(thread, &result);
	if (cancel && result != PTHREAD_CANCELED)
		wl_die("a thread was not cancelled");
	if (cleaned != before + 1)
		wl_die("a thread's cleanup handler did not run");
}

static void run_after(void)
{
	for (int i = 0; i < AFTER; i++) {
		void *block = site_after(64);

		wl_alloc(&tally, SITE_after, 64);
		if (i % 10) {
			free(block);
			wl_free(&tally, SITE_after, 64);
		}
	}
}

int main(int argc, char **argv)
{
	const char *truth = NULL;
	const struct wl_option options[] = {
		{ "--threads", &threads, NULL, NULL },
		{ "--seed", &seed, NULL, NULL },
		{ "--truth", NULL, &truth, NULL },
		{ NULL, NULL, NULL, NULL },
	};

	wl_options(argc, argv, options);
	if (!seed)
		wl_die("--seed must not be 0");
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	wl_ready();
	for (uint64_t i = 0; i < threads; i++) {
		run_thread(asynchronous, i % 4 ? NULL : &tally, 1);
		if (i % 3 == 0)
			run_thread(deferred, NULL, 1);
		if (i % 3 == 1)
			run_thread(leaving, NULL, 0);
	}
	run_after();
	wl_truth(truth, names, SITES, &tally, 0);
	wl_say("done\n");
	wl_park();
}
