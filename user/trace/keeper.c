// SPDX-License-Identifier: GPL-2.0-or-later
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/cleanup.h"

int descriptors_add(struct descriptors *d, int fd)
{
	int *all = realloc(d->all, (d->count + 1) * sizeof(*all));

	if (!all) {
		close(fd);
		return -ENOMEM;
	}
	d->all = all;
	all[d->count++] = fd;
	return 0;
}

static void *close_one(void *fd)
{
	close((int)(intptr_t)fd);
	return NULL;
}

void descriptors_close(struct descriptors *d)
{
	pthread_t *threads CLEANUP_FREE = calloc(d->count, sizeof(*threads));
	uint32_t started = 0;

	while (threads && started < d->count &&
		!pthread_create(
			&threads[started], NULL, close_one, (void *)(intptr_t)d->all[started]))
		started++;
	for (uint32_t i = started; i < d->count; i++)
		close(d->all[i]);
	for (uint32_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	free(d->all);
	*d = (struct descriptors){ 0 };
}

/* What the terminal sends to a whole group is for heaptap; a reader of its output waits for its end. */
static void stand_aside(void)
{
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	prctl(PR_SET_NAME, "heaptap-links");
	if (nowhere >= 0) {
		dup2(nowhere, STDIN_FILENO);
		dup2(nowhere, STDOUT_FILENO);
	}
}

__attribute__((noreturn)) static void keep(int channel,
	int (*make)(const void *context, struct descriptors *made), const void *context)
{
	struct descriptors made = { 0 };
	char nothing;
	int error;

	stand_aside();
	error = make(context, &made);
	if (send(channel, &error, sizeof(error), MSG_NOSIGNAL) == sizeof(error) && !error)
		while (recv(channel, &nothing, 1, 0) < 0 && errno == EINTR)
			;
	descriptors_close(&made);
	_exit(0);
}

static int receive_error(int channel)
{
	int error = 0;
	ssize_t n;

	do
		n = recv(channel, &error, sizeof(error), 0);
	while (n < 0 && errno == EINTR);
	return n == sizeof(error) ? error : -EIO;
}

int keeper_start(struct keeper *k, int (*make)(const void *context, struct descriptors *made),
	const void *context, const struct keeper *others, uint32_t other_count)
{
	int channel[2], error;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel))
		return -errno;
	pid = fork();
	if (pid < 0) {
		error = -errno;
		close(channel[0]);
		close(channel[1]);
		return error;
	}
	if (!pid) {
		close(channel[0]);
		for (uint32_t i = 0; i < other_count; i++)
			close(others[i].channel);
		keep(channel[1], make, context);
	}
	close(channel[1]);
	*k = (struct keeper){ .pid = pid, .channel = channel[0] };
	error = receive_error(k->channel);
	if (error)
		keeper_stop(k);
	return error;
}

bool keeper_lives(const struct keeper *k)
{
	char nothing;

	return recv(k->channel, &nothing, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

void keeper_begin_stop(struct keeper *k)
{
	if (k->channel >= 0) {
		/* Also where a later keeper has inherited it. */
		shutdown(k->channel, SHUT_RDWR);
		close(k->channel);
	}
	k->channel = -1;
}

void keeper_stop(struct keeper *k)
{
	keeper_begin_stop(k);
	while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
