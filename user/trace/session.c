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

#define POLL_MS		  50 /* how soon new code is known */
#define START_UP_ATTEMPTS 8
#define START_UP_STEP_US  30000
#define REFRESH_MS	  200 /* the least time between two readings of the mappings */
#define DRAIN_MS	  60 /* a call that has not returned by then is asleep, or was jumped out of */
#define DRAIN_STEP_US	  500

enum ht_mode session_mode(const struct session *s)
{
	return s->mode;
}

const struct process *session_process(const struct session *s)
{
	return &s->process;
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

/* --- open ------------------------------------------------------------------------------------ */

/* A program that has just begun has not mapped its C library yet: looks again before it says no. */
static int make_plan(struct session *s)
{
	int error = -ENXIO;

	/* Growth needs no probe: whatever code there is will do. */
	if (s->mode == HT_MODE_GROWTH)
		return image_read(&s->image, &s->process);
	for (int attempt = 0; error == -ENXIO && attempt < START_UP_ATTEMPTS; attempt++) {
		if (attempt)
			usleep(START_UP_STEP_US);
		error = image_read(&s->image, &s->process);
		if (error)
			return error;
		plan_release(&s->plan);
		error = plan_make(&s->plan, &s->image);
	}
	s->plan_modules = s->image.module_count;
	return error == -ENXIO ? plan_explain_nothing(&s->image, &s->process) : error;
}

int session_open(struct session **session, pid_t pid, enum ht_mode mode, uint8_t domains)
{
	struct session *s = calloc(1, sizeof(*s));
	int error;

	if (!s)
		return err(-ENOMEM, "out of memory");
	s->process.pidfd = -1;
	s->tasks.link = -1;
	s->rules.sample_bytes = 1;
	s->mode = mode;
	s->domains = domains;
	*session = s;
	error = process_open(pid, &s->process);
	return error ? error : make_plan(s);
}

/* --- load ------------------------------------------------------------------------------------ */

static int on_message(void *context, void *data, size_t size)
{
	struct session *s = context;
	const struct ht_message *m = data;

	if (size < sizeof(*m))
		return 0;
	if (m->kind == HT_MESSAGE_ALARM)
		s->alarmed = true;
	if (m->kind == HT_MESSAGE_LIVE_PRESSURE && m->subject == s->tables.segments)
		tables_add_segment(&s->tables,
			&s->kernel); /* what does not fit meanwhile is counted as lost */
	return 0;
}

static int copy_modules(struct session *s)
{
	for (uint32_t i = s->profile.module_count; i < s->image.module_count; i++) {
		const struct module *m = &s->image.modules[i];
		const struct elf_info *elf = module_elf(m);
		char build_id[ELF_BUILD_ID_TEXT] = "";

		if (elf)
			elf_build_id_text(build_id, elf);
		if (profile_add_module(&s->profile, m->path, build_id, m->allocator))
			return err(-ENOMEM, "out of memory");
	}
	return 0;
}

/*
 * Where return probes of the plan will stand in this process: the kernel half asks on a pending
 * return.
 */
static int publish_planned(struct session *s)
{
	int fd = bpf_map__fd(s->kernel.maps.planned);

	for (uint32_t r = 0; r < s->image.range_count; r++) {
		const struct ht_range *range = &s->image.ranges[r];

		for (uint32_t i = 0; i < s->plan.count; i++) {
			const struct plan_probe *probe = &s->plan.probes[i];
			uint64_t address = probe->address + range->bias;
			struct ht_planned_key key = { .address = address, .slot = s->slot };
			struct ht_planned value = { range->start, range->end };

			if (probe->module != range->module || !probe->returns ||
				address < range->start || address >= range->end)
				continue;
			if (bpf_map_update_elem(fd, &key, &value, BPF_ANY))
				return err(-errno, "cannot store the plan: %s", strerror(errno));
		}
	}
	return 0;
}

/* Rows for all code, before any range names them. */
static void find_tables(struct session *s)
{
	struct unwinder *u = &s->tables.unwinder;
	uint32_t known = u->table_count;

	for (uint32_t i = 0; i < s->image.range_count; i++) {
		struct ht_range *range = &s->image.ranges[i];

		if (range->module != HT_MODULE_NONE)
			range->table =
				unwinder_table(u, &s->kernel, &s->image.modules[range->module]);
	}
	if (u->table_count != known)
		debug("unwind tables: %u, %u of them from the cache, %llu rows, %llu bytes, in "
		      "%.1f ms",
			u->table_count - 1, u->from_cache, (unsigned long long)u->rows,
			(unsigned long long)unwinder_bytes(u), (double)u->spent_ns / 1e6);
}

/*
 * Publishes the image's ranges: written into the set that no walk uses, then made current by one
 * store. The set was given up one publication ago; walks that began before that have ended, for
 * synchronize waits for them.
 */
static int publish_ranges(struct session *s)
{
	struct ht_process *p = &s->tables.processes[s->slot];
	uint32_t count = s->image.range_count, first;

	find_tables(s);
	if (count > HT_RANGES_PER_PROCESS) {
		log_message(s->generation ? LOG_DEBUG : LOG_WARN,
			"pid %d has %u executable mappings: stacks through those above the first "
			"%u "
			"are truncated",
			s->process.pid, count, HT_RANGES_PER_PROCESS);
		count = HT_RANGES_PER_PROCESS;
	}
	if (s->generation) {
		const struct ht_range *old = &s->tables.ranges[p->ranges >> 32];

		if ((uint32_t)p->ranges == count &&
			!memcmp(old, s->image.ranges, count * sizeof(*old)))
			return 0;
		tables_synchronize(&s->tables, &s->kernel);
	}
	s->generation++;
	first = (2 * s->slot + s->generation % 2) * HT_RANGES_PER_PROCESS;
	memcpy(&s->tables.ranges[first], s->image.ranges, count * sizeof(*s->image.ranges));
	__atomic_store_n(&p->ranges, (uint64_t)first << 32 | count, __ATOMIC_RELEASE);
	__atomic_store_n(&p->generation, s->generation, __ATOMIC_RELEASE);
	return publish_planned(s);
}

static int add_process(struct session *s)
{
	struct ht_process *p = &s->tables.processes[s->slot];
	int error = tasks_open(&s->tasks, s->process.pid);
	uint32_t tgid = s->tasks.tgid;
	struct ht_tgid *place;

	if (error)
		return error;

	*p = (struct ht_process){
		.tgid = tgid,
		.slot = (uint16_t)s->slot,
		.start_time = s->process.start_ticks,
		.mode = (uint8_t)s->mode,
		.domains = s->domains,
	};
	if (bpf_map_update_elem(
		    bpf_map__fd(s->kernel.maps.process_by_tgid), &tgid, &s->slot, BPF_ANY))
		return err(-errno, "cannot add pid %u: %s", tgid, strerror(errno));
	place = &s->tables.slot_by_tgid[tgid % HT_TGID_PLACES];
	if (place->tgid)
		place->shared = 1;
	else
		*place = (struct ht_tgid){ .tgid = tgid, .slot = s->slot };
	session_publish_rules(s);
	cost_set_alarm(&s->tables, s->slot, UINT64_MAX);
	return publish_ranges(s);
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
	if (!error)
		error = copy_modules(s);
	return error ? error : add_process(s);
}

/* --- attach, arm ----------------------------------------------------------------------------- */

/*
 * The kernel knows a link's process by its first thread. Once that has exited, only a link for all
 * processes is left; the programs tell ours from the others, who pay 0.1 us a call.
 */
static pid_t link_scope(struct session *s)
{
	bool leaderless = process_live_thread(&s->process) != s->process.pid;

	s->linked_to_all = leaderless || s->kernel.for_all;
	if (!s->linked_to_all)
		return s->process.pid;
	if (leaderless)
		info("the main thread of pid %d has exited: probes reach all processes on the same "
		     "files, and count this one",
			s->process.pid);
	else
		info("the kernel's probes for one process miss its threads: they reach all "
		     "processes on the same files, and count pid %d",
			s->process.pid);
	return 0;
}

static int attach_module(struct session *s, uint32_t id)
{
	const struct module *m = &s->image.modules[id];

	if (!m->allocator || s->governing.out_ns)
		return 0;
	return links_attach(&s->links, &s->kernel, &s->plan, id, m, link_scope(s));
}

static int attach_all(struct session *s)
{
	if (s->mode == HT_MODE_GROWTH)
		return growth_attach(&s->growth, &s->kernel, s->domains >> HT_DOMAIN_MMAP & 1);
	for (uint32_t id = 0; id < s->image.module_count; id++) {
		int error = attach_module(s, id);

		if (error && process_ended(&s->process))
			return -ESRCH;
		if (error)
			return error;
	}
	return 0;
}

int session_attach(struct session *s)
{
	int error = seccomp_check(&s->process);

	if (error)
		return error;
	error = sideband_open(&s->sideband);
	if (error)
		debug("no side-band records: %s; new code is looked for every %d ms",
			strerror(-error), REFRESH_MS);
	return attach_all(s);
}

int session_arm(struct session *s)
{
	if (process_ended(&s->process))
		return err(-ESRCH, "pid %d (%s) exited before tracing began", s->process.pid,
			s->process.comm);
	session_begin_governing(s);
	__atomic_store_n(&s->tables.processes[s->slot].armed, 1, __ATOMIC_RELEASE);
	s->armed = true;
	/* Not earlier: the kernel attaches one probe at a time. */
	if (s->mode != HT_MODE_GROWTH)
		cost_start(&s->cost, s->kernel.kind);
	if (s->mode == HT_MODE_GROWTH)
		return growth_begin(&s->growth, &s->kernel, &s->process, s->slot);
	return 0;
}

void session_take_out(struct session *s)
{
	s->armed = false;
	__atomic_store_n(&s->tables.processes[s->slot].armed, 0, __ATOMIC_RELEASE);
	links_close(&s->links);
	s->governing.out_ns = clock_monotonic_ns();
	ring_buffer__consume(s->messages);
	s->abandoned_calls = session_in_flight(s);
	session_sweep_calls(s, true);
	s->drained = true;
}

int session_put_in(struct session *s)
{
	int error;

	s->governing.out_ns = 0;
	s->drained = false;
	s->abandoned_calls = 0;
	error = attach_all(s);
	if (error)
		return error;
	__atomic_store_n(&s->tables.processes[s->slot].armed, 1, __ATOMIC_RELEASE);
	s->armed = true;
	return 0;
}

/* --- wait ------------------------------------------------------------------------------------ */

/*
 * A library that came by dlopen: its code becomes known, and its allocator, if it has one, is
 * probed.
 */
static int refresh_image(struct session *s)
{
	int error = image_read(&s->image, &s->process);

	/* Said already. What is known stays known, and counting goes on: no reason to end a run. */
	if (error)
		return 0;
	session_publish_rules(s); /* the module asked for may have come */
	error = copy_modules(s);
	if (s->mode == HT_MODE_GROWTH)
		return error ? error : publish_ranges(s);
	for (; !error && s->plan_modules < s->image.module_count; s->plan_modules++) {
		const struct module *m = &s->image.modules[s->plan_modules];

		if (plan_add_module(&s->plan, s->plan_modules, m) ||
			attach_module(s, s->plan_modules))
			warn("the allocator of %s is not traced", m->path);
	}
	if (!error)
		error = publish_ranges(s);
	if (!error && s->stale_since_ns) {
		s->tables.unwinder.newest_ns = (int64_t)(clock_monotonic_ns() - s->stale_since_ns);
		debug("new code has rows %.1f ms after it was mapped",
			(double)s->tables.unwinder.newest_ns / NS_PER_MS);
	}
	s->stale_since_ns = 0;
	return error;
}

/*
 * perf uprobes of a process are those of its first thread, and fall silent when that exits. The new
 * ones come before the old ones go: calls in flight return through either.
 */
static int follow_main_thread(struct session *s)
{
	struct links old = s->links;
	int error;

	if (s->kernel.kind != LINK_PERF || s->linked_to_all || s->governing.out_ns ||
		process_ended(&s->process) || process_live_thread(&s->process) == s->process.pid)
		return 0;
	warn("perf probes end with the main thread: calls of the last %d ms may be missing, and "
	     "blocks freed by them are shown as live",
		POLL_MS);
	s->links = (struct links){ 0 };
	error = attach_all(s);
	links_close(&old);
	return error;
}

static int follow_target(struct session *s)
{
	/* Without records there may be news at any time. */
	struct sideband_news news = {
		.mapped = s->stale || !s->sideband.count,
		.mapped_ns = s->stale_since_ns,
	};
	uint64_t now = clock_monotonic_ns();

	int error = follow_main_thread(s);

	if (!error && !links_hold(&s->links))
		return err(-EIO,
			"someone killed the process that holds the probes in pid %d: nothing is "
			"counted any more",
			s->process.pid);
	if (error)
		return process_ended(&s->process) ? SESSION_TARGET_EXIT : error;
	sideband_read(&s->sideband, s->process.pid, &news);
	/* The kernel half sees it too, also when records were lost. */
	s->exec_seen |= news.exec || session_after_exec(s);
	if (s->exec_seen)
		return SESSION_TARGET_EXEC;
	s->stale = news.mapped;
	s->stale_since_ns = news.mapped_ns;
	/* A JIT maps code all the time: what it costs us to follow stays small. */
	if (!s->stale || now - s->refreshed_ns < REFRESH_MS * NS_PER_MS)
		return 0;
	s->stale = false;
	s->refreshed_ns = now;
	return refresh_image(s);
}

int session_wait(struct session *s, uint64_t deadline, struct pollfd *wanted, size_t count)
{
	struct pollfd fds[2 + SESSION_MAX_WAITS] = {
		{ .fd = s->process.pidfd, .events = POLLIN },
		{ .fd = ring_buffer__epoll_fd(s->messages), .events = POLLIN },
	};

	if (count > SESSION_MAX_WAITS)
		return err(-EINVAL, "cannot wait for %zu descriptors", count);
	memcpy(fds + 2, wanted, count * sizeof(*wanted));
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		uint64_t left_ms =
			deadline > now ? (deadline - now + NS_PER_MS - 1) / NS_PER_MS : 0;
		bool ready = false;
		int event;

		if (poll(fds, 2 + count, left_ms < POLL_MS ? (int)left_ms : POLL_MS) < 0 &&
			errno != EINTR)
			return err(-errno, "cannot wait for events: %s", strerror(errno));
		ring_buffer__consume(s->messages);
		truth_consume(s);
		growth_follow(&s->growth);
		memcpy(wanted, fds + 2, count * sizeof(*wanted));
		for (size_t i = 0; i < count; i++)
			ready |= wanted[i].revents != 0;
		if (!ready && fds[0].revents)
			return SESSION_TARGET_EXIT;
		event = follow_target(s);
		if (!event)
			event = session_govern(s);
		/* What the caller waits for comes first; an exec is remembered. */
		if (event < 0 || (event && !ready))
			return event;
		if (ready)
			return SESSION_READY;
		if (clock_monotonic_ns() >= deadline)
			return SESSION_DEADLINE;
	}
}

