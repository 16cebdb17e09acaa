// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The parsers' sandbox for real: this program runs itself again as the child, with the true parsers
 * and with one that does whatever a hostile file would like it to.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../user/base/clock.h"
#include "../../user/base/err.h"
#include "../../user/base/parse_wire.h"
#include "../../user/base/sandbox.h"
#include "../../user/symbol/symbols.h"
#include "../../user/target/allocator.h"

/* --- the parser that misbehaves --------------------------------------------------------------- */

/* What it is asked for stands at the start of the input, the rest is its argument. */
enum deed {
	TELL_PID,
	ECHO_FILES,
	/* crashes */
	ABORT,
	SEGFAULT,
	STACK_OVERFLOW,
	TRUNCATED_FILE,
	EXIT,
	/* hangs */
	LOOP,
	STOP,
	SLOW,
	/* what is refused */
	OPEN,
	READLINK,
	WRITE,
	ALLOCATE,
	/* what kills */
	FIRST_KILLER,
	SOCKET = FIRST_KILLER,
	EXECUTE,
	FORK,
	KILL,
	TRACE,
	MAP_CODE,
	PROTECT_CODE,
	MAP_FILE_SHARED,
	MEMFD,
	SET_USER,
	NEW_PRIVILEGES,
	NAMESPACE,
	PROCESS_MEMORY,
	BPF,
	IO_URING,
	SEND_DESCRIPTOR,
	OTHER_SOCKET,
	LAST_KILLER = OTHER_SOCKET,
	/* lies */
	WRONG_ANSWER,
	RAW,
	TWO_ANSWERS,
	TOO_MUCH,
};

static int overflow(volatile char *above)
{
	volatile char here[4096];

	here[0] = above ? above[0] : 1;
	return here[0] ? overflow(here) + here[0] : 0;
}

static long forbidden(enum deed deed, int file)
{
	static char *const nothing[] = { NULL };
	char byte = 0;

	switch (deed) {
	case SOCKET:
		return socket(AF_INET, SOCK_STREAM, 0);
	case EXECUTE:
		return execve("/bin/sh", nothing, nothing);
	case FORK:
		return syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
	case KILL:
		return kill(getpid(), SIGKILL);
	case TRACE:
		return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	case MAP_CODE:
		return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0) != MAP_FAILED;
	case PROTECT_CODE:
		return mprotect(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
			4096, PROT_READ | PROT_EXEC);
	case MAP_FILE_SHARED:
		return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) != MAP_FAILED;
	case MEMFD:
		return memfd_create("x", 0);
	case SET_USER:
		return setuid(0);
	case NEW_PRIVILEGES:
		return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	case NAMESPACE:
		return unshare(CLONE_NEWUSER);
	case PROCESS_MEMORY:
		return syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0);
	case BPF:
		return syscall(SYS_bpf, 0, NULL, 0);
	case IO_URING:
		return syscall(SYS_io_uring_setup, 1, NULL);
	case SEND_DESCRIPTOR:
		return sendmsg(PARSE_CHILD_SOCKET, &(struct msghdr){ 0 }, 0);
	default:
		return send(file, &byte, 1, 0);
	}
}

static int crash(enum deed deed, int file)
{
	volatile char *mapped;

	switch (deed) {
	case ABORT:
		abort();
	case SEGFAULT:
		mapped = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		return mapped[0];
	case STACK_OVERFLOW:
		return overflow(NULL);
	case TRUNCATED_FILE:
		mapped = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, file, 0);
		return mapped == MAP_FAILED ? -errno : mapped[4096];
	default:
		_exit(3);
	}
}

static int hang(enum deed deed, uint64_t slow_ns)
{
	uint64_t end = clock_monotonic_ns() + slow_ns;

	if (deed == STOP)
		return raise(SIGSTOP);
	while (deed == LOOP || clock_monotonic_ns() < end)
		if (deed == SLOW)
			parse_progress();
	return 0;
}

static int allocate(struct buffer *out)
{
	uint64_t bytes = 0, step = 64 << 20;

	while (bytes < 64ULL << 30 && malloc(step))
		bytes += step;
	buffer_append(out, &bytes, sizeof(bytes));
	return 0;
}

