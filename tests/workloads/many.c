// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * As many different stacks as asked for: the bits of a number choose the way down. Each frees a block and
 * allocates another; --live of them are kept by each thread. A round visits all stacks.
 */
#include <pthread.h>

#include "workload.h"

static uint64_t stacks = 1000, live = 1000, rounds = 1, threads = 1, depth;
static __thread void **kept;

WL_SITE static void leaf(uint64_t at)
{
	void **place = &kept[at % live];

	free(*place);
	*place = wl_kept(malloc(64));
}

WL_SITE static void zero(uint64_t path, uint64_t left, uint64_t at);

WL_SITE static void one(uint64_t path, uint64_t left, uint64_t at)
{
	if (!left)
		leaf(at);
	else if (path & 1)
		one(path >> 1, left - 1, at);
	else
		zero(path >> 1, left - 1, at);
	__asm__ volatile("" : : : "memory");
}

WL_SITE static void zero(uint64_t path, uint64_t left, uint64_t at)
{
	if (!left)
		leaf(at);
	else if (path & 1)
		one(path >> 1, left - 1, at);
	else
		zero(path >> 1, left - 1, at);
	__asm__ volatile("" : : : "memory");
}

struct worker {
	pthread_t thread;
	pthread_barrier_t *start, *end;
	double ns; /* a turn */
};

/* A round of all stacks at each start. */
static void *work(void *context)
{
	struct worker *w = context;
	uint64_t at = 0;

	kept = calloc(live, sizeof(*kept));
	for (;;) {
		uint64_t start;

		pthread_barrier_wait(w->start);
		start = wl_thread_ns();
		for (uint64_t round = 0; round < rounds; round++)
			for (uint64_t i = 0; i < stacks; i++)
				zero(i, depth, at++);
		w->ns = (double)(wl_thread_ns() - start) / (double)(rounds * stacks);
		pthread_barrier_wait(w->end);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct wl_option options[] = {
		{ "--stacks", &stacks, NULL, NULL },
		{ "--live", &live, NULL, NULL },
		{ "--rounds", &rounds, NULL, NULL },
		{ "--threads", &threads, NULL, NULL },
		{ "--depth", &depth, NULL, NULL },
		{ NULL, NULL, NULL, NULL },
	};
	pthread_barrier_t start, end;
	struct worker *workers;
	char line[64];

	wl_options(argc, argv, options);
	while (1ULL << depth < stacks)
		depth++;
	workers = calloc(threads, sizeof(*workers));
	pthread_barrier_init(&start, NULL, (unsigned int)threads + 1);
	pthread_barrier_init(&end, NULL, (unsigned int)threads + 1);
	for (uint64_t i = 0; i < threads; i++) {
		workers[i].start = &start;
		workers[i].end = &end;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			wl_die("no thread");
	}
	wl_say("ready many\n");
	/* "go" runs the rounds; CPU ns of a turn, a free and an allocation, are answered. */
	while (wl_line(line, sizeof(line)) >= 0 && strcmp(line, "quit")) {
		double ns = 0;

		pthread_barrier_wait(&start);
		pthread_barrier_wait(&end);
		for (uint64_t i = 0; i < threads; i++)
			ns += workers[i].ns / (double)threads;
		snprintf(line, sizeof(line), "%.1f\n", ns);
		wl_say(line);
	}
	return 0;
}
