// SPDX-License-Identifier: GPL-2.0-or-later
#include "command_start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/err.h"
#include "../target/interpreter.h"

#define SCRIPTS_MAX 4 /* a script's interpreter may be one */
#define LIST_LIMIT  (1 << 20)

/* --- its files ------------------------------------------------------------------------------------ */

static bool is_program(const char *path)
{
	struct stat st;

	return !access(path, X_OK) && !stat(path, &st) && S_ISREG(st.st_mode);
}

/* As execvp() would: NULL when there is none. */
static char *find_program(const char *name)
{
	const char *path = getenv("PATH");
	char candidate[PATH_MAX];

	if (strchr(name, '/'))
		return is_program(name) ? strdup(name) : NULL;
	for (path = path ? path : "/bin:/usr/bin"; *path;) {
		const char *end = strchrnul(path, ':');

		snprintf(candidate, sizeof(candidate), "%.*s%s%s", (int)(end - path), path,
			end > path ? "/" : "", name);
		if (is_program(candidate))
			return strdup(candidate);
		path = *end ? end + 1 : end;
	}
	return NULL;
}

static void add_file(struct started_command *c, const char *path)
{
	buffer_append(&c->files, path, strlen(path) + 1);
	c->file_count++;
}

/* The program interpreter lists what it would map, and maps nothing: "name => path (address)" or "path (address)". */
static void add_listed(struct started_command *c, char *text)
{
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *path = strchr(line, '/'), *end = path ? strstr(path, " (") : NULL;

		if (!path || !end)
			continue;
		*end = 0;
		if (is_program(path) || !access(path, R_OK))
			add_file(c, path);
	}
}

static void list_libraries(struct started_command *c, const char *interpreter, const char *program)
{
	struct buffer text CLEANUP_BUFFER = { 0 };
	int out[2];
	pid_t pid;

	if (pipe2(out, O_CLOEXEC))
		return;
	pid = fork();
	if (!pid) {
		int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(nowhere, STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(nowhere, STDERR_FILENO);
		execl(interpreter, interpreter, "--list", program, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	if (pid > 0 && !buffer_read_fd(&text, out[0], LIST_LIMIT))
		add_listed(c, (char *)(uintptr_t)buffer_string(&text));
	close(out[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void find_files(struct started_command *c)
{
	char program[PATH_MAX], next[PATH_MAX];

	snprintf(program, sizeof(program), "%s", c->path);
	for (int i = 0; i < SCRIPTS_MAX; i++) {
		enum interpreter kind = interpreter_of(program, next, sizeof(next));

		if (kind == INTERPRETER_SCRIPT) {
			snprintf(program, sizeof(program), "%s", next);
			continue;
		}
		add_file(c, program);
		if (kind == INTERPRETER_LOADER) {
			add_file(c, next);
			list_libraries(c, next, program);
		}
		break;
	}
}

static int index_files(struct started_command *c)
{
	const char *text = (const char *)c->files.data;

	c->file_list = calloc(c->file_count + 1UL, sizeof(*c->file_list));
	if (!c->file_list || buffer_failed(&c->files))
		return err(-ENOMEM, "out of memory");
	for (uint32_t i = 0; i < c->file_count; i++) {
		c->file_list[i] = text;
		text += strlen(text) + 1;
	}
	return 0;
}

/* --- the child ------------------------------------------------------------------------------------ */

static void restore_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
}

__attribute__((noreturn)) static void become(int channel, const char *path, char **argv)
{
	char go;
	int error;

	if (read(channel, &go, 1) != 1)
		_exit(127);
	restore_signals();
	execv(path, argv);
	error = errno;
	send(channel, &error, sizeof(error), MSG_NOSIGNAL);
	_exit(127);
}

int command_start(struct started_command *c, char **argv)
{
	int channel[2], error;

	*c = (struct started_command){ .channel = -1 };
	c->path = find_program(argv[0]);
	if (!c->path)
		return err(-ESRCH, "cannot execute '%s': %s", argv[0],
			access(argv[0], F_OK) || !strchr(argv[0], '/')
				? "there is no such program"
				: "it is not an executable file");
	find_files(c);
	error = index_files(c);
	if (error)
		return error;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel))
		return err(-errno, "cannot start a command: %s", strerror(errno));
	c->pid = fork();
	if (!c->pid) {
		close(channel[0]);
		become(channel[1], c->path, argv);
	}
	close(channel[1]);
	if (c->pid < 0) {
		error = -errno;
		c->pid = 0;
		close(channel[0]);
		return err(error, "cannot start a command: %s", strerror(-error));
	}
	c->channel = channel[0];
	return 0;
}

int command_go(struct started_command *c)
{
	int error = 0;
	ssize_t n;

	if (send(c->channel, "g", 1, MSG_NOSIGNAL) != 1)
		return err(-ESRCH, "the command was ended before it began");
	/* Its end closes with exec; else the error comes. */
	do
		n = read(c->channel, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	close(c->channel);
	c->channel = -1;
	if (n == sizeof(error))
		return err(-ESRCH, "cannot execute '%s': %s", c->path, strerror(error));
	return 0;
}

int command_exit_code(struct started_command *c)
{
	int status;

	if (!c->pid || waitpid(c->pid, &status, WNOHANG) != c->pid)
		return -1;
	c->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void command_release(struct started_command *c)
{
	if (c->channel >= 0) {
		close(c->channel);
		if (c->pid > 0)
			waitpid(c->pid, NULL, 0);
	}
	free(c->path);
	free(c->file_list);
	buffer_release(&c->files);
	*c = (struct started_command){ .channel = -1 };
}