static int refused(enum deed deed)
{
	char text[64];

	switch (deed) {
	case OPEN:
		return open("/etc/passwd", O_RDONLY) < 0 ? -errno : 0;
	case READLINK:
		return readlink("/proc/self/exe", text, sizeof(text)) < 0 ? -errno : 0;
	default:
		return write(1, "x", 1) < 0 ? -errno : 0;
	}
}

static int lie(enum deed deed, const struct buffer *in, struct buffer *out)
{
	static const struct parse_reply replies[2] = {
		{ PARSE_MAGIC, PARSE_ANSWER, 0, 0, 0 },
		{ PARSE_MAGIC, PARSE_ANSWER, 0, 0, 0 },
	};

	switch (deed) {
	case WRONG_ANSWER:
		buffer_text(out, "wrong");
		return 0;
	case RAW:
		send(PARSE_CHILD_SOCKET, in->data + 1, in->length - 1, 0);
		return 0;
	case TWO_ANSWERS:
		send(PARSE_CHILD_SOCKET, replies, sizeof(replies), 0);
		return 0;
	default:
		return buffer_extend(out, PARSE_MAX_OUT_BYTES + 1) ? 0 : -ENOMEM;
	}
}

static void echo(const int *files, size_t count, const struct buffer *in, struct buffer *out)
{
	for (size_t i = 0; i < count; i++) {
		char bytes[16];
		ssize_t n = files[i] < 0 ? 0 : pread(files[i], bytes, sizeof(bytes), 0);

		buffer_text(out, files[i] < 0 ? "-" : "+");
		buffer_append(out, bytes, n > 0 ? (size_t)n : 0);
	}
	buffer_append(out, in->data + 1, in->length - 1);
}

static int misbehave(const int *files, size_t count, const struct buffer *in, struct buffer *out)
{
	enum deed deed = in->data[0];
	int file = count ? files[0] : -1;
	pid_t pid = getpid();

	if (deed == TELL_PID)
		buffer_append(out, &pid, sizeof(pid));
	else if (deed == ECHO_FILES)
		echo(files, count, in, out);
	else if (deed <= EXIT)
		return crash(deed, file);
	else if (deed <= SLOW)
		return hang(deed, 1500 * NS_PER_MS);
	else if (deed <= WRITE)
		return refused(deed);
	else if (deed == ALLOCATE)
		return allocate(out);
	else if (deed <= LAST_KILLER)
		return forbidden(deed, file) < 0 ? -errno : 0;
	else
		return lie(deed, in, out);
	return 0;
}

static int misbehave_check(const struct buffer *in, const struct buffer *out)
{
	(void)in;
	return out->length == 5 && !memcmp(out->data, "wrong", 5) ? -EBADMSG : 0;
}

static const struct parser misbehaving = { "secrets", misbehave, misbehave_check };
static const struct parser *const parsers[] = { &elf_parser, &symbols_parser, &misbehaving };

/* --- asking it -------------------------------------------------------------------------------- */

static int memory_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, name, strlen(name)), strlen(name));
	return fd;
}

static int ask(enum deed deed, const void *argument, size_t length, int fd, struct buffer *out)
{
	struct buffer in CLEANUP_BUFFER = { 0 };

	buffer_append(&in, &(uint8_t){ (uint8_t)deed }, 1);
	buffer_append(&in, argument, length);
	return parse_file(&misbehaving, fd, &in, out);
}

/* What heaptap says meanwhile, in a file. */
static int saved_stderr, message_file;

static void begin_messages(void)
{
	message_file = memfd_create("messages", MFD_CLOEXEC);
	saved_stderr = fcntl(2, F_DUPFD_CLOEXEC, 3);
	assert_true(message_file >= 0 && saved_stderr >= 0);
	assert_int_equal(dup2(message_file, 2), 2);
}

static void end_messages(char text[1024])
{
	ssize_t n = pread(message_file, text, 1023, 0);

	dup2(saved_stderr, 2);
	close(saved_stderr);
	close(message_file);
	assert_true(n >= 0);
	text[n] = 0;
}

