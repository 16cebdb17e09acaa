// SPDX-License-Identifier: GPL-2.0-or-later
#include "control.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "../render/json.h"
#include "../store/json_members.h"

#define MAX_CLIENTS 8
#define ANSWER_MS   10000

struct client {
	int fd; /* -1: none */
	uint32_t serial;
	struct buffer in;
};

struct control {
	int events, listener;
	char path[CONTROL_PATH];
	uint32_t serial;
	struct client clients[MAX_CLIENTS];
};

/* --- where ------------------------------------------------------------------------------------- */

/* 0: the first directory of the two, 1: the second; false: there is none. */
static bool directory(int which, char path[CONTROL_PATH - 32])
{
	const char *own = getenv("XDG_RUNTIME_DIR");
	int n;

	if (!which)
		n = snprintf(path, CONTROL_PATH - 32, "/run/heaptap");
	else if (own && *own == '/')
		n = snprintf(path, CONTROL_PATH - 32, "%s/heaptap", own);
	else
		return false;
	return n < CONTROL_PATH - 32;
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	return address;
}

static int bind_in(const char *where, int fd, char path[CONTROL_PATH])
{
	struct sockaddr_un address;
	mode_t mask;
	int error;

	if (mkdir(where, 0755) && errno != EEXIST)
		return -errno;
	if ((size_t)snprintf(path, CONTROL_PATH, "%s/%d.sock", where, getpid()) >=
		sizeof(address.sun_path))
		return -ENAMETOOLONG;
	address = address_of(path);
	unlink(path); /* of a heaptap with our pid that was killed */
	mask = umask(0177);
	error = bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	umask(mask);
	return error;
}

static int watch(struct control *c, int fd, uint32_t which)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = which };

	return epoll_ctl(c->events, EPOLL_CTL_ADD, fd, &event);
}

/* What a heaptap that was killed has left. */
static int remove_dead(const char *path, void *context)
{
	int fd CLEANUP_CLOSE = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = address_of(path);

	(void)context;
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) &&
		errno == ECONNREFUSED)
		unlink(path);
	return 0;
}

int control_open(struct control **control)
{
	struct control *c = calloc(1, sizeof(*c));
	char where[CONTROL_PATH - 32];
	int error = -ENOENT;

	if (!c)
		return err(-ENOMEM, "out of memory");
	for (int i = 0; i < MAX_CLIENTS; i++)
		c->clients[i].fd = -1;
	c->events = epoll_create1(EPOLL_CLOEXEC);
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	control_each(remove_dead, NULL);
	for (int i = 0; error && i < 2; i++)
		if (directory(i, where))
			error = bind_in(where, c->listener, c->path);
	if (!error && (listen(c->listener, MAX_CLIENTS) || watch(c, c->listener, MAX_CLIENTS)))
		error = -errno;
	if (error) {
		c->path[0] = 0;
		control_close(c);
		return err(error,
			"cannot make a control socket in /run/heaptap or $XDG_RUNTIME_DIR: %s",
			strerror(-error));
	}
	*control = c;
	return 0;
}

const char *control_path(const struct control *c)
{
	return c->path;
}

int control_fd(const struct control *c)
{
	return c->events;
}

static void hang_up(struct client *client)
{
	close(client->fd);
	buffer_release(&client->in);
	client->fd = -1;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	if (c->path[0])
		unlink(c->path);
	for (int i = 0; i < MAX_CLIENTS; i++)
		if (c->clients[i].fd >= 0)
			hang_up(&c->clients[i]);
	if (c->listener >= 0)
		close(c->listener);
	if (c->events >= 0)
		close(c->events);
	free(c);
}

/* --- serving ------------------------------------------------------------------------------------ */

/* What has come of a client; one that says nothing sensible is left. */
static void receive(struct client *client)
{
	char bytes[4096];
	ssize_t n;

	while ((n = recv(client->fd, bytes, sizeof(bytes), 0)) > 0) {
		buffer_append(&client->in, bytes, (size_t)n);
		if (client->in.length > CONTROL_MAX_BYTES + 4)
			break;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || buffer_failed(&client->in) ||
		client->in.length > CONTROL_MAX_BYTES + 4)
		hang_up(client);
}

static int free_place(const struct control *c)
{
	for (int i = 0; i < MAX_CLIENTS; i++)
		if (c->clients[i].fd < 0)
			return i;
	return -1;
}

/* Where to put one more; among those that are there may be some that have left. */
static int make_place(struct control *c)
{
	if (free_place(c) < 0)
		for (int i = 0; i < MAX_CLIENTS; i++)
			receive(&c->clients[i]);
	return free_place(c);
}

static void accept_clients(struct control *c)
{
	for (;;) {
		int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), place;

		if (fd < 0)
			return;
		place = make_place(c);
		if (place < 0 || watch(c, fd, (uint32_t)place)) {
			close(fd);
			continue;
		}
		c->clients[place] = (struct client){ .fd = fd, .serial = ++c->serial };
	}
}

static uint32_t message_length(const struct buffer *b)
{
	uint32_t length;

	memcpy(&length, b->data, sizeof(length));
	return le32toh(length);
}

