// SPDX-License-Identifier: GPL-2.0-or-later
/* The loop that serves the kernel half while a session runs. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "session_internal.h"
#include "truth.h"

#define POLL_MS	    50 /* how soon new code is known */
#define START_UP_MS 5  /* the same, of a program that has just begun */
#define START_UP_NS (500 * NS_PER_MS)
#define REFRESH_MS  200 /* the least time between two readings of the mappings of a process */

/* --- mappings ---------------------------------------------------------------------------------- */

static bool is_starting(const struct target *t)
{
	return (!t->known || t->stale) && clock_monotonic_ns() - t->begun_ns < START_UP_NS;
}

/* What it says of one that is going away, nobody needs to know. */
static int read_quietly(struct session *s, struct target *t)
{
	struct buffer unsaid CLEANUP_BUFFER = { 0 };
	int error;

	log_capture(&unsaid);
	error = target_read_image(s, t);
	log_capture(NULL);
	if (error && error != -ESRCH && !process_ended(&t->process))
		warn("%.*s", (int)strcspn(buffer_string(&unsaid), "\n"), buffer_string(&unsaid));
	return error;
}

/* A library that came by dlopen, or all of a new program: its code, and its allocator, if it has one. */
static int refresh(struct session *s, struct target *t)
{
	int error;

	t->stale = false;
	t->refreshed_ns = clock_monotonic_ns();
	/* What is known stays known, and counting goes on: no reason to end a run. */
	if (read_quietly(s, t))
		return 0;
	session_publish_rules(s); /* the module asked for may have come */
	error = scope_attach(s, t);
	if (error == -ESRCH)
		return 0;
	if (error && error != -ENOMEM)
		warn("not all allocators of pid %d are traced", t->process.pid);
	error = target_publish_ranges(s, t);
	if (!error && t->stale_since_ns) {
		s->tables.unwinder.newest_ns = (int64_t)(clock_monotonic_ns() - t->stale_since_ns);
		debug("new code has rows %.1f ms after it was mapped",
			(double)s->tables.unwinder.newest_ns / NS_PER_MS);
	}
	t->stale_since_ns = 0;
	return error;
}

static int refresh_stale(struct session *s)
{
	uint64_t now = clock_monotonic_ns();

	for (uint32_t i = 0; i < s->target_count; i++) {
		struct target *t = s->targets[i];
		/* A JIT maps code all the time: what it costs us to follow stays small. */
		uint64_t pause = is_starting(t) ? START_UP_MS : REFRESH_MS;
		int error = 0;

		if (t->awaits_exec)
			continue;
		if (t->state == TARGET_TRACED && (t->stale || !t->known || !s->sideband.count) &&
			now - t->refreshed_ns >= pause * NS_PER_MS)
			error = refresh(s, t);
		if (error)
			return error;
	}
	return 0;
}

static void on_sideband(void *context, enum sideband_kind kind, pid_t pid, uint64_t at_ns)
{
	struct session *s = context;

	for (uint32_t i = 0; i < s->target_count; i++) {
		struct target *t = s->targets[i];

		if (t->state != TARGET_TRACED || (kind != SIDEBAND_LOST && t->process.pid != pid))
			continue;
		if (kind == SIDEBAND_EXEC && !s->follows)
			target_record(s, t)->ended = 1;
		if (kind != SIDEBAND_EXEC)
			t->stale = true;
		if (at_ns && (!t->stale_since_ns || at_ns < t->stale_since_ns))
			t->stale_since_ns = at_ns;
	}
}

/* --- processes ----------------------------------------------------------------------------------- */

/*
 * Perf uprobes of a process are those of its first thread, and fall silent when that exits. What comes in their place
 * is for all processes.
 */
static int follow_main_threads(struct session *s)
{
	if (s->kernel.kind != LINK_PERF)
		return 0;
	for (uint32_t i = 0; i < s->target_count; i++) {
		struct target *t = s->targets[i];
		bool reached = true;
		int error;

		for (uint32_t l = 0; l < s->links.count; l++)
			reached &= s->links.owners[l].pid != t->process.pid;
		if (reached || t->state != TARGET_TRACED || process_ended(&t->process) ||
			process_live_thread(&t->process) == t->process.pid)
			continue;
		warn("perf probes end with the main thread: calls of the last %d ms may be "
		     "missing, and blocks freed by them are shown as live",
			POLL_MS);
		error = scope_attach(s, t);
		if (error && error != -ESRCH)
			return error;
	}
	return 0;
}

