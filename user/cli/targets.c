// SPDX-License-Identifier: GPL-2.0-or-later
#include "targets.h"

#include <errno.h>
#include <string.h>

#include "../base/err.h"

/* A program that has just begun has not mapped its allocator yet. */
#define LOOKS_MAX 3

int targets_split(struct target_options *o, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--"))
			continue;
		o->command = argv + i + 1;
		return i;
	}
	return argc;
}

bool targets_select(const struct target_options *o)
{
	const struct selection *s = &o->selection;

	return s->all || s->comm || s->cgroup;
}

int targets_check(const struct target_options *o)
{
	int kinds = (o->pids.count > 0) + targets_select(o) + (o->command != NULL);

	if (!kinds)
		return err(-EINVAL,
			"no process is given: -p PID, --comm NAME, --cgroup PATH, --all, or "
			"-- COMMAND; see heaptap leaks --help");
	if (kinds > 1)
		return err(-EINVAL,
			"give one of -p PID, -- COMMAND, and --comm, --cgroup or --all: they "
			"do not go together");
	if (o->command && !o->command[0])
		return err(-EINVAL, "-- wants a command");
	return 0;
}

bool targets_expects(const struct targets *t)
{
	return targets_select(t->options);
}

static uint64_t identity(pid_t pid)
{
	struct process_stat stat = { 0 };

	if (process_read_stat(pid, &stat))
		return 0;
	return hash_mix((uint64_t)pid, stat.start_ticks);
}

/* Of one that is only among those that are meant, nobody needs to know why it cannot be traced: *why is kept. */
static int add_found(struct targets *t, struct session *session, pid_t pid, struct buffer *why)
{
	uint64_t key = identity(pid);
	uint32_t *looks;
	bool added;
	int error;

	looks = table_add(&t->looked_at, key, &added);
	if (!looks)
		return err(-ENOMEM, "out of memory");
	if (*looks >= LOOKS_MAX)
		return 0;
	log_capture(why);
	error = session_add(session, pid);
	log_capture(NULL);
	if (error == -ENOMEM)
		return err(error, "out of memory");
	/* The table may have grown meanwhile: not here. */
	if (error)
		++*looks;
	return error;
}

static int add_all_found(struct targets *t, struct session *session, struct buffer *why)
{
	struct buffer pids CLEANUP_BUFFER = { 0 };
	int error = selection_list(&t->options->selection, &pids), last = 0;
	const pid_t *all = (const void *)pids.data;

	for (size_t i = 0; !error && i < pids.length / sizeof(*all); i++) {
		int result = add_found(t, session, all[i], why);

		if (result == -ENOMEM)
			error = result;
		else if (result)
			last = result;
	}
	return error ? error : last;
}

static int explain_none(const struct selection *s, struct buffer *why, int last)
{
	if (s->cgroup && !selection_cgroup_exists(s->cgroup))
		return err(-ESRCH,
			"there is no cgroup '%s': give its path below its mount, or in the file "
			"system",
			s->cgroup);
	if (last)
		return err(last, "nothing to trace: %.*s", (int)strcspn(buffer_string(why), "\n"),
			buffer_string(why));
	if (s->comm)
		return err(-ESRCH, "no process%s is called '%s'", s->cgroup ? " of the cgroup" : "",
			s->comm);
	return err(-ESRCH, "there is no process to trace%s%s", s->cgroup ? " in cgroup " : "",
		s->cgroup ? s->cgroup : "");
}

static int open_selection(struct targets *t, struct session *session)
{
	struct buffer why CLEANUP_BUFFER = { 0 };
	int last = add_all_found(t, session, &why);

	if (last == -ENOMEM)
		return last;
	if (!session_target_count(session))
		return explain_none(&t->options->selection, &why, last);
	session_set_expecting(session);
	if (t->options->selection.all)
		session_set_wide(session);
	return 0;
}

static int open_command(struct targets *t, struct session *session)
{
	int error = command_start(&t->command, t->options->command);

	return error ? error
		     : session_add_command(session, t->command.pid, t->command.file_list,
			       t->command.file_count);
}

int targets_open(struct targets *t, const struct target_options *o, struct session **session,
	enum ht_mode mode, uint8_t domains)
{
	int error;

	*t = (struct targets){ .options = o, .command = { .channel = -1 } };
	error = session_new(session, mode, domains);
	if (error)
		return error;
	session_set_follow(*session, !o->no_follow);
	if (o->command)
		return open_command(t, *session);
	if (targets_expects(t))
		return open_selection(t, *session);
	for (size_t i = 0; !error && i < o->pids.count; i++)
		error = session_add(*session, o->pids.all[i]);
	return error;
}

int targets_rescan(struct targets *t, struct session *session)
{
	struct buffer unsaid CLEANUP_BUFFER = { 0 };
	int error = add_all_found(t, session, &unsaid);

	return error == -ENOMEM ? error : 0;
}

void targets_release(struct targets *t)
{
	command_release(&t->command);
	table_release(&t->looked_at);
}