/* Takes one message off the buffer. */
static bool parse(struct control *c, struct client *client, struct control_request *request)
{
	static const char *const keys[] = { "command", "label", "every" };
	char values[ARRAY_SIZE(keys)][JSON_MEMBER_BYTES];
	uint32_t length = message_length(&client->in);
	int error = json_members(client->in.data + 4, length, keys, ARRAY_SIZE(keys), values);

	memmove(client->in.data, client->in.data + 4 + length, client->in.length - 4 - length);
	client->in.length -= 4 + (size_t)length;
	*request = (struct control_request){ .token = (uint64_t)client->serial << 8 |
						      (uint64_t)(client - c->clients) };
	if (error) {
		control_fail(c, request->token, "a request is a JSON object");
		return false;
	}
	if (strlen(values[1]) >= CONTROL_MAX_LABEL) {
		control_fail(c, request->token, "a label has at most 255 bytes");
		return false;
	}
	snprintf(request->command, sizeof(request->command), "%.15s", values[0]);
	snprintf(request->label, sizeof(request->label), "%.255s", values[1]);
	snprintf(request->every, sizeof(request->every), "%.31s", values[2]);
	return true;
}

static bool next_request(struct control *c, struct control_request *request)
{
	for (int i = 0; i < MAX_CLIENTS; i++) {
		struct client *client = &c->clients[i];

		while (client->fd >= 0 && client->in.length >= 4) {
			uint32_t length = message_length(&client->in);

			if (length > CONTROL_MAX_BYTES)
				hang_up(client);
			else if (client->in.length < 4 + (size_t)length)
				break;
			else if (parse(c, client, request))
				return true;
		}
	}
	return false;
}

bool control_take(struct control *c, struct control_request *request)
{
	struct epoll_event events[MAX_CLIENTS + 1];
	int n;

	if (next_request(c, request))
		return true;
	n = epoll_wait(c->events, events, MAX_CLIENTS + 1, 0);
	for (int i = 0; i < n; i++) {
		if (events[i].data.u32 == MAX_CLIENTS)
			accept_clients(c);
		else if (c->clients[events[i].data.u32].fd >= 0)
			receive(&c->clients[events[i].data.u32]);
	}
	return next_request(c, request);
}

static bool send_message(int fd, const struct buffer *json)
{
	uint32_t length = htole32((uint32_t)json->length);

	/* Small enough for any socket's buffer: a client that does not read gets part of it. */
	return send(fd, &length, sizeof(length), MSG_NOSIGNAL | MSG_MORE) == sizeof(length) &&
	       send(fd, json->data, json->length, MSG_NOSIGNAL) == (ssize_t)json->length;
}

void control_answer(struct control *c, uint64_t token, struct buffer *json)
{
	struct client *client = &c->clients[token & 0xff];

	if (client->fd < 0 || client->serial != token >> 8 || buffer_failed(json))
		return;
	if (!send_message(client->fd, json))
		hang_up(client);
}

void control_fail(struct control *c, uint64_t token, const char *why)
{
	struct buffer text CLEANUP_BUFFER = { 0 };
	struct json j = { .out = &text };

	json_open(&j, NULL, '{');
	json_bool(&j, "ok", false);
	json_string(&j, "error", why);
	json_close(&j, '}');
	control_answer(c, token, &text);
}

/* --- asking ------------------------------------------------------------------------------------- */

static int receive_all(int fd, void *bytes, size_t size)
{
	uint64_t give_up = clock_monotonic_ns() + ANSWER_MS * NS_PER_MS;

	for (size_t done = 0; done < size;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = clock_monotonic_ns();
		ssize_t n;

		if (now >= give_up || poll(&p, 1, (int)((give_up - now) / NS_PER_MS)) == 0)
			return -ETIMEDOUT;
		n = recv(fd, (char *)bytes + done, size - done, 0);
		if (n <= 0)
			return n ? -errno : -ECONNRESET;
		done += (size_t)n;
	}
	return 0;
}

int control_ask(const char *path, const struct buffer *request, struct buffer *answer)
{
	int fd CLEANUP_CLOSE = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = address_of(path);
	struct timeval patience = { .tv_sec = ANSWER_MS / 1000 };
	uint32_t length;
	void *place;
	int error;

	/* Of one that is stopped the queue may be full. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
		connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	if (!send_message(fd, request))
		return -errno;
	error = receive_all(fd, &length, sizeof(length));
	if (error)
		return error;
	length = le32toh(length);
	if (length > CONTROL_MAX_BYTES)
		return -EBADMSG;
	place = buffer_extend(answer, length);
	return place ? receive_all(fd, place, length) : -ENOMEM;
}

int control_each(int (*what)(const char *path, void *context), void *context)
{
	char where[CONTROL_PATH - 32], path[CONTROL_PATH];
	int result = 0;

	for (int i = 0; i < 2; i++) {
		DIR *all = directory(i, where) ? opendir(where) : NULL;
		struct dirent *entry;

		while (!result && all && (entry = readdir(all))) {
			size_t length = strlen(entry->d_name);

			if (length < 6 || strcmp(entry->d_name + length - 5, ".sock") != 0 ||
				length > 24)
				continue;
			snprintf(path, sizeof(path), "%s/%.24s", where, entry->d_name);
			result = what(path, context);
		}
		if (all)
			closedir(all);
	}
	return result;
}