static void notice_ends(struct session *s, const struct pollfd *fds)
{
	/* Those that came since the poll are at the end, and looked at next time. */
	for (uint32_t i = 0; fds && i < s->target_count; i++)
		if (fds[i].fd >= 0 && fds[i].revents)
			target_end(s, s->targets[i], "target_exit");
}

static bool any_goes_on(const struct session *s)
{
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->state == TARGET_TRACED)
			return true;
	return false;
}

/* A command has begun, and is a target as any other from now on. */
static void notice_commands(struct session *s)
{
	for (uint32_t i = 0; i < s->target_count; i++) {
		struct target *t = s->targets[i];
		struct process now = { .pidfd = -1 };

		if (!t->awaits_exec || target_record(s, t)->awaits_exec || !s->armed)
			continue;
		t->awaits_exec = false;
		if (process_open(t->process.pid, &now))
			continue;
		process_close(&t->process);
		t->process = now;
		target_record(s, t)->start_time = now.start_ticks;
	}
}

static int look_after(struct session *s)
{
	int error = follow_main_threads(s);

	if (!error && !links_hold(&s->links))
		return err(-EIO,
			"someone killed the process that holds the probes in pid %d: nothing is "
			"counted any more",
			session_first(s)->process.pid);
	if (!error)
		error = follow_processes(s);
	if (error)
		return error;
	notice_commands(s);
	sideband_read(&s->sideband, on_sideband, s);
	/* The kernel half sees it too, also when records were lost. */
	for (uint32_t i = 0; i < s->target_count; i++)
		if (!s->follows && s->targets[i]->has_slot && target_after_exec(s, s->targets[i]))
			target_record(s, s->targets[i])->ended = 1;
	if (!s->follows && s->target_count == 1 && target_record(s, session_first(s))->ended)
		return SESSION_TARGET_EXEC;
	error = read_ended(s);
	if (error)
		return error;
	scope_clean_up(s);
	scope_tell_reach(s);
	return refresh_stale(s);
}

/* --- waiting --------------------------------------------------------------------------------------- */

static int poll_ms(const struct session *s, uint64_t deadline)
{
	uint64_t now = clock_monotonic_ns(), most = POLL_MS;
	uint64_t left_ms = deadline > now ? (deadline - now + NS_PER_MS - 1) / NS_PER_MS : 0;

	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->state == TARGET_TRACED && is_starting(s->targets[i]))
			most = START_UP_MS;
	return (int)(left_ms < most ? left_ms : most);
}

/* Polls for what the caller waits for, the kernel half's messages, and the ends of targets. */
static int wait_once(
	struct session *s, uint64_t deadline, struct pollfd *wanted, size_t count, bool *ready)
{
	struct pollfd *fds CLEANUP_FREE = calloc(count + 1 + s->target_count, sizeof(*fds));
	struct pollfd *ends = fds + count + 1;

	if (!fds)
		return err(-ENOMEM, "out of memory");
	memcpy(fds, wanted, count * sizeof(*wanted));
	fds[count] = (struct pollfd){ .fd = ring_buffer__epoll_fd(s->messages), .events = POLLIN };
	for (uint32_t i = 0; i < s->target_count; i++)
		ends[i] = (struct pollfd){
			.fd = s->targets[i]->state == TARGET_TRACED ? s->targets[i]->process.pidfd
								    : -1,
			.events = POLLIN,
		};
	if (poll(fds, count + 1 + s->target_count, poll_ms(s, deadline)) < 0 && errno != EINTR)
		return err(-errno, "cannot wait for events: %s", strerror(errno));
	ring_buffer__consume(s->messages);
	truth_consume(s);
	growth_follow(&s->growth);
	memcpy(wanted, fds, count * sizeof(*wanted));
	for (size_t i = 0; i < count; i++)
		*ready |= wanted[i].revents != 0;
	notice_ends(s, ends);
	return 0;
}

int session_wait(struct session *s, uint64_t deadline, struct pollfd *wanted, size_t count)
{
	for (;;) {
		bool ready = false;
		int event;

		event = wait_once(s, deadline, wanted, count, &ready);
		if (!event && (any_goes_on(s) || s->expecting))
			event = look_after(s);
		if (!event && any_goes_on(s))
			event = session_govern(s);
		if (!event && !any_goes_on(s) && follow_processes(s) >= 0 && !any_goes_on(s) &&
			!s->expecting)
			event = SESSION_TARGET_EXIT;
		/* What the caller waits for comes first; an end is remembered. */
		if (event < 0 || (event && !ready))
			return event;
		if (ready)
			return SESSION_READY;
		if (clock_monotonic_ns() >= deadline)
			return SESSION_DEADLINE;
	}
}
