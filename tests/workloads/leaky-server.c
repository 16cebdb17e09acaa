// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A small key-value server with a leak, and the client that keeps it busy: what the README's demo
 * attaches to. One request in ten is from a guest, whose session nobody destroys. The cache grows
 * for some seconds and then stays as it is; everything else is temporary.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CACHE_SLOTS 4096
#define KEYS	    20000
#define HEADERS_MAX 16
#define LOG_FLUSH   64
#define BATCH	    10 /* requests at once, every BATCH_NS: 2,000 a second */
#define BATCH_NS    5000000
#define REQUEST_END "\n\n"

/* Kept out of line, so that a stack reads as the source does. */
#define NOINLINE __attribute__((noinline))

struct headers {
	unsigned int count;
	char *line[HEADERS_MAX];
};

struct session {
	char *user;
	int guest;
	char context[960];
};

struct cache_entry {
	unsigned int key;
	char value[480];
};

struct log {
	char *text;
	size_t length;
	unsigned int lines;
};

static struct cache_entry *cache[CACHE_SLOTS];
static struct log access_log;
static volatile sig_atomic_t stopping;

NOINLINE static void *must(void *block)
{
	if (!block) {
		perror("leaky-server");
		exit(1);
	}
	return block;
}

NOINLINE static struct headers *parse_headers(const char *request)
{
	struct headers *headers = must(calloc(1, sizeof(*headers)));
	const char *end;

	for (; *request && headers->count < HEADERS_MAX; request = end + (*end == '\n')) {
		end = request + strcspn(request, "\n");
		headers->line[headers->count] = must(malloc((size_t)(end - request) + 1));
		memcpy(headers->line[headers->count], request, (size_t)(end - request));
		headers->line[headers->count++][end - request] = 0;
	}
	return headers;
}

NOINLINE static void free_headers(struct headers *headers)
{
	while (headers->count)
		free(headers->line[--headers->count]);
	free(headers);
}

static const char *header(const struct headers *headers, const char *name)
{
	size_t length = strlen(name);

	for (unsigned int i = 0; i < headers->count; i++)
		if (!strncmp(headers->line[i], name, length))
			return headers->line[i] + length;
	return "";
}

NOINLINE static struct session *session_create(const char *user)
{
	struct session *session = must(malloc(sizeof(*session)));

	session->user = must(strdup(user));
	session->guest = !strncmp(user, "guest", 5);
	memset(session->context, 0, sizeof(session->context));
	return session;
}

NOINLINE static void session_destroy(struct session *session)
{
	free(session->user);
	free(session);
}

NOINLINE static void cache_put(unsigned int key)
{
	struct cache_entry *entry = must(malloc(sizeof(*entry)));

	entry->key = key;
	snprintf(entry->value, sizeof(entry->value), "value of %u", key);
	free(cache[key % CACHE_SLOTS]);
	cache[key % CACHE_SLOTS] = entry;
}

static const char *cache_get(unsigned int key)
{
	const struct cache_entry *entry = cache[key % CACHE_SLOTS];

	return entry && entry->key == key ? entry->value : NULL;
}

NOINLINE static void log_append(struct log *log, const char *line)
{
	size_t length = strlen(line);

	log->text = must(realloc(log->text, log->length + length + 1));
	memcpy(log->text + log->length, line, length);
	log->length += length;
	if (++log->lines < LOG_FLUSH)
		return;
	free(log->text);
	memset(log, 0, sizeof(*log));
}

NOINLINE static size_t handle_request(const char *request, char *reply, size_t size)
{
	struct headers *headers = parse_headers(request);
	struct session *session = session_create(header(headers, "User: "));
	unsigned int key = (unsigned int)strtoul(header(headers, "GET /item/"), NULL, 10);
	const char *value = cache_get(key);
	int length;

	if (!value) {
		cache_put(key);
		value = cache_get(key);
	}
	length = snprintf(reply, size, "200 %s\n", value);
	log_append(&access_log, headers->line[0]);
	free_headers(headers);

	/* The bug: guests have no account to write back to, and so the session is forgotten. */
	if (!session->guest)
		session_destroy(session);
	return (size_t)length;
}

static int send_all(int fd, const char *text, size_t length)
{
	while (length) {
		ssize_t n = send(fd, text, length, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR && !stopping)
			continue;
		if (n <= 0)
			return -1;
		text += n;
		length -= (size_t)n;
	}
	return 0;
}

NOINLINE static void serve_client(int fd)
{
	static char in[16384], out[16384];
	size_t have = 0;

	while (!stopping) {
		ssize_t n = recv(fd, in + have, sizeof(in) - 1 - have, 0);
		char *request = in, *end;
		size_t reply = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		have += (size_t)n;
		in[have] = 0;
		while ((end = strstr(request, REQUEST_END))) {
			*end = 0;
			reply += handle_request(request, out + reply, sizeof(out) - reply);
			request = end + strlen(REQUEST_END);
		}
		have -= (size_t)(request - in);
		memmove(in, request, have);
		if (send_all(fd, out, reply))
			return;
	}
}

static size_t write_request(char *request, size_t size, unsigned int number)
{
	unsigned int key = number * 2654435761u % KEYS;

	return (size_t)snprintf(request, size,
		"GET /item/%u\nHost: localhost\nAgent: demo\nUser: %s-%u-of-the-example-site%s",
		key, number % 10 ? "member" : "guest", number, REQUEST_END);
}

static void *run_client(void *address)
{
	static char request[4096], reply[16384];
	const struct timespec pause = { 0, BATCH_NS };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	unsigned int number = 0;

	if (fd < 0 || connect(fd, address, sizeof(struct sockaddr_in)))
		return NULL;
	for (;;) {
		size_t length = 0, replies = 0;

		for (int i = 0; i < BATCH; i++)
			length +=
				write_request(request + length, sizeof(request) - length, number++);
		if (send_all(fd, request, length))
			break;
		while (replies < BATCH) {
			ssize_t n = recv(fd, reply, sizeof(reply), 0);

			if (n <= 0)
				goto out;
			for (ssize_t i = 0; i < n; i++)
				replies += reply[i] == '\n';
		}
		nanosleep(&pause, NULL);
	}
out:
	close(fd);
	return NULL;
}

static int listen_on_loopback(struct sockaddr_in *address)
{
	socklen_t size = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*address = (struct sockaddr_in){ .sin_family = AF_INET };
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)address, size) || listen(fd, 8) ||
		getsockname(fd, (struct sockaddr *)address, &size)) {
		perror("leaky-server");
		exit(1);
	}
	return fd;
}

static void on_term(int signal)
{
	(void)signal;
	stopping = 1;
}

/* The signal must interrupt the thread that serves, and without SA_RESTART. */
static void start_client(struct sockaddr_in *address)
{
	struct sigaction action = { .sa_handler = on_term };
	sigset_t term;
	pthread_t thread;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigaddset(&term, SIGINT);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	pthread_sigmask(SIG_BLOCK, &term, NULL);
	if (pthread_create(&thread, NULL, run_client, address))
		exit(1);
	pthread_sigmask(SIG_UNBLOCK, &term, NULL);
}

int main(void)
{
	struct sockaddr_in address;
	int fd = listen_on_loopback(&address);

	start_client(&address);
	printf("leaky-server pid %d listening on 127.0.0.1:%d\n", (int)getpid(),
		ntohs(address.sin_port));
	fflush(stdout);
	while (!stopping) {
		int client = accept(fd, NULL, NULL);

		if (client < 0)
			continue;
		serve_client(client);
		close(client);
	}
	return 0;
}
