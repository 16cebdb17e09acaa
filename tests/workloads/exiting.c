// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * exit(), or exec of itself, while four threads are inside allocator calls. `--again N` execs N
 * times before it exits; the images after the first don't wait for "go".
 */

#include <pthread.h>

#include "workload.h"

#define THREADS 4

static uint64_t ms = 200, again, status;
static pthread_barrier_t barrier;
static int now;

WL_SITE static void *site_malloc(size_t size)
{
	return wl_kept(malloc(size));
}

WL_SITE static void *site_realloc(void *old, size_t size)
{
	return wl_kept(realloc(old, size));
}

WL_SITE static void *site_aligned_alloc(size_t size)
{
	return wl_kept(aligned_alloc(64, size));
}

__attribute__((noreturn)) static void use_heap_for_ever(uint64_t seed)
{
	for (;;) {
		size_t size = 1 + wl_random(&seed) % 5000;
		void *block = site_malloc(size);

		block = site_realloc(block, size * 3);
		block = site_realloc(block, size / 2 + 1);
		free(block);
		free(site_aligned_alloc(size));
	}
}

static void *work(void *arg)
{
	pthread_barrier_wait(&barrier);
	use_heap_for_ever((uint64_t)(uintptr_t)arg);
}

static void run_again(void)
{
	char ms_text[24], again_text[24], status_text[24];
	char *args[] = { (char *)"exiting", (char *)"--now", (char *)"--ms", ms_text,
		(char *)"--again", again_text, (char *)"--status", status_text, NULL };

	snprintf(ms_text, sizeof(ms_text), "%llu", (unsigned long long)ms);
	snprintf(again_text, sizeof(again_text), "%llu", (unsigned long long)again - 1);
	snprintf(status_text, sizeof(status_text), "%llu", (unsigned long long)status);
	execv("/proc/self/exe", args);
	wl_die("cannot run itself again");
}

int main(int argc, char **argv)
{
	const struct wl_option options[] = {
		{ "--ms", &ms, NULL, NULL },
		{ "--again", &again, NULL, NULL },
		{ "--status", &status, NULL, NULL },
		{ "--now", NULL, NULL, &now },
		{ NULL, NULL, NULL, NULL },
	};
	pthread_t thread;

	wl_options(argc, argv, options);
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (uintptr_t i = 1; i <= THREADS; i++)
		if (pthread_create(&thread, NULL, work, (void *)i))
			wl_die("cannot start a thread");
	if (!now)
		wl_ready();
	pthread_barrier_wait(&barrier);
	wl_sleep_ns(ms * 1000000);
	if (again)
		run_again();
	exit((int)status);
}
