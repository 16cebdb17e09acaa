// SPDX-License-Identifier: GPL-2.0-or-later
/* heaptap mark: asks a running recorder for a labelled snapshot. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/err.h"
#include "../base/units.h"
#include "../render/json.h"
#include "../store/json_members.h"
#include "../store/reader.h"
#include "commands.h"
#include "control.h"

struct mark_options {
	uint64_t pid;
	struct common_options common;
};

static const struct option mark_options[] = {
	{ "pid", 'p', OPTION_PID, "PID", "of a process that is being recorded",
		offsetof(struct mark_options, pid), 0, 0, 0 },
	COMMON_OPTIONS(struct mark_options, common),
	{ NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, 0 },
};

enum member { OK, ERROR, SNAPSHOT, PIDS, RECORDED_FILE, RECORDER, MEMBERS };
static const char *const members[MEMBERS] = { "ok", "error", "snapshot", "pids", "file",
	"recorder" };
typedef char values_t[MEMBERS][JSON_MEMBER_BYTES];

/* 0 or -errno without a message. */
static int ask(const char *path, const char *command, const char *label, values_t values)
{
	struct buffer request CLEANUP_BUFFER = { 0 }, answer CLEANUP_BUFFER = { 0 };
	struct json j = { .out = &request };
	int error;

	json_open(&j, NULL, '{');
	json_string(&j, "command", command);
	json_string(&j, "label", label);
	json_close(&j, '}');
	error = buffer_failed(&request);
	if (!error)
		error = control_ask(path, &request, &answer);
	return error ? error : json_members(answer.data, answer.length, members, MEMBERS, values);
}

/* Those that record a process. */
struct candidates {
	uint64_t pid;
	char path[CONTROL_PATH];
	uint32_t count;
	struct buffer list; /* for a message */
};

static bool lists_pid(const char *pids, uint64_t pid)
{
	for (const char *p = pids; *p;) {
		char *end;
		unsigned long long number = strtoull(p, &end, 10);

		if (end == p) {
			p++;
			continue;
		}
		if (number == pid)
			return true;
		p = end;
	}
	return false;
}

static int look_at(const char *path, void *context)
{
	struct candidates *c = context;
	values_t values;

	if (ask(path, "status", NULL, values) || !lists_pid(values[PIDS], c->pid))
		return 0;
	c->count++;
	snprintf(c->path, sizeof(c->path), "%s", path);
	buffer_format(&c->list, "%s%s by pid %s", c->count > 1 ? ", " : "", values[RECORDED_FILE],
		values[RECORDER]);
	return 0;
}

static int find_by_pid(uint64_t pid, char path[CONTROL_PATH])
{
	struct candidates c = { .pid = pid };
	int error = 0;

	control_each(look_at, &c);
	if (!c.count)
		error = err(-ENXIO,
			"nothing records pid %llu: start heaptap record -p %llu -o FILE",
			(unsigned long long)pid, (unsigned long long)pid);
	else if (c.count > 1)
		error = err(-EINVAL, "pid %llu is recorded more than once, name the file: %s",
			(unsigned long long)pid, buffer_string(&c.list));
	memcpy(path, c.path, sizeof(c.path));
	buffer_release(&c.list);
	return error;
}

/* The recording names the socket of its recorder; whether that still writes this file, it is asked. */
static int find_by_file(const char *file, char path[CONTROL_PATH])
{
	struct recording *r = NULL;
	struct stat own, other;
	const char *socket;
	values_t values;
	int error = recording_open(&r, file);

	if (error)
		return error;
	socket = recording_meta(r, "socket");
	snprintf(path, CONTROL_PATH, "%.100s", socket ? socket : "");
	recording_close(r);
	if (!*path || ask(path, "status", NULL, values) || stat(file, &own) ||
		stat(values[RECORDED_FILE], &other) || own.st_ino != other.st_ino ||
		own.st_dev != other.st_dev)
		return err(-ENXIO, "nothing writes to %s any more", file);
	return 0;
}

static int mark(const char *path, const char *label)
{
	values_t values;
	int error = ask(path, "mark", label, values);

	if (error == -EACCES)
		return err(error, "the recorder belongs to another user: %s", path);
	if (error)
		return err(-EIO, "the recorder does not answer: %s", strerror(-error));
	if (strcmp(values[OK], "1") != 0)
		return err(-EIO, "the recorder says: %s", values[ERROR]);
	printf("snapshot %s is \"%s\"\n", values[SNAPSHOT], label);
	return fflush(stdout) ? -EIO : 0;
}

static int mark_run(int argc, char **argv)
{
	struct mark_options o = { 0 };
	char path[CONTROL_PATH] = "";
	const char *words[2];
	int count = options_parse_words(mark_options, argc, argv, &o, words, 2), error;

	if (count < 0)
		return EXIT_USAGE;
	common_apply(&o.common);
	if (o.common.help) {
		command_help(&mark_command, "heaptap mark -p PID LABEL, heaptap mark FILE LABEL");
		return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
	}
	if (count != (o.pid ? 1 : 2) || !*words[count - 1] ||
		strlen(words[count - 1]) >= CONTROL_MAX_LABEL) {
		err(-EINVAL,
			"mark wants -p PID or a recording, and a label of up to 255 bytes; see "
			"heaptap mark --help");
		return EXIT_USAGE;
	}
	error = o.pid ? find_by_pid(o.pid, path) : find_by_file(words[0], path);
	return exit_code_of(error ? error : mark(path, words[count - 1]));
}

const struct command mark_command = {
	.name = "mark",
	.help = "a labelled snapshot in a running recording, now",
	.run = mark_run,
	.options = mark_options,
};