/* Asks for a deed on a file of its own, which must fail with this message; other files go on. */
static void assert_costs_one_file(
	enum deed deed, const void *argument, size_t length, const char *message)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = memory_file("bad one"), other = memory_file("good one");
	char text[1024];
	int result;

	begin_messages();
	result = ask(deed, argument, length, fd, &out);
	end_messages(text);
	if (result != -EIO || !strstr(text, message) ||
		!strstr(text, "no secrets of /memfd:bad one (deleted): its parser "))
		fail_msg("deed %d: result %d, and the message: %s", deed, result, text);
	assert_int_equal(out.length, 0);

	/* Nobody is asked about it again, which is told once. */
	begin_messages();
	assert_int_equal(ask(ECHO_FILES, "", 0, fd, &out), -EIO);
	assert_int_equal(ask(ECHO_FILES, "!", 1, other, &out), 0);
	end_messages(text);
	assert_string_equal(text, "");
	assert_string_equal(buffer_string(&out), "+good one!");
}

static pid_t child_pid(void)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = memory_file("pid");

	assert_int_equal(ask(TELL_PID, NULL, 0, fd, &out), 0);
	assert_int_equal(out.length, sizeof(pid_t));
	return *(pid_t *)(void *)out.data;
}

/* --- what it can do --------------------------------------------------------------------------- */

static void test_files(void **state)
{
	CLEANUP_CLOSE int a = memory_file("one"), b = memory_file("two");
	const int files[] = { -1, a, -1, b }, same[] = { b, b, b, b };
	struct buffer in CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };

	(void)state;
	buffer_append(&in, "\1.", 2);
	assert_int_equal(parse_request(&misbehaving, files, 4, &in, &out), 0);
	assert_string_equal(buffer_string(&out), "-+one-+two.");
	assert_int_equal(parse_request(&misbehaving, same, 4, &in, &out), 0);
	assert_string_equal(buffer_string(&out), "+two+two+two+two.");
	assert_int_equal(parse_request(&misbehaving, NULL, 0, &in, &out), 0);
	assert_string_equal(buffer_string(&out), ".");
	assert_int_equal(parse_request(&misbehaving, files, 5, &in, &out), -E2BIG);
	assert_int_equal(parse_request(&misbehaving, (int[]){ 9999 }, 1, &in, &out), -EBADF);
	assert_int_equal(parse_request(&misbehaving, files, 2, &in, &out), 0);
	assert_string_equal(buffer_string(&out), "-+one.");
}

/* As large as questions and answers may be: neither side waits for the other to read. */
static void test_large(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = memory_file("large");
	size_t length = PARSE_MAX_IN_BYTES - 1;
	uint8_t *argument = malloc(length + 1);

	(void)state;
	assert_non_null(argument);
	for (size_t i = 0; i < length; i++)
		argument[i] = (uint8_t)(i * 2654435761U >> 24);
	assert_int_equal(ask(ECHO_FILES, argument, length, fd, &out), 0);
	assert_int_equal(out.length, 1 + strlen("large") + length);
	assert_memory_equal(out.data + out.length - length, argument, length);
	assert_int_equal(ask(ECHO_FILES, argument, length + 1, fd, &out), -E2BIG);
	assert_int_equal(ask(TOO_MUCH, NULL, 0, fd, &out), -EFBIG);
	assert_int_equal(ask(ECHO_FILES, "", 0, fd, &out), 0);
	free(argument);
}

static void assert_same(const struct parser *parser, const char *path, const struct buffer *in)
{
	struct buffer here CLEANUP_BUFFER = { 0 }, there CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(parser->run(&fd, 1, in, &here), 0);
	if (parser->check)
		assert_int_equal(parser->check(in, &here), 0);
	assert_int_equal(parse_file(parser, fd, in, &there), 0);
	assert_int_equal(here.length, there.length);
	assert_memory_equal(here.data, there.data, here.length);
}

static int find_base(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	*(uintptr_t *)data = info->dlpi_addr; /* the program itself comes first */
	return 1;
}

