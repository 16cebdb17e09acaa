// SPDX-License-Identifier: GPL-2.0-or-later
#include "session.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "choose.h"
#include "seccomp.h"
#include "session_internal.h"
#include "truth.h"

#define START_UP_ATTEMPTS 8
#define START_UP_STEP_US  30000
#define DRAIN_STEP_US	  500
#define YOUNG_NS	  NS_PER_S /* may not have mapped all that it will */

const struct process *session_process(const struct session *s)
{
	return &session_first(s)->process;
}

const struct plan *session_plan(const struct session *s)
{
	return &s->plan;
}

const struct image *session_image(const struct session *s)
{
	return &s->image;
}

const char *session_link_name(const struct session *s)
{
	return link_kind_name(s->kernel.kind);
}

const struct profile *session_profile(const struct session *s)
{
	return &s->profile;
}

uint32_t session_target_count(const struct session *s)
{
	return s->target_count;
}

const struct target *session_target(const struct session *s, uint32_t i)
{
	return s->targets[i];
}

uint64_t session_missed_processes(const struct session *s)
{
	return s->tables.control->processes_missed;
}

void session_set_follow(struct session *s, bool children)
{
	s->follow_exec = true;
	s->follow = children;
}

void session_set_wide(struct session *s)
{
	s->wide = true;
}

void session_set_expecting(struct session *s)
{
	s->expecting = true;
}

/* --- open ------------------------------------------------------------------------------------ */

int session_new(struct session **session)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return err(-ENOMEM, "out of memory");
	s->rules.sample_bytes = 1;
	*session = s;
	return 0;
}

/* Why there is nothing to probe in it, though there may be in other targets. */
static int explain_nothing(const struct session *s, const struct target *t)
{
	struct image its = { .modules = calloc(s->image.module_count + 1UL, sizeof(*its.modules)) };
	int error;

	if (!its.modules)
		return err(-ENOMEM, "out of memory");
	for (uint32_t i = 0; i < s->image.module_count; i++)
		if (target_maps(t, i))
			its.modules[its.module_count++] = s->image.modules[i];
	error = plan_explain_nothing(&its, &t->process);
	free(its.modules); /* what they own is the session's */
	return error;
}

/* A program that has just begun has not mapped its C library yet: looks again before it says no. */
static int look_into(struct session *s, struct target *t)
{
	for (int attempt = 0; attempt < START_UP_ATTEMPTS; attempt++) {
		int error;

		if (attempt)
			usleep(START_UP_STEP_US);
		error = target_read_image(s, t);
		if (error || target_has_probes(s, t))
			return error;
		/* One that is long there maps no C library any more. */
		if (s->target_count > 1 &&
			clock_realtime_ns() - t->process.start_realtime_ns > YOUNG_NS)
			break;
	}
	return explain_nothing(s, t);
}

static int add(struct session *s, pid_t pid)
{
	struct target *t = target_add(s);
	int error;

	if (!t)
		return err(-ENOMEM, "out of memory");
	t->begun_ns = t->reported_ns = clock_monotonic_ns();
	error = process_open(pid, &t->process);
	return error ? error : look_into(s, t);
}

int session_open(struct session **session, pid_t pid)
{
	int error = session_new(session);

	/* A target that cannot be traced stays, for those who want to know why. */
	return error ? error : add(*session, pid);
}

static bool is_traced(const struct session *s, pid_t pid)
{
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->process.pid == pid && s->targets[i]->state == TARGET_TRACED)
			return true;
	return false;
}

/* One that has counted nothing: without its slot it is only to be dropped. */
static void forget(struct session *s, struct target *t)
{
	target_end(s, t, "target_exit");
	t->read = true;
	target_free_slots(s);
}

static int begin_late(struct session *s, struct target *t)
{
	int error = seccomp_check(&t->process);

	if (!error)
		error = target_publish(s, t);
	if (error)
		return error;
	error = scope_attach(s, t);
	if (error) {
		forget(s, t);
		return error;
	}
	__atomic_store_n(&target_record(s, t)->armed, 1, __ATOMIC_RELEASE);
	return 0;
}

int session_add(struct session *s, pid_t pid)
{
	struct target *t;
	uint32_t before = s->target_count;
	int error;

	if (is_traced(s, pid))
		return 0;
	error = add(s, pid);
	if (s->target_count == before)
		return error;
	t = s->targets[s->target_count - 1];
	/* The id of a thread was given, of a process that is traced. */
	if (!error && t->process.pid != pid) {
		t->state = TARGET_LEFT_OUT;
		if (is_traced(s, t->process.pid)) {
			target_drop(s, t);
			return 0;
		}
		t->state = TARGET_TRACED;
	}
	if (!error && s->armed)
		error = begin_late(s, t);
	if (error)
		target_drop(s, t);
	return error;
}

int session_add_command(struct session *s, pid_t pid, const char *const *files, uint32_t count)
{
	struct target *t = target_add(s);
	int error;

	if (!t)
		return err(-ENOMEM, "out of memory");
	t->begun_ns = t->reported_ns = clock_monotonic_ns();
	t->awaits_exec = true;
	error = process_open(pid, &t->process);
	for (uint32_t i = 0; !error && i < count; i++)
		error = image_add_file(&s->image, files[i]);
	if (error)
		return error;
	error = target_name_modules(s, t);
	if (error || s->plan.count)
		return error;
	return err(-ENXIO,
		"%s has no allocator: none of its files defines malloc and free, or it is a "
		"stripped static executable",
		files[0]);
}

