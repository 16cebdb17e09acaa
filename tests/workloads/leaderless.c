// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A process whose main thread calls pthread_exit while another one goes on allocating: a zombie by its own id,
 * and alive. --ms N: after how long; it ends by itself after 30 s.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *volatile sink;

static __attribute__((noinline)) void site_worker(void)
{
	sink = malloc(64);
	free(sink);
}

static void *work(void *unused)
{
	for (int i = 0; i < 30000; i++) {
		site_worker();
		usleep(1000);
	}
	_exit(0);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc != 3 || strcmp(argv[1], "--ms") || pthread_create(&thread, NULL, work, NULL))
		return 2;
	dprintf(STDOUT_FILENO, "ready %d\n", getpid());
	usleep((useconds_t)atoi(argv[2]) * 1000);
	pthread_exit(NULL);
}