/* Inside and outside of the sandbox the true parsers say the same. */
static void test_true_parsers(void **state)
{
	struct buffer names CLEANUP_BUFFER = { 0 }, queries CLEANUP_BUFFER = { 0 };
	uintptr_t base;

	(void)state;
	dl_iterate_phdr(find_base, &base);
	assert_int_equal(allocator_names(&names), 0);
	for (size_t i = 0; i < 200; i++) {
		struct symbols_query *q = buffer_extend(&queries, sizeof(*q));

		assert_non_null(q);
		q->address = (uintptr_t)test_true_parsers - base + i * 64;
		q->is_call = i & 1;
	}
	assert_same(&elf_parser, "/proc/self/exe", &names);
	assert_same(&elf_parser, "/lib/x86_64-linux-gnu/libc.so.6", &names);
	assert_same(&symbols_parser, "/proc/self/exe", &queries);
}

/* --- what it cannot do ------------------------------------------------------------------------ */

static void read_status(pid_t pid, struct buffer *status)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	assert_int_equal(buffer_read_file(status, path, 1 << 20), 0);
	buffer_string(status);
}

static void assert_line(const struct buffer *status, const char *line)
{
	if (!strstr((const char *)status->data, line))
		fail_msg("no line '%s' in\n%s", line + 1, (const char *)status->data);
}

static size_t entries_of(pid_t pid, const char *directory)
{
	const struct dirent *entry;
	size_t count = 0;
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, directory);
	d = opendir(path);
	assert_non_null(d);
	while ((entry = readdir(d)))
		count += entry->d_name[0] != '.';
	closedir(d);
	return count;
}

static void assert_link(pid_t pid, const char *name, const char *expected, bool equal)
{
	char path[64], target[256] = "";

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	assert_true(readlink(path, target, sizeof(target) - 1) > 0);
	if (!strncmp(target, expected, strlen(expected)) != equal)
		fail_msg("%s is %s", path, target);
}

static void assert_harmless(pid_t pid)
{
	struct buffer status CLEANUP_BUFFER = { 0 };

	read_status(pid, &status);
	assert_line(&status, "\nCapInh:\t0000000000000000\n");
	assert_line(&status, "\nCapPrm:\t0000000000000000\n");
	assert_line(&status, "\nCapEff:\t0000000000000000\n");
	assert_line(&status, "\nCapAmb:\t0000000000000000\n");
	assert_line(&status, "\nNoNewPrivs:\t1\n");
	assert_line(&status, "\nSeccomp:\t2\n");
	assert_line(&status, "Name:\t" PARSE_CHILD "\n" + 1);
}

static void test_nothing_left(void **state)
{
	struct buffer status CLEANUP_BUFFER = { 0 };
	char own_network[64] = "";
	pid_t pid;
	int leak;

	(void)state;
	parse_sandbox_end();
	leak = open("/etc/passwd", O_RDONLY); /* without O_CLOEXEC */
	pid = child_pid();
	close(leak);
	assert_harmless(pid);
	if (geteuid()) {
		print_message(
			"not root: its user, descriptors and namespaces were not looked at\n");
		return;
	}
	read_status(pid, &status);
	assert_line(&status, "\nUid:\t65534\t65534\t65534\t65534\n");
	assert_line(&status, "\nGid:\t65534\t65534\t65534\t65534\n");
	assert_line(&status, "\nCapBnd:\t0000000000000000\n");
	assert_int_equal(entries_of(pid, "fd"), 4);
	assert_link(pid, "fd/0", "/dev/null", true);
	assert_link(pid, "fd/1", "/dev/null", true);
	assert_link(pid, "fd/2", "/dev/null", !SANDBOX_SANITIZED);
	assert_link(pid, "fd/3", "socket:", true);
	assert_int_equal(entries_of(pid, "root"), 0);
	assert_true(readlink("/proc/self/ns/net", own_network, sizeof(own_network) - 1) > 0);
	assert_link(pid, "ns/net", own_network, false);
}

static void test_refused(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = memory_file("x");
	pid_t pid = child_pid();

	(void)state;
	assert_int_equal(ask(OPEN, NULL, 0, fd, &out), -ENOENT);
	assert_int_equal(ask(READLINK, NULL, 0, fd, &out), -ENOENT);
	assert_int_equal(ask(WRITE, NULL, 0, fd, &out), -EPERM);
	assert_int_equal(child_pid(), pid);
	if (SANDBOX_SANITIZED)
		return;
	assert_int_equal(ask(ALLOCATE, NULL, 0, fd, &out), 0);
	assert_true(*(uint64_t *)(void *)out.data < 4ULL << 30);
}

