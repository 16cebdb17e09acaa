// SPDX-License-Identifier: GPL-2.0-or-later
/* The side of the parser's child: everything here runs where foreign bytes may have taken over. */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "parse_wire.h"
#include "sandbox.h"

#define PROGRESS_EVERY_NS (100 * NS_PER_MS)

static bool serving;
static uint64_t said_ns; /* when we last gave a sign of life */

bool parse_is_sandboxed(void)
{
	return serving;
}

/* heaptap went away, or does not keep to the protocol: there is no one to tell. */
static _Noreturn void leave(void)
{
	_exit(EXIT_FAILURE);
}

static void say(const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length) {
		ssize_t n = send(PARSE_CHILD_SOCKET, at, length, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			leave();
		at += n;
		length -= (size_t)n;
	}
	said_ns = clock_monotonic_ns();
}

static void say_reply(enum parse_reply_kind kind, int error, uint32_t layers, uint64_t out_bytes)
{
	struct parse_reply reply = { PARSE_MAGIC, kind, error, layers, out_bytes };

	say(&reply, sizeof(reply));
}

void parse_progress(void)
{
	if (serving && clock_monotonic_ns() - said_ns >= PROGRESS_EVERY_NS)
		say_reply(PARSE_PROGRESS, 0, 0, 0);
}

/* The descriptors come with the question's bytes. Returns how many. */
static size_t hear_question(struct parse_question *q, int fds[PARSE_MAX_FILES])
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(PARSE_MAX_FILES * sizeof(int))];
	} control;
	struct iovec part = { q, sizeof(*q) };
	struct msghdr message = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	const struct cmsghdr *c;
	size_t count = 0;
	ssize_t n;

	do
		n = recvmsg(PARSE_CHILD_SOCKET, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL);
	while (n < 0 && errno == EINTR);
	if (!n)
		_exit(EXIT_SUCCESS);
	if (n != sizeof(*q) || message.msg_flags & MSG_CTRUNC)
		leave();
	c = CMSG_FIRSTHDR(&message);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), count * sizeof(int));
	}
	return count;
}

static void hear_in(struct buffer *in, uint64_t bytes)
{
	uint8_t *at = bytes ? buffer_extend(in, bytes) : NULL;

	if (bytes && !at)
		leave();
	while (bytes) {
		ssize_t n = recv(PARSE_CHILD_SOCKET, at, bytes, MSG_WAITALL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			leave();
		at += n;
		bytes -= (uint64_t)n;
	}
}

/* Which of the files asked about came, in the places that the parser looks at. */
static void place_files(const struct parse_question *q, const int *fds, size_t count, int *files)
{
	size_t next = 0;

	for (uint32_t i = 0; i < q->file_count; i++) {
		files[i] = -1;
		if (!(q->present & 1U << i))
			continue;
		if (next >= count)
			leave();
		files[i] = fds[next++];
	}
}

static void serve_one(const struct parser *const *parsers, size_t parser_count)
{
	struct buffer in CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	int fds[PARSE_MAX_FILES], files[PARSE_MAX_FILES];
	struct parse_question q;
	size_t count = hear_question(&q, fds);
	int error;

	if (q.magic != PARSE_MAGIC || q.parser >= parser_count || q.file_count > PARSE_MAX_FILES ||
		q.in_bytes > PARSE_MAX_IN_BYTES)
		leave();
	place_files(&q, fds, count, files);
	hear_in(&in, q.in_bytes);
	said_ns = clock_monotonic_ns();
	error = parse_run(parsers[q.parser], files, q.file_count, &in, &out);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	if (out.length > PARSE_MAX_OUT_BYTES) {
		error = -EFBIG;
		buffer_clear(&out);
	}
	say_reply(PARSE_ANSWER, error, 0, out.length);
	say(out.data, out.length);
}

_Noreturn void parse_serve(const struct parser *const *parsers, size_t count)
{
	uint32_t layers = 0;
	int error;

	serving = true;
	/* Else ps shows "exe". */
	prctl(PR_SET_NAME, PARSE_CHILD, 0, 0, 0);
	error = sandbox_enter(PARSE_CHILD_SOCKET, &layers);
	say_reply(PARSE_HELLO, error, layers, 0);
	if (error)
		leave();
	for (;;)
		serve_one(parsers, count);
}
