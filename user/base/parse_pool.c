// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * heaptap's side of the parser children: who of them is asked, and what it means when one does not
 * answer. What a child says is taken for hostile.
 *
 * A child serves many requests, as making one costs milliseconds. So a file that takes it over can
 * lie about the files asked after it, until the child is replaced; it cannot do more than lie.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "clock.h"
#include "err.h"
#include "parse_wire.h"
#include "sandbox.h"

#define CHILDREN  4 /* threads that ask at the same time; two do */
#define REFUSED	  256
#define FILE_NAME 512

/* A child that has used so much is replaced: before it meets SANDBOX_CPU_S in an honest request. */
#define CHILD_CPU_S (SANDBOX_CPU_S - PARSE_TOTAL_MS / 1000 - 30)

/*
 * The kernel ends a child together with the thread that made it (PR_SET_PDEATHSIG), so no other
 * thread asks it.
 */
struct child {
	pid_t pid; /* 0: none */
	pid_t owner;
	int pidfd;
	int socket;
	bool busy;
};

/* A file that a parser did not survive. */
struct refusal {
	const struct parser *parser;
	dev_t device;
	ino_t inode;
};

static struct pool {
	pthread_mutex_t lock; /* for all below; not held while a child works */
	pthread_cond_t idle;
	struct child children[CHILDREN];
	struct refusal refused[REFUSED]; /* a ring */
	size_t refused_count;
	bool served;	/* a child has come up before: the sandbox works here */
	bool abandoned; /* it cannot work here, which has been said */
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER };

static unsigned int timeout_ms = PARSE_TIMEOUT_MS; /* set before there are threads */

void parse_sandbox_set_timeout(unsigned int ms)
{
	timeout_ms = ms;
}

/* --- talking ---------------------------------------------------------------------------------- */

/* Until when a child is waited for. */
struct patience {
	uint64_t next_sign_ns;
	uint64_t end_ns;
};

static void renew(struct patience *p)
{
	p->next_sign_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
}

static struct patience patience(void)
{
	struct patience p = { .end_ns = clock_monotonic_ns() + PARSE_TOTAL_MS * NS_PER_MS };

	renew(&p);
	return p;
}