static void test_forbidden(void **state)
{
	(void)state;
	for (enum deed deed = FIRST_KILLER; deed <= LAST_KILLER; deed++)
		assert_costs_one_file(
			deed, NULL, 0, "was killed for a system call that it may not make");
}

static void test_crashes(void **state)
{
	(void)state;
	assert_costs_one_file(ABORT, NULL, 0, "was killed by signal 6 (Aborted)");
	assert_costs_one_file(SEGFAULT, NULL, 0, "was killed by signal 11 (Segmentation fault)");
	assert_costs_one_file(STACK_OVERFLOW, NULL, 0, "was killed by signal 11");
	assert_costs_one_file(TRUNCATED_FILE, NULL, 0, "was killed by signal 7 (Bus error)");
	assert_costs_one_file(EXIT, NULL, 0, "ended with exit code 3");
}

static void test_hangs(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = memory_file("slow");

	(void)state;
	parse_sandbox_set_timeout(200);
	assert_costs_one_file(LOOP, NULL, 0, "gave no sign of life in 0.2 s");
	assert_costs_one_file(STOP, NULL, 0, "gave no sign of life in 0.2 s");
	/* One that is slow, but at work. */
	parse_sandbox_set_timeout(1000);
	assert_int_equal(ask(SLOW, NULL, 0, fd, &out), 0);
	parse_sandbox_set_timeout(PARSE_TIMEOUT_MS);
}

static void test_lies(void **state)
{
	static const char nonsense[] = "gave an answer that makes no sense";
	static const struct parse_reply replies[] = {
		{ 0, PARSE_ANSWER, 0, 0, 0 },
		{ PARSE_MAGIC, PARSE_HELLO, 0, 0, 0 },
		{ PARSE_MAGIC, 99, 0, 0, 0 },
		{ PARSE_MAGIC, PARSE_ANSWER, 1, 0, 0 },
		{ PARSE_MAGIC, PARSE_ANSWER, INT32_MIN, 0, 0 },
		{ PARSE_MAGIC, PARSE_ANSWER, -EIO, 0, 1 },
		{ PARSE_MAGIC, PARSE_ANSWER, 0, 0, PARSE_MAX_OUT_BYTES + 1 },
		{ PARSE_MAGIC, PARSE_ANSWER, 0, 0, UINT64_MAX },
		{ PARSE_MAGIC, PARSE_PROGRESS, 0, 0, 1 },
	};

	(void)state;
	assert_costs_one_file(WRONG_ANSWER, NULL, 0, nonsense);
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++)
		assert_costs_one_file(RAW, &replies[i], sizeof(replies[i]), nonsense);
}

/* The second of two answers is not taken for that to the next question. */
static void test_two_answers(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = memory_file("x");
	pid_t pid = child_pid();

	(void)state;
	assert_int_equal(ask(TWO_ANSWERS, NULL, 0, fd, &out), 0);
	assert_int_equal(out.length, 0);
	assert_int_equal(ask(ECHO_FILES, "!", 1, fd, &out), 0);
	assert_string_equal(buffer_string(&out), "+x!");
	assert_int_not_equal(child_pid(), pid);
}

/* --- what becomes of it ----------------------------------------------------------------------- */

static void test_idle_death(void **state)
{
	pid_t pid = child_pid();
	char text[1024];
	siginfo_t end;

	(void)state;
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &end, WEXITED | WNOWAIT), 0);
	begin_messages();
	assert_int_not_equal(child_pid(), pid);
	end_messages(text);
	assert_string_equal(text, "");
}

static void *ask_often(void *argument)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	char name[16], expected[64];
	int fd, wrong = 0;

	snprintf(name, sizeof(name), "file %d", (int)(intptr_t)argument);
	snprintf(expected, sizeof(expected), "+%s!", name);
	fd = memfd_create(name, MFD_CLOEXEC);
	wrong += write(fd, name, strlen(name)) < 0;
	for (int i = 0; i < 100; i++) {
		wrong += ask(ECHO_FILES, "!", 1, fd, &out) != 0;
		wrong += strcmp(buffer_string(&out), expected) != 0;
	}
	close(fd);
	return (void *)(intptr_t)wrong;
}

