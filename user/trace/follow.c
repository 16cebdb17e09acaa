// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Processes that fork and exec bring. The kernel half has given each its slot before it ran; here they
 * get what it cannot give: links, and the names of what they have mapped.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "seccomp.h"
#include "session_internal.h"

int follow_open(struct session *s)
{
	s->tables.control->pid_level = tasks_own_level();
	for (int i = 0; i < KERNEL_FOLLOW; i++) {
		s->follow_links[i] = bpf_program__attach(s->kernel.follow[i]);
		if (!s->follow_links[i]) {
			int error = -errno;

			follow_close(s);
			return error;
		}
	}
	s->follows = true;
	return 0;
}

void follow_close(struct session *s)
{
	for (int i = 0; i < KERNEL_FOLLOW; i++) {
		bpf_link__destroy(s->follow_links[i]);
		s->follow_links[i] = NULL;
	}
}

static struct target *target_of_slot(const struct session *s, uint32_t slot)
{
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->has_slot && s->targets[i]->slot == slot)
			return s->targets[i];
	return NULL;
}

/* Gone before we could look: what is known of it is where it came from. */
static int describe_ended(struct target *t, const struct target *from, pid_t pid)
{
	struct process known = { .pidfd = -1 };

	if (from ? process_copy(&from->process, &known) : 0)
		return err(-ENOMEM, "out of memory");
	known.pid = pid;
	if (!known.exe)
		known.exe = strdup("");
	if (!known.cgroup)
		known.cgroup = strdup("");
	t->process = known;
	return known.exe && known.cgroup ? 0 : err(-ENOMEM, "out of memory");
}

static int copy_ranges(struct target *t, const struct target *from)
{
	if (!from || !from->range_count)
		return 0;
	t->ranges = calloc(from->range_count, sizeof(*t->ranges));
	if (!t->ranges)
		return err(-ENOMEM, "out of memory");
	memcpy(t->ranges, from->ranges, from->range_count * sizeof(*t->ranges));
	t->range_count = from->range_count;
	return 0;
}

static void unlink_process(struct session *s, pid_t pid)
{
	struct links gone = { 0 };

	if (!links_move_process(&s->links, pid, &gone))
		links_close(&gone);
}

static int attach(struct session *s, struct target *t, const struct target *from,
	const struct ht_process *record)
{
	struct buffer unsaid CLEANUP_BUFFER = { 0 };
	int error = seccomp_check(&t->process);

	if (error)
		return error;
	if (record->relink)
		unlink_process(s, t->process.pid);
	log_capture(&unsaid);
	error = scope_attach_ahead(s, t, from ? from : t);
	log_capture(NULL);
	if (error && !process_ended(&t->process))
		warn("pid %d (%s) is not traced from its start: %.*s", t->process.pid,
			t->process.comm, (int)strcspn(buffer_string(&unsaid), "\n"),
			buffer_string(&unsaid));
	return error;
}

/* Is there no target but this one, and the program that ran in its process before? */
static bool is_alone(const struct session *s, const struct target *t)
{
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->state == TARGET_TRACED &&
			s->targets[i]->process.pid != t->process.pid)
			return false;
	return true;
}

static int adopt(struct session *s, uint32_t slot)
{
	struct ht_process *record = &s->tables.processes[slot];
	struct target *from = target_of_slot(s, record->origin_slot), *t = target_add(s);
	struct buffer unsaid CLEANUP_BUFFER = { 0 };
	pid_t pid = (pid_t)record->pid;
	int error;

	if (!t)
		return err(-ENOMEM, "out of memory");
	t->slot = slot;
	t->has_slot = true;
	t->begun_ns = t->reported_ns = clock_monotonic_ns();
	t->tasks.tgid = record->tgid;
	t->tasks.pid = pid;
	record->known = 1;
	target_begin_governing(s, t, pid, record->origin == HT_ORIGIN_FORK);
	log_capture(&unsaid);
	error = process_open(pid, &t->process);
	if (!error)
		error = tasks_open(&t->tasks, pid);
	log_capture(NULL);
	if (error) {
		error = t->process.exe ? 0 : describe_ended(t, from, pid);
		target_end(s, t, "target_exit");
		return error;
	}
	record->start_time = t->process.start_ticks;
	if (record->origin == HT_ORIGIN_FORK) {
		error = copy_ranges(t, from);
		t->published = (struct extent){ record->ranges >> 32, (uint32_t)record->ranges };
	}
	if (error)
		return error;
	/* What it has mapped since is not known yet. */
	t->stale = true;
	if (record->origin == HT_ORIGIN_EXEC && is_alone(s, t))
		session_govern_anew(s);
	/* Its rules are those of its parent when it came: the governor may have changed them since. */
	target_publish_rules(s, t);
	if (s->armed && !record->ended)
		__atomic_store_n(&record->armed, 1, __ATOMIC_RELEASE);
	debug("pid %d (%s) is followed: %s of pid %d", pid, t->process.comm,
		record->origin == HT_ORIGIN_FORK ? "a child" : "exec",
		from ? from->process.pid : 0);
	if (attach(s, t, from, record) && process_ended(&t->process))
		target_end(s, t, "target_exit");
	return 0;
}

int follow_processes(struct session *s)
{
	const struct ht_control *control = s->tables.control;

	for (uint32_t slot = 0; slot < TABLES_MAX_PROCESSES; slot++) {
		const struct ht_process *p = &s->tables.processes[slot];

		if (__atomic_load_n(&p->tgid, __ATOMIC_ACQUIRE) && !p->known) {
			int error = adopt(s, slot);

			if (error)
				return error;
		}
	}
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->has_slot && target_record(s, s->targets[i])->ended)
			target_end(s, s->targets[i], "target_exec");
	tables_offer_slots(&s->tables);
	if (control->processes_missed && !s->told_missed) {
		s->told_missed = true;
		warn("more than %d processes came in a short time: some are not traced",
			TABLES_MAX_PROCESSES);
	}
	return 0;
}