/* --- disarm, detach, close -------------------------------------------------------------------- */

void session_disarm(struct session *s)
{
	uint64_t give_up = clock_monotonic_ns() + DRAIN_MS * NS_PER_MS;

	if (!s->governing.ended_ns)
		s->governing.ended_ns = clock_monotonic_ns();
	if (!s->armed)
		return;
	session_look_for_probes(s);
	session_warn_of_debugger(s);
	s->armed = false;
	if (s->mode == HT_MODE_GROWTH)
		growth_end(&s->growth, &s->tables, &s->process, s->slot);
	__atomic_store_n(&s->tables.processes[s->slot].armed, 0, __ATOMIC_RELEASE);
	/* After this no program runs that saw the process armed; only returns are left. */
	tables_synchronize(&s->tables, &s->kernel);
	while (session_in_flight(s) && clock_monotonic_ns() < give_up &&
		!process_ended(&s->process))
		usleep(DRAIN_STEP_US);
	ring_buffer__consume(s->messages);
}

void session_detach(struct session *s)
{
	links_close(&s->links);
	growth_detach(&s->growth);
	cost_finish(&s->cost);
	cost_tell(&s->cost);
	if (!s->kernel.object || s->drained)
		return;
	/* No program runs any more, no return is counted: what is still in flight never ends for us. */
	s->abandoned_calls = session_in_flight(s);
	session_sweep_calls(s, true);
	s->drained = true;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	cost_finish(&s->cost);
	windows_clear(&s->governing.windows);
	session_close(s->governing.trend);
	links_close(&s->links);
	growth_release(&s->growth);
	sideband_close(&s->sideband);
	tasks_close(&s->tasks);
	truth_close(s);
	ring_buffer__free(s->messages);
	tables_unmap(&s->tables);
	kernel_close(&s->kernel);
	profile_release(&s->profile);
	plan_release(&s->plan);
	image_release(&s->image);
	process_close(&s->process);
	free(s);
}