static void test_threads(void **state)
{
	pthread_t threads[5];
	void *wrong;

	(void)state;
	for (intptr_t i = 0; i < (intptr_t)ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_often, (void *)i), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

/* Runs a function in a process of its own, which has no children yet. */
static pid_t in_process(void (*function)(int), int argument)
{
	pid_t pid;

	parse_sandbox_end();
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		function(argument);
		_exit(99);
	}
	return pid;
}

static int exit_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void tell_pid_and_loop(int pipe)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	pid_t pid = child_pid();

	if (write(pipe, &pid, sizeof(pid)) == sizeof(pid))
		ask(LOOP, NULL, 0, pipe, &out);
}

static void test_dies_with_heaptap(void **state)
{
	struct buffer status CLEANUP_BUFFER = { 0 };
	pid_t tracer, child;
	int ends[2];

	(void)state;
	/* Orphans become ours. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	tracer = in_process(tell_pid_and_loop, ends[1]);
	assert_int_equal(read(ends[0], &child, sizeof(child)), sizeof(child));
	/* At work: it would not notice a closed socket. */
	do {
		buffer_clear(&status);
		read_status(child, &status);
	} while (!strstr((const char *)status.data, "State:\tR"));
	kill(tracer, SIGKILL);
	assert_int_equal(exit_of(tracer), -SIGKILL);
	assert_int_equal(exit_of(child), -SIGKILL);
	close(ends[0]);
	close(ends[1]);
}

static void without_privileges(int expected)
{
	(void)expected;
	if (setgroups(0, NULL) || setresgid(12345, 12345, 12345) || setresuid(12345, 12345, 12345))
		_exit(1);
	/* Fails by an assertion, which leaves the process with another code. */
	assert_harmless(child_pid());
	_exit(0);
}

static void test_without_privileges(void **state)
{
	(void)state;
	if (geteuid())
		skip(); /* then all other tests have shown it */
	assert_int_equal(exit_of(in_process(without_privileges, 0)), 0);
}

/* --- when there can be none ------------------------------------------------------------------- */

static void without_descriptors(int fd)
{
	struct rlimit few = { 3, 1024 }, enough = { 1024, 1024 };
	struct buffer out CLEANUP_BUFFER = { 0 };
	char text[1024];

	begin_messages();
	if (setrlimit(RLIMIT_NOFILE, &few) || ask(ECHO_FILES, "!", 1, fd, &out) != -EAGAIN ||
		setrlimit(RLIMIT_NOFILE, &enough))
		_exit(1);
	end_messages(text);
	if (!strstr(text, "cannot start a process that parses program files: Too many open files"))
		_exit(2);
	/* That passes, and is not held against the file. */
	_exit(ask(ECHO_FILES, "!", 1, fd, &out) || child_pid() == getpid() ? 3 : 0);
}

static void without_seccomp(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static const char expected[] = "program files are parsed without the sandbox";
	struct sock_fprog program = { ARRAY_SIZE(code), code };
	struct buffer out CLEANUP_BUFFER = { 0 };
	char text[1024];
	const char *said;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		_exit(1);
	begin_messages();
	if (ask(ECHO_FILES, "!", 1, fd, &out) || strcmp(buffer_string(&out), "+x!") ||
		child_pid() != getpid())
		_exit(2);
	if (ask(WRONG_ANSWER, NULL, 0, fd, &out) != -EBADMSG)
		_exit(3);
	end_messages(text);
	said = strstr(text, expected);
	_exit(said && !strstr(said + strlen(expected), expected) ? 0 : 4);
}

static void test_no_child(void **state)
{
	CLEANUP_CLOSE int fd = memory_file("x");

	(void)state;
	assert_int_equal(exit_of(in_process(without_descriptors, fd)), 0);
	assert_int_equal(exit_of(in_process(without_seccomp, fd)), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_child), /* first: where one has come up, all can */
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_true_parsers),
		cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_crashes),
		cmocka_unit_test(test_hangs),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_two_answers),
		cmocka_unit_test(test_idle_death),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_dies_with_heaptap),
		cmocka_unit_test(test_without_privileges),
	};

	(void)argc;
	parse_sandbox(argv, parsers, ARRAY_SIZE(parsers));
	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
