// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "tracer.h"

#define ARMED_LINE  "heaptap: armed "
#define ARM_WAIT_NS (30 * 1000000000ull)
#define END_WAIT_NS (30 * 1000000000ull)

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* err_fd < 0: stderr is the benchmark's own. */
static pid_t spawn(const char *const argv[], int out_fd, int err_fd)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	/* Should the benchmark die, the target is detached from all the same. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(out_fd, STDOUT_FILENO);
	if (err_fd >= 0)
		dup2(err_fd, STDERR_FILENO);
	execv(argv[0], (char *const *)argv);
	fprintf(stderr, "bench: %s: %m\n", argv[0]);
	_exit(127);
}

static void fd_cleanup(int *fd)
{
	close_fd(fd);
}

/*
 * Reaps within the given time, then by SIGKILL; -EIO when the exit code is not 0. A stop of the
 * benchmark does not cut it short: it is on the way of every stop.
 */
static int reap(pid_t pid, uint64_t timeout_ns, const char *name)
{
	__attribute__((cleanup(fd_cleanup))) int pid_fd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poll_fd = { .fd = pid_fd, .events = POLLIN };
	uint64_t deadline_ns = bench_now_ns() + timeout_ns;
	int status, rc;

	do {
		rc = poll(&poll_fd, 1, 100);
	} while (rc <= 0 && bench_now_ns() < deadline_ns);
	if (rc <= 0) {
		bench_err(0, "%s does not end: killed", name);
		kill(pid, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return bench_err(-errno, "waitpid: %m");
	}
	if (WIFSIGNALED(status))
		return bench_err(-EIO, "%s was killed by signal %d", name, WTERMSIG(status));
	if (WEXITSTATUS(status))
		return bench_err(-EIO, "%s exited with %d", name, WEXITSTATUS(status));
	return 0;
}

/* Reads stderr until the armed line; what else there is goes to our stderr, for it says why a
 * tracer gave up. */
static int wait_armed(const struct tracer *tracer, uint64_t *armed_at_ns)
{
	struct pollfd poll_fd = { .fd = tracer->err_fd, .events = POLLIN };
	uint64_t deadline_ns = bench_now_ns() + ARM_WAIT_NS;
	char text[4096] = "";
	size_t used = 0;

	while (used < sizeof(text) - 1 && bench_now_ns() < deadline_ns) {
		ssize_t got;

		if (bench_stopping())
			return -EINTR;
		if (poll(&poll_fd, 1, 100) <= 0)
			continue;
		got = read(tracer->err_fd, text + used, sizeof(text) - 1 - used);
		if (got <= 0)
			break;
		*armed_at_ns = bench_now_ns();
		used += got;
		text[used] = '\0';
		if (strstr(text, ARMED_LINE))
			return 0;
	}
	fputs(text, stderr);
	return bench_err(-EIO, "no line '%s' from the tracer", ARMED_LINE);
}

/* One option more, or none: `extra` is NULL. */
static int start(struct tracer *tracer, const char *path, pid_t target, const char *mode,
	const char *extra, const char *value, uint64_t *armed_ns)
{
	char pid[16];
	const char *const argv[] = { path, "leaks", "-p", pid, "--mode", mode, "--every", "3600s",
		"-q", "--json", extra, value, NULL };

	snprintf(pid, sizeof(pid), "%d", target);
	return tracer_start_command(tracer, argv, armed_ns);
}

int tracer_start_command(struct tracer *tracer, const char *const argv[], uint64_t *armed_ns)
{
	struct tracer made = TRACER_INIT;
	uint64_t start_ns, armed_at_ns = 0;
	int pipe_fds[2];
	int rc;

	made.out_fd = memfd_create("heaptap-report", MFD_CLOEXEC);
	if (made.out_fd < 0 || pipe2(pipe_fds, O_CLOEXEC)) {
		rc = bench_err(-errno, "pipes to the tracer: %m");
		close_fd(&made.out_fd);
		return rc;
	}
	made.err_fd = pipe_fds[0];
	start_ns = bench_now_ns();
	made.pid = spawn(argv, made.out_fd, pipe_fds[1]);
	close(pipe_fds[1]);
	rc = made.pid < 0 ? bench_err(-errno, "fork: %m") : wait_armed(&made, &armed_at_ns);
	if (rc) {
		tracer_stop(&made, NULL, NULL);
		return rc;
	}
	if (armed_ns)
		*armed_ns = armed_at_ns - start_ns;
	*tracer = made;
	return 0;
}

int tracer_start_with(struct tracer *tracer, const char *path, pid_t target, const char *mode,
	const char *option, const char *value)
{
	return start(tracer, path, target, mode, option, value, NULL);
}

int tracer_start(struct tracer *tracer, const char *path, pid_t target, const char *mode,
	const char *link, uint64_t *armed_ns)
{
	return start(tracer, path, target, mode, link ? "--link" : NULL, link, armed_ns);
}

int tracer_start_domain(struct tracer *tracer, const char *path, pid_t target, const char *mode,
	const char *domain, uint64_t *armed_ns)
{
	return start(tracer, path, target, mode, domain ? "--domain" : NULL, domain, armed_ns);
}

/* totals.alloc_count of the last JSON object. */
static int64_t reported_allocs(int fd)
{
	static const char name[] = "\"alloc_count\":";
	cleanup_free char *text = NULL;
	int64_t count = -1;
	struct stat stat;
	ssize_t got;

	if (fstat(fd, &stat))
		return -1;
	text = malloc(stat.st_size + 1);
	got = text ? pread(fd, text, stat.st_size, 0) : -1;
	if (got < 0)
		return -1;
	text[got] = '\0';
	for (char *totals = text; (totals = strstr(totals, "\"totals\":")); totals++) {
		char *found = strstr(totals, name);

		if (found)
			count = strtoll(found + strlen(name), NULL, 10);
	}
	return count;
}

int tracer_stop(struct tracer *tracer, uint64_t *exit_ns, int64_t *alloc_count)
{
	uint64_t start_ns = bench_now_ns();
	int rc = 0;

	if (tracer->pid > 0) {
		kill(tracer->pid, SIGINT);
		rc = reap(tracer->pid, END_WAIT_NS, "the tracer");
	}
	if (exit_ns)
		*exit_ns = bench_now_ns() - start_ns;
	if (alloc_count)
		*alloc_count = tracer->out_fd >= 0 ? reported_allocs(tracer->out_fd) : -1;
	close_fd(&tracer->out_fd);
	close_fd(&tracer->err_fd);
	tracer->pid = 0;
	return rc;
}

int tracer_run(const char *const argv[], char *out, size_t size, uint64_t *elapsed_ns)
{
	__attribute__((cleanup(fd_cleanup))) int out_fd = memfd_create("heaptap-run", MFD_CLOEXEC);
	uint64_t start_ns = bench_now_ns();
	ssize_t got = 0;
	pid_t pid;
	int rc;

	if (out_fd < 0)
		return bench_err(-errno, "memfd_create: %m");
	pid = spawn(argv, out_fd, -1);
	if (pid < 0)
		return bench_err(-errno, "fork: %m");
	rc = reap(pid, END_WAIT_NS, argv[0]);
	if (elapsed_ns)
		*elapsed_ns = bench_now_ns() - start_ns;
	if (rc)
		return rc;
	if (size) {
		got = pread(out_fd, out, size - 1, 0);
		out[got > 0 ? got : 0] = '\0';
	}
	return 0;
}

bool tracer_takes_link(const char *path, pid_t target, const char *link)
{
	char pid[16];
	const char *const argv[] = { path, "leaks", "-p", pid, "--mode", "exact", "--link", link,
		"--every", "10ms", "--count", "1", "-q", "--json", NULL };

	snprintf(pid, sizeof(pid), "%d", target);
	return !tracer_run(argv, NULL, 0, NULL);
}
