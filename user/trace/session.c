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

enum ht_mode session_mode(const struct session *s)
{
	return s->mode;
}

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

int session_new(struct session **session, enum ht_mode mode, uint8_t domains)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return err(-ENOMEM, "out of memory");
	s->rules.sample_bytes = 1;
	s->mode = mode;
	s->domains = domains;
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
		/* Growth needs no probe: whatever code there is will do. */
		if (error || s->mode == HT_MODE_GROWTH || target_has_probes(s, t))
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

int session_open(struct session **session, pid_t pid, enum ht_mode mode, uint8_t domains)
{
	int error = session_new(session, mode, domains);

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
	target_begin_governing(s, t, t->process.pid, false);
	if (s->armed)
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
	if (!error && s->begun)
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

	if (size < sizeof(*m))
		return 0;
	/* Of processes nothing: follow_processes() looks for itself. */
	if (m->kind == HT_MESSAGE_ALARM)
		s->alarmed = true;
	if (m->kind == HT_MESSAGE_LIVE_PRESSURE && m->subject == s->tables.segments)
		tables_add_segment(&s->tables,
			&s->kernel); /* what does not fit meanwhile is counted as lost */
	return 0;
}

/* Growth has no links to choose among. */
static int load_growth(struct session *s, const struct table_limits *limits)
{
	struct table_limits sized = *limits;
	int error = kernel_open_growth(&s->kernel);

	sized.max_live = sized.max_in_flight = 1; /* it follows no blocks */
	if (!error)
		error = tables_configure(&s->tables, &s->kernel, &sized);
	if (!error)
		error = growth_configure(&s->growth, &s->kernel);
	if (!error)
		error = kernel_load(&s->kernel);
	if (error == -EPERM || error == -EACCES)
		return err(-EPERM, "the kernel refuses BPF programs: run as root or with CAP_BPF "
				   "and CAP_PERFMON");
	if (error == -ENOMEM)
		return err(error, "not enough memory for the kernel's tables: lower --max-stacks");
	if (error)
		return err(-EOPNOTSUPP,
			"the kernel does not take heaptap's BPF programs (%s): Linux 6.1 or newer "
			"with BTF is needed; -v tells more",
			strerror(-error));
	return 0;
}

int session_load(struct session *s, const struct table_limits *limits, enum link_choice choice)
{
	bool growth = s->mode == HT_MODE_GROWTH;
	struct table_limits sized = *limits;
	int error;

	/* What is followed whatever it costs is spared the clock: govern.c then tells the cost by counts. */
	sized.timed = s->cost.timed = growth || s->governing.budget > 0;
	error = growth ? load_growth(s, &sized)
		       : choose_link(&s->kernel, &s->tables, &sized, choice);
	if (error)
		return error;
	if (growth)
		cost_without_traps(&s->cost);
	else
		cost_assume(&s->cost);
	error = tables_map(&s->tables, &s->kernel);
	if (!error && growth)
		error = growth_map(&s->growth, &s->kernel);
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

static int attach_growth(struct session *s)
{
	int error = seccomp_check(&session_first(s)->process);

	return error ? error
		     : growth_attach(&s->growth, &s->kernel, s->domains >> HT_DOMAIN_MMAP & 1);
}

int session_attach(struct session *s)
{
	int error = sideband_open(&s->sideband);

	if (error)
		debug("no side-band records: %s; new code is looked for again and again",
			strerror(-error));
	if (s->mode == HT_MODE_GROWTH)
		return attach_growth(s);
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
	session_begin_governing(s);
	s->armed = s->begun = true;
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->state == TARGET_TRACED)
			arm(s, s->targets[i]);
	if (s->mode == HT_MODE_GROWTH)
		return growth_begin(&s->growth, &s->kernel, &first->process, first->slot);
	/* Not earlier: the kernel attaches one probe at a time. */
	cost_start(&s->cost, s->kernel.kind);
	return 0;
}

static void set_armed(struct session *s, bool armed)
{
	s->armed = armed;
	for (uint32_t i = 0; i < s->target_count; i++) {
		const struct target *t = s->targets[i];

		if (t->has_slot && (!armed || (t->state == TARGET_TRACED && !t->awaits_exec)))
			__atomic_store_n(&target_record(s, t)->armed, armed, __ATOMIC_RELEASE);
	}
}

void session_take_out(struct session *s)
{
	set_armed(s, false);
	scope_take_out(s);
	s->governing.out_ns = clock_monotonic_ns();
	ring_buffer__consume(s->messages);
	session_sweep_calls(s, true);
	s->drained = true;
}

int session_put_in(struct session *s)
{
	s->governing.out_ns = 0;
	s->drained = false;
	for (uint32_t i = 0; i < s->target_count; i++) {
		struct target *t = s->targets[i];
		int error = t->state == TARGET_TRACED ? scope_attach(s, t) : 0;

		/* One that goes away meanwhile is noticed soon. */
		if (error && error != -ESRCH && !process_ended(&t->process))
			return error;
	}
	set_armed(s, true);
	return 0;
}

/* --- disarm, detach, close -------------------------------------------------------------------- */

void session_disarm(struct session *s)
{
	uint64_t give_up = clock_monotonic_ns() + DRAIN_MS * NS_PER_MS;

	if (!s->governing.ended_ns)
		s->governing.ended_ns = clock_monotonic_ns();
	if (!s->begun)
		return;
	s->begun = false;
	follow_close(s);
	if (follow_processes(s))
		debug("some children's figures are missing");
	if (!s->armed)
		return;
	for (uint32_t i = 0; i < s->target_count; i++) {
		if (s->targets[i]->state != TARGET_TRACED)
			continue;
		target_look_for_probes(s, s->targets[i]);
		target_warn_of_debugger(s->targets[i]);
	}
	if (s->mode == HT_MODE_GROWTH)
		growth_end(&s->growth, &s->tables, session_process(s), session_first(s)->slot);
	set_armed(s, false);
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
	growth_detach(&s->growth);
	cost_finish(&s->cost);
	cost_tell(&s->cost);
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
	cost_finish(&s->cost);
	session_close(s->governing.trend);
	follow_close(s);
	scope_close(s);
	growth_release(&s->growth);
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
