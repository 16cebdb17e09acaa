// SPDX-License-Identifier: GPL-2.0-or-later
#include "subject.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"

/* Between batches: what slows all of some milliseconds down does not slow all batches. */
#define PAUSE_US 1000

struct request {
	uint32_t work, times;
};

/* CPU time of the thread: all that a probe costs is spent in the thread that hits it. */
static uint64_t thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void __attribute__((noreturn))
serve(int socket, pid_t parent, int (*prepare)(void), void (*run)(uint32_t work, uint32_t times))
{
	struct request request;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (prepare && prepare())
		_exit(1);
	while (getppid() == parent && read(socket, &request, sizeof(request)) == sizeof(request)) {
		uint64_t ns = thread_ns();

		run(request.work, request.times);
		ns = thread_ns() - ns;
		if (write(socket, &ns, sizeof(ns)) != sizeof(ns))
			break;
	}
	_exit(0);
}

int subject_start(
	struct subject *s, int (*prepare)(void), void (*run)(uint32_t work, uint32_t times))
{
	pid_t parent = getpid();
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return -errno;
	s->pid = fork();
	if (!s->pid) {
		close(sockets[0]);
		serve(sockets[1], parent, prepare, run);
	}
	close(sockets[1]);
	if (s->pid < 0) {
		int error = -errno;

		close(sockets[0]);
		return error;
	}
	s->socket = sockets[0];
	return 0;
}

int subject_measure(
	const struct subject *s, uint32_t work, uint32_t times, uint32_t batches, double *ns)
{
	const struct request request = { work, times };
	uint64_t fastest = UINT64_MAX, took;

	for (uint32_t i = 0; i < batches; i++) {
		/* A child that was killed is an answer, not a reason for SIGPIPE. */
		if (send(s->socket, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request) ||
			read(s->socket, &took, sizeof(took)) != sizeof(took))
			return -ESRCH;
		if (took < fastest)
			fastest = took;
		usleep(PAUSE_US);
	}
	*ns = (double)fastest / times;
	return 0;
}

void subject_stop(struct subject *s)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, SIGKILL);
	close(s->socket);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}