static int wait_ready(int fd, short events, const struct patience *p)
{
	uint64_t until = p->next_sign_ns < p->end_ns ? p->next_sign_ns : p->end_ns;

	for (;;) {
		struct pollfd ready = { .fd = fd, .events = events };
		uint64_t now = clock_monotonic_ns();
		int n;

		if (now >= until)
			return -ETIMEDOUT;
		n = poll(&ready, 1, (int)((until - now + NS_PER_MS - 1) / NS_PER_MS));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* After a send() or recv() that did not succeed: 0 to try again, or -errno; -EPIPE: it is gone. */
static int retry(const struct child *c, short events, const struct patience *p)
{
	if (errno == EINTR)
		return 0;
	if (errno == EAGAIN)
		return wait_ready(c->socket, events, p);
	return errno == ECONNRESET ? -EPIPE : -errno;
}

static int tell(const struct child *c, const void *bytes, size_t length, struct patience *p)
{
	const char *at = bytes;

	while (length) {
		ssize_t n = send(c->socket, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);
		int error = n < 0 ? retry(c, POLLOUT, p) : 0;

		if (error)
			return error;
		if (n <= 0)
			continue;
		at += n;
		length -= (size_t)n;
		renew(p);
	}
	return 0;
}

/* Descriptors that the child would send along are not taken: there is no room for them. */
static int hear(const struct child *c, void *bytes, size_t length, struct patience *p)
{
	char *at = bytes;

	while (length) {
		ssize_t n = recv(c->socket, at, length, MSG_DONTWAIT);
		int error = n < 0 ? retry(c, POLLIN, p) : !n ? -EPIPE : 0;

		if (error)
			return error;
		if (n < 0)
			continue;
		at += n;
		length -= (size_t)n;
		renew(p);
	}
	return 0;
}

/* Memory is taken as bytes come, not as many as are announced. */
static int hear_out(const struct child *c, struct buffer *out, uint64_t bytes, struct patience *p)
{
	while (bytes) {
		size_t step = bytes < 65536 ? (size_t)bytes : 65536;
		uint8_t *at = buffer_extend(out, step);
		int error = at ? hear(c, at, step, p) : -ENOMEM;

		if (error)
			return error;
		bytes -= step;
	}
	return 0;
}

static int tell_question(
	const struct child *c, const struct parse_question *q, const int *files, struct patience *p)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(PARSE_MAX_FILES * sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec part = { (void *)q, sizeof(*q) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	int fds[PARSE_MAX_FILES];
	size_t count = 0;

	for (uint32_t i = 0; i < q->file_count; i++)
		if (q->present & 1U << i)
			fds[count++] = files[i];
	if (count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	}
	for (;;) {
		/* So few bytes are sent whole or not at all. */
		ssize_t n = sendmsg(c->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		int error = n < 0 ? retry(c, POLLOUT, p) : 0;

		if (error || n >= 0)
			return error;
	}
}

/* The next reply but a sign of life. */
static int hear_reply(const struct child *c, struct parse_reply *reply, enum parse_reply_kind kind,
	struct patience *p)
{
	for (;;) {
		int error = hear(c, reply, sizeof(*reply), p);

		if (error)
			return error;
		if (reply->magic != PARSE_MAGIC || reply->error > 0 || reply->error <= -4096 ||
			reply->out_bytes > PARSE_MAX_OUT_BYTES ||
			(reply->error && reply->out_bytes))
			return -EBADMSG;
		if (reply->kind == kind)
			return 0;
		if (reply->kind != PARSE_PROGRESS || reply->out_bytes)
			return -EBADMSG;
	}
}

/* --- children --------------------------------------------------------------------------------- */

/*
 * Ends a child that may have ended already, and says how it did. One that does not die within a
 * second hangs in the kernel, and is left to die on its own.
 */
static siginfo_t bury(struct child *c)
{
	struct pollfd dead = { .fd = c->pidfd, .events = POLLIN };
	siginfo_t end = { 0 };

	syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
	if (poll(&dead, 1, 1000) > 0)
		waitid(P_PIDFD, (id_t)c->pidfd, &end, WEXITED | WNOHANG);
	close(c->pidfd);
	close(c->socket);
	c->pid = 0;
	return end;
}

static bool has_ended(const struct child *c)
{
	struct pollfd dead = { .fd = c->pidfd, .events = POLLIN };

	return poll(&dead, 1, 0) > 0;
}

/* An answer that no one asked for. */
static bool has_more_to_say(const struct child *c)
{
	struct pollfd ready = { .fd = c->socket, .events = POLLIN };

	return poll(&ready, 1, 0) > 0;
}

static bool is_worn(const struct child *c)
{
	struct timespec used;
	clockid_t clock;

	return !clock_getcpuclockid(c->pid, &clock) && !clock_gettime(clock, &used) &&
	       used.tv_sec >= CHILD_CPU_S;
}

/* Nothing of ours but what the loader needs to find the same libraries. */
static char *const *environment(char library_path[PATH_MAX], char *list[3])
{
	const char *path = getenv("LD_LIBRARY_PATH");
	size_t n = 0;

	if (path && snprintf(library_path, PATH_MAX, "LD_LIBRARY_PATH=%s", path) < PATH_MAX)
		list[n++] = library_path;
	/*
	 * For builds with ASan: signals end the process as they would without it, and no leak check
	 * or symbolizer, which need what the sandbox forbids.
	 */
	list[n++] = "ASAN_OPTIONS=detect_leaks=0:symbolize=0:handle_segv=0:handle_sigbus=0:"
		    "handle_abort=0:handle_sigfpe=0:handle_sigill=0:allocator_may_return_null=1";
	list[n] = NULL;
	return list;
}

static int prepare(posix_spawnattr_t *attributes, posix_spawn_file_actions_t *actions, int socket)
{
	sigset_t none, all;
	int error;

	sigemptyset(&none);
	sigfillset(&all);
	/* A session of its own: keys typed for heaptap do not reach it. */
	error = posix_spawnattr_setflags(
		attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	if (!error)
		error = posix_spawnattr_setsigmask(attributes, &none);
	if (!error)
		error = posix_spawnattr_setsigdefault(attributes, &all);
	if (!error)
		error = posix_spawn_file_actions_adddup2(actions, socket, PARSE_CHILD_SOCKET);
	for (int fd = 0; !error && fd <= 2; fd++)
		/* What ASan finds is worth seeing. */
		if (!SANDBOX_SANITIZED || fd != STDERR_FILENO)
			error = posix_spawn_file_actions_addopen(
				actions, fd, "/dev/null", fd ? O_WRONLY : O_RDONLY, 0);
	if (!error)
		error = posix_spawn_file_actions_addclosefrom_np(actions, PARSE_CHILD_SOCKET + 1);
	return -error;
}

static int execute(pid_t *pid, int socket)
{
	static char name[] = PARSE_CHILD;
	char *const arguments[] = { name, NULL };
	char library_path[PATH_MAX], *list[3];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error = -posix_spawnattr_init(&attributes);

	if (error)
		return error;
	error = -posix_spawn_file_actions_init(&actions);
	if (!error) {
		error = prepare(&attributes, &actions, socket);
		/* The file that runs, whatever became of its path. */
		if (!error)
			error = -posix_spawn(pid, "/proc/self/exe", &actions, &attributes,
				arguments, environment(library_path, list));
		posix_spawn_file_actions_destroy(&actions);
	}
	posix_spawnattr_destroy(&attributes);
	return error;
}

static int make_child(struct child *c)
{
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	error = execute(&c->pid, pair[1]);
	close(pair[1]);
	if (!error) {
		c->owner = gettid();
		c->socket = pair[0];
		c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
		if (c->pidfd >= 0)
			return 0;
		error = -errno;
		/* Closing the socket ends it. */
	}
	c->pid = 0;
	close(pair[0]);
	return error;
}

/* Will the next try fare no better? Memory, descriptors and processes can be short for a while. */
static bool is_lasting(int error)
{
	return error != -EAGAIN && error != -ENOMEM && error != -EMFILE && error != -ENFILE;
}

/* A child in its sandbox; *lasting: it failed, and so will the next. */
static int bring_up(struct child *c, bool *lasting)
{
	struct patience p = { .end_ns = clock_monotonic_ns() + PARSE_TIMEOUT_MS * NS_PER_MS,
		.next_sign_ns = UINT64_MAX };
	struct parse_reply hello = { 0 };
	siginfo_t end;
	int error = make_child(c);

	*lasting = error && is_lasting(error);
	if (error)
		return error;
	error = hear_reply(c, &hello, PARSE_HELLO, &p);
	if (!error)
		error = hello.error;
	if (!error) {
		debug("parser child %d: no capabilities, seccomp%s%s%s", c->pid,
			hello.layers & SANDBOX_NOBODY ? ", nobody" : "",
			hello.layers & SANDBOX_NAMESPACES ? ", no network" : "",
			hello.layers & SANDBOX_NO_FILES ? ", no files" : "");
		return 0;
	}
	end = bury(c);
	/* Refused by the kernel; or another program than ours, or one that the loader gave up on. */
	*lasting = hello.error || end.si_code == CLD_EXITED;
	return error;
}

/* Says what it means; true: from now on there is no sandbox. */
static bool note_failed_start(int error, bool lasting)
{
	bool abandoned;

	pthread_mutex_lock(&pool.lock);
	if (lasting && !pool.served && !pool.abandoned) {
		pool.abandoned = true;
		warn("program files are parsed without the sandbox: its process does not start "
		     "(%s); it needs /proc, and a kernel with seccomp filters",
			strerror(-error));
	} else if (!pool.abandoned) {
		warn("cannot start a process that parses program files: %s; names are missing",
			strerror(-error));
	}
	abandoned = pool.abandoned;
	pthread_mutex_unlock(&pool.lock);
	return abandoned;
}

/* How much a place suits us: one with our own child best, then one with none. */
static int suits(const struct child *c)
{
	if (c->busy)
		return 0;
	return c->pid && c->owner == gettid() ? 3 : !c->pid || has_ended(c) ? 2 : 1;
}

/* Waits for a place whose child is not at work; NULL: do without. */
static struct child *take_child(void)
{
	struct child *found = NULL;

	pthread_mutex_lock(&pool.lock);
	while (!found && !pool.abandoned) {
		for (size_t i = 0; i < CHILDREN; i++)
			if (suits(&pool.children[i]) > (found ? suits(found) : 0))
				found = &pool.children[i];
		if (!found)
			pthread_cond_wait(&pool.idle, &pool.lock);
	}
	if (found)
		found->busy = true;
	pthread_mutex_unlock(&pool.lock);
	return found;
}

static void give_back(struct child *c, bool served)
{
	pthread_mutex_lock(&pool.lock);
	c->busy = false;
	pool.served |= served;
	/* All: a sandbox given up while others wait concerns each of them. */
	pthread_cond_broadcast(&pool.idle);
	pthread_mutex_unlock(&pool.lock);
}

/* 0; -EAGAIN: there is none now; -ENOSYS: there will be none. An end between two requests is no file's fault. */
static int make_ready(struct child *c)
{
	bool lasting;
	int error;

	if (c->pid && (c->owner != gettid() || has_ended(c) || has_more_to_say(c) || is_worn(c)))
		bury(c);
	if (c->pid)
		return 0;
	error = bring_up(c, &lasting);
	if (error)
		return note_failed_start(error, lasting) ? -ENOSYS : -EAGAIN;
	return 0;
}

void parse_sandbox_end(void)
{
	pthread_mutex_lock(&pool.lock);
	for (size_t i = 0; i < CHILDREN; i++)
		if (pool.children[i].pid && !pool.children[i].busy)
			bury(&pool.children[i]);
	pthread_mutex_unlock(&pool.lock);
}

/* --- requests --------------------------------------------------------------------------------- */

struct request {
	const struct parser *parser;
	const int *files;
	const struct buffer *in;
	struct buffer *out;
	struct parse_question question;
	struct patience patience;
	bool told; /* the child has all of it */
};

static int first_file(const struct request *r)
{
	for (uint32_t i = 0; i < r->question.file_count; i++)
		if (r->files[i] >= 0)
			return r->files[i];
	return -1;
}

static bool is_refused(const struct request *r)
{
	bool found = false;
	struct stat st;

	if (fstat(first_file(r), &st))
		return false;
	pthread_mutex_lock(&pool.lock);
	for (size_t i = 0; i < REFUSED && i < pool.refused_count; i++)
		found |= pool.refused[i].parser == r->parser &&
			 pool.refused[i].device == st.st_dev && pool.refused[i].inode == st.st_ino;
	pthread_mutex_unlock(&pool.lock);
	return found;
}

static void refuse(const struct request *r)
{
	struct stat st;

	if (fstat(first_file(r), &st))
		return;
	pthread_mutex_lock(&pool.lock);
	pool.refused[pool.refused_count++ % REFUSED] =
		(struct refusal){ r->parser, st.st_dev, st.st_ino };
	pthread_mutex_unlock(&pool.lock);
}

static const char *file_name(const struct request *r, char name[FILE_NAME])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", first_file(r));
	n = readlink(link, name, FILE_NAME - 1);
	snprintf(name + (n > 0 ? n : 0), n > 0 ? 1 : FILE_NAME, "%s", n > 0 ? "" : "a file");
	return name;
}

/* Tells once what became of the child, and sees to it that the file does no more harm. */
static void blame(const struct request *r, int error, const siginfo_t *end)
{
	char name[FILE_NAME], what[128];

	if (error == -EBADMSG)
		snprintf(what, sizeof(what), "gave an answer that makes no sense");
	else if (error == -ETIMEDOUT && clock_monotonic_ns() >= r->patience.end_ns)
		snprintf(what, sizeof(what), "was not done in %d s", PARSE_TOTAL_MS / 1000);
	else if (error == -ETIMEDOUT)
		snprintf(what, sizeof(what), "gave no sign of life in %g s", timeout_ms / 1000.0);
	else if (end->si_code == CLD_EXITED)
		snprintf(what, sizeof(what), "ended with exit code %d", end->si_status);
	else if (end->si_status == SIGSYS)
		snprintf(what, sizeof(what), "was killed for a system call that it may not make");
	else if (end->si_signo)
		snprintf(what, sizeof(what), "was killed by signal %d (%s)", end->si_status,
			sigdescr_np(end->si_status));
	else
		snprintf(what, sizeof(what), "is gone");
	warn("no %s of %s: its parser %s; the file is not asked again, all else goes on; it may be "
	     "damaged, or made to do harm",
		r->parser->name, file_name(r, name), what);
	refuse(r);
}

/* *answer is the parser's own 0 or -errno; what is returned tells of the child. */
static int converse(const struct child *c, struct request *r, int *answer)
{
	struct parse_reply reply;
	char name[FILE_NAME];
	int error;

	r->told = false;
	r->patience = patience();
	error = tell_question(c, &r->question, r->files, &r->patience);
	if (!error)
		error = tell(c, r->in->data, r->in->length, &r->patience);
	if (error)
		return error;
	r->told = true;
	if (log_get_level() >= LOG_DEBUG)
		debug("parser child %d is asked for the %s of %s", c->pid, r->parser->name,
			file_name(r, name));
	error = hear_reply(c, &reply, PARSE_ANSWER, &r->patience);
	if (!error)
		error = hear_out(c, r->out, reply.out_bytes, &r->patience);
	if (!error && !reply.error && r->parser->check)
		error = r->parser->check(r->in, r->out);
	*answer = reply.error;
	return error;
}

/* Asks one child: its answer, or what is to be told of its end; -ESTALE: it was no more. */
static int ask_child(struct child *c, struct request *r)
{
	siginfo_t end;
	int answer = 0, error = converse(c, r, &answer);

	if (!error)
		return answer;
	end = bury(c);
	buffer_clear(r->out);
	if (error == -EPIPE && !r->told)
		return -ESTALE;
	if (error != -EPIPE && error != -ETIMEDOUT && error != -EBADMSG)
		return error; /* ours: no memory, a descriptor that is not open */
	blame(r, error, &end);
	return -EIO;
}

int parse_ask(const struct parser *parser, uint32_t index, const int *files, size_t count,
	const struct buffer *in, struct buffer *out)
{
	struct request r = { .parser = parser, .files = files, .in = in, .out = out };
	int error;

	if (count > PARSE_MAX_FILES || in->length > PARSE_MAX_IN_BYTES)
		return -E2BIG;
	r.question = (struct parse_question){ .magic = PARSE_MAGIC,
		.parser = index,
		.file_count = (uint32_t)count,
		.in_bytes = in->length };
	for (size_t i = 0; i < count; i++)
		r.question.present |= files[i] >= 0 ? 1U << i : 0;
	if (is_refused(&r))
		return -EIO;
	/* One that ends as it is asked has not looked at the file: the next one may. */
	for (int tries = 0; tries < 3; tries++) {
		struct child *c = take_child();
		int ready;

		if (!c)
			return parse_here(parser, files, count, in, out);
		ready = make_ready(c);
		error = ready ? ready : ask_child(c, &r);
		give_back(c, !ready);
		if (error != -ESTALE && ready != -ENOSYS)
			return error;
	}
	return -EAGAIN;
}
