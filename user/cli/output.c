// SPDX-License-Identifier: GPL-2.0-or-later
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "../base/err.h"

static int write_error(int error)
{
	return err(error, "cannot write the report to standard output: %s", strerror(-error));
}

int output_check(void)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	/* A closed one was replaced at the start by one that cannot be written. */
	return flags < 0 || (flags & O_ACCMODE) == O_RDONLY ? write_error(-EBADF) : 0;
}

bool output_pending(const struct output *o)
{
	return o->done < o->pending.length;
}

int output_add(struct output *o, const struct buffer *report)
{
	buffer_append(&o->pending, report->data, report->length);
	if (buffer_failed(report) || buffer_failed(&o->pending))
		return err(-ENOMEM, "out of memory");
	return output_flush(o);
}

/*
 * O_NONBLOCK would change the file for all who share it. Instead: what poll() calls writable takes PIPE_BUF bytes
 * without blocking.
 */
int output_flush(struct output *o)
{
	while (output_pending(o)) {
		struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
		size_t rest = o->pending.length - o->done;
		ssize_t n;

		if (poll(&out, 1, 0) <= 0)
			return 0;
		n = write(STDOUT_FILENO, o->pending.data + o->done,
			rest < PIPE_BUF ? rest : PIPE_BUF);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0)
			return write_error(-errno);
		o->done += (size_t)n;
	}
	buffer_clear(&o->pending);
	o->done = 0;
	return 0;
}

int output_drain(struct output *o, int signal_fd)
{
	int error = output_flush(o);

	while (!error && output_pending(o)) {
		struct pollfd fds[] = {
			{ .fd = STDOUT_FILENO, .events = POLLOUT },
			{ .fd = signal_fd, .events = POLLIN },
		};

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return write_error(-errno);
		if (fds[1].revents)
			return err(-EINTR, "interrupted before the last report was written");
		error = output_flush(o);
	}
	return error;
}

void output_release(struct output *o)
{
	buffer_release(&o->pending);
	o->done = 0;
}