/* --- load ------------------------------------------------------------------------------------ */

static int on_message(void *context, void *data, size_t size)
{
	struct session *s = context;
	const struct ht_message *m = data;

	/* Of processes: follow_processes() looks for itself. */
	if (size < sizeof(*m) || m->kind != HT_MESSAGE_LIVE_PRESSURE)
		return 0;
	if (m->segments == s->tables.segments)
		tables_add_segment(&s->tables,
			&s->kernel); /* what does not fit meanwhile is counted as lost */
	return 0;
}

int session_load(struct session *s, const struct table_limits *limits, enum link_choice choice)
{
	int error = choose_link(&s->kernel, &s->tables, limits, choice);

	if (error)
		return error;
	error = tables_map(&s->tables, &s->kernel);
	if (error)
		return error;
	s->messages = ring_buffer__new(bpf_map__fd(s->kernel.maps.messages), on_message, s, NULL);
	if (!s->messages)
		return err(-errno, "cannot read the kernel's messages: %s", strerror(errno));
	error = truth_open(s);
	for (uint32_t i = 0; !error && i < s->target_count; i++)
		error = target_publish(s, s->targets[i]);
	return error;
}

/* --- attach, arm ----------------------------------------------------------------------------- */

/* One of several that goes away meanwhile, or may not be traced, is no reason not to trace the others. */
static int attach_targets(struct session *s)
{
	for (uint32_t i = 0; i < s->target_count;) {
		struct target *t = s->targets[i];
		int error = seccomp_check(&t->process);

		if (!error)
			error = scope_attach(s, t);
		if (error && error != -ESRCH && error != -EOPNOTSUPP)
			return error;
		if (error && s->target_count == 1)
			return error;
		if (!error) {
			i++;
			continue;
		}
		forget(s, t);
		target_drop(s, t);
	}
	return 0;
}

int session_attach(struct session *s)
{
	int error = sideband_open(&s->sideband);

	if (error)
		debug("no side-band records: %s; new code is looked for again and again",
			strerror(-error));
	tables_offer_slots(&s->tables);
	error = s->follow_exec ? follow_open(s) : 0;
	if (error)
		warn("the kernel does not tell of fork and exec (%s): children are not followed",
			strerror(-error));
	error = attach_targets(s);
	scope_tell_reach(s);
	return error;
}

static void arm(struct session *s, struct target *t)
{
	t->begun_ns = t->reported_ns = clock_monotonic_ns();
	if (t->awaits_exec)
		__atomic_store_n(&target_record(s, t)->awaits_exec, 1, __ATOMIC_RELEASE);
	else
		__atomic_store_n(&target_record(s, t)->armed, 1, __ATOMIC_RELEASE);
}

int session_arm(struct session *s)
{
	struct target *first = session_first(s);
	int error;

	if (s->target_count == 1 && process_ended(&first->process))
		return err(-ESRCH, "pid %d (%s) exited before tracing began", first->process.pid,
			first->process.comm);
	error = follow_processes(s);
	if (error)
		return error;
	s->armed = true;
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->state == TARGET_TRACED)
			arm(s, s->targets[i]);
	return 0;
}

/* --- disarm, detach, close -------------------------------------------------------------------- */

void session_disarm(struct session *s)
{
	uint64_t give_up = clock_monotonic_ns() + DRAIN_MS * NS_PER_MS;

	if (!s->armed)
		return;
	follow_close(s);
	if (follow_processes(s))
		debug("some children's figures are missing");
	for (uint32_t i = 0; i < s->target_count; i++) {
		if (s->targets[i]->state != TARGET_TRACED)
			continue;
		target_look_for_probes(s, s->targets[i]);
		target_warn_of_debugger(s->targets[i]);
	}
	s->armed = false;
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->has_slot)
			__atomic_store_n(
				&target_record(s, s->targets[i])->armed, 0, __ATOMIC_RELEASE);
	/* After this no program runs that saw a process armed; only returns are left. */
	tables_synchronize(&s->tables, &s->kernel);
	while (session_in_flight(s) && clock_monotonic_ns() < give_up &&
		!(s->target_count == 1 && process_ended(&session_first(s)->process)))
		usleep(DRAIN_STEP_US);
	ring_buffer__consume(s->messages);
}

void session_detach(struct session *s)
{
	scope_close(s);
	if (!s->kernel.object || s->drained)
		return;
	/* No program runs any more, no return is counted: what is still in flight never ends for us. */
	session_sweep_calls(s, true);
	s->drained = true;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	follow_close(s);
	scope_close(s);
	sideband_close(&s->sideband);
	for (uint32_t i = 0; i < s->target_count; i++)
		target_free(s->targets[i]);
	free(s->targets);
	free(s->given_up);
	truth_close(s);
	ring_buffer__free(s->messages);
	tables_unmap(&s->tables);
	kernel_close(&s->kernel);
	profile_release(&s->profile);
	plan_release(&s->plan);
	image_release(&s->image);
	free(s);
}
