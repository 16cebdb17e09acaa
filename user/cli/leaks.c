// SPDX-License-Identifier: GPL-2.0-or-later
/* heaptap leaks: the main job. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../../include/sampling.h"
#include "../base/clock.h"
#include "../base/err.h"
#include "commands.h"
#include "dry_run.h"
#include "reporter.h"
#include "targets.h"

struct leaks_options {
	struct target_options targets;
	uint64_t every_ns;
	uint64_t for_ns;
	uint64_t count;
	uint64_t min_age_ns;
	uint64_t top;
	uint64_t sample_bytes; /* as asked for; rules has what it comes to */
	uint64_t budget;       /* in millionths of the process's own CPU time */
	uint64_t thread;
	struct rules rules;
	int reach; /* 1: all */
	struct table_limits limits;
	struct common_options common;
	int mode; /* enum mode_choice */
	int domain;
	int link; /* enum link_choice */
	bool json;
	bool dry_run;
	bool for_given, count_given, min_age_given, top_given;
	bool domain_given, sample_given, budget_given, link_given, reach_given;
	bool filter_given; /* any of the rules */
};

/* In the order of the choices of --mode. */
enum mode_choice { MODE_AUTO, MODE_EXACT, MODE_SAMPLE, MODE_GROWTH };
static const char *const mode_names[] = { "auto", "exact", "sample", "growth" };
/* Of those of --domain. */
enum { DOMAIN_HEAP, DOMAIN_MMAP };

#define AT(member) offsetof(struct leaks_options, member)
#define YEAR_NS	   (366 * 86400 * NS_PER_S)

/* clang-format off */
static const struct option leaks_options[] = {
	TARGET_OPTIONS(struct leaks_options, targets),
	{ "every", 0, OPTION_DURATION, "DURATION", "time between reports (5s)", AT(every_ns), 0, 10 * NS_PER_MS, YEAR_NS },
	{ "for", 0, OPTION_DURATION, "DURATION", "stop after this time (60s, or no limit with --count)", AT(for_ns), AT(for_given), NS_PER_MS, YEAR_NS },
	{ "count", 0, OPTION_NUMBER, "N", "stop after this many reports", AT(count), AT(count_given), 1, UINT32_MAX },
	{ "min-age", 0, OPTION_DURATION, "DURATION", "blocks younger are not outstanding (10s, at most half the time watched)", AT(min_age_ns), AT(min_age_given), 0, YEAR_NS },
	{ "top", 0, OPTION_NUMBER, "N", "stacks to list, 0 for all (10; all with --json)", AT(top), AT(top_given), 0, UINT32_MAX },
	{ "json", 0, OPTION_FLAG, NULL, "one JSON object a report and line", AT(json), 0, 0, 0 },
	{ "mode", 0, OPTION_CHOICE, "auto|exact|sample|growth", "how events are counted: auto does what --budget allows; growth counts pages of one process, without probes", AT(mode), 0, 0, 0 },
	{ "budget", 0, OPTION_PERCENT, "PERCENT", "with --mode auto: what the processes, all together, may lose of their CPU time (5)", AT(budget), AT(budget_given), 1000, 1000000 },
	{ "sample", 0, OPTION_SIZE, "BYTES", "with --mode sample or auto: one sample in so many bytes on average, a power of two (64K)", AT(sample_bytes), AT(sample_given), 1, 1U << HT_INTERVAL_MAX_LOG2 },
	{ "domain", 0, OPTION_CHOICE, "heap|mmap", "mmap: with --mode growth also follow who maps address space; slows all system calls of the host", AT(domain), AT(domain_given), 0, 0 },
	{ "min-size", 0, OPTION_SIZE, "BYTES", "follow no request below", AT(rules.min_bytes), AT(filter_given), 0, 1ULL << HT_ADDRESS_BITS },
	{ "max-size", 0, OPTION_SIZE, "BYTES", "follow no request above", AT(rules.max_bytes), AT(filter_given), 1, 1ULL << HT_ADDRESS_BITS },
	{ "thread", 0, OPTION_NUMBER, "TID", "follow only what this thread requests", AT(thread), AT(filter_given), 1, INT32_MAX },
	{ "threads", 0, OPTION_FLAG, NULL, "tell apart what each thread requests", AT(rules.by_thread), AT(filter_given), 0, 0 },
	{ "module", 0, OPTION_TEXT, "NAME", "follow only requests whose direct caller is in this program or library", AT(rules.module), AT(filter_given), 0, 0 },
	{ "link", 0, OPTION_CHOICE, LINK_CHOICES, "how probes are attached: auto takes the first of the three that works", AT(link), AT(link_given), 0, 0 },
	{ "reach", 0, OPTION_CHOICE, "auto|all", "all: probes reach all processes, which pay for them; children are counted from their first allocation (auto: with more than four targets of a file)", AT(reach), AT(reach_given), 0, 0 },
	{ "dry-run", 0, OPTION_FLAG, NULL, "print the probe plan and attach nothing", AT(dry_run), 0, 0, 0 },
	{ "max-live", 0, OPTION_NUMBER, "N", "live blocks to follow (2097152)", AT(limits.max_live), 0, 1, 1U << 30 },
	{ "max-stacks", 0, OPTION_NUMBER, "N", "different stacks to keep (32768)", AT(limits.max_stacks), 0, 1, 1U << 22 },
	{ "max-in-flight", 0, OPTION_NUMBER, "N", "concurrent realloc and posix_memalign calls, without sessions all calls (8192)", AT(limits.max_in_flight), 0, 1, 1U << 20 },
	{ "max-unwind", 0, OPTION_NUMBER, "N", "MiB of unwind tables, 0 for frame pointers alone (128)", AT(limits.max_unwind_mib), 0, 0, 1024 },
	COMMON_OPTIONS(struct leaks_options, common),
	{ NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, 0 },
};
/* clang-format on */

/* Reports that may wait for their names; then new ones are left out. */
#define PENDING_MAX 4

/* How often processes are looked for that are meant and that no target has brought. */
#define RESCAN_NS NS_PER_S

struct run {
	const struct leaks_options *options;
	struct targets targets;
	struct session *session;
	struct reporter *reporter;
	struct output *output;
	struct host_clock host;
	int signal_fd;
	uint64_t armed_ns; /* monotonic */
	uint64_t reported_ns;
	uint64_t disarmed_ns; /* 0: still counting */
	uint64_t end_ns;      /* of the whole run; UINT64_MAX: none, 0: not begun */
	uint64_t left_out; /* reports that no one was ready to read, or whose names took too long */
	uint64_t reports;
	pid_t first;  /* the first process */
	bool several; /* there has been another one */
};

static enum ht_mode mode_of(const struct leaks_options *o)
{
	return o->mode == MODE_GROWTH ? HT_MODE_GROWTH : HT_MODE_EXACT;
}

static uint8_t domains_of(const struct leaks_options *o)
{
	if (o->mode != MODE_GROWTH)
		return 1 << HT_DOMAIN_HEAP;
	return 1 << HT_DOMAIN_RSS | (o->domain == DOMAIN_MMAP) << HT_DOMAIN_MMAP;
}

static struct report_form report_form(const struct leaks_options *o)
{
	bool all = o->json && (!o->min_age_given || !o->min_age_ns);

	return (struct report_form){
		.json = o->json,
		.filter = all ? LEAKS_ALL : LEAKS_AGED,
		.top = (uint32_t)(o->top_given ? o->top
				  : o->json    ? 0
					       : 10),
		.style = { common_wants_color(&o->common), o->common.verbose > 0,
			o->common.verbose > 0 },
	};
}

static struct report_figures common_figures(const struct run *run, const char *ended)
{
	uint64_t now = run->disarmed_ns ? run->disarmed_ns : clock_monotonic_ns();

	return (struct report_figures){
		.elapsed_s = (double)(now - run->armed_ns) / NS_PER_S,
		.interval_s = (double)(now - run->reported_ns) / NS_PER_S,
		.ended = ended,
		.link = session_link_name(run->session),
		.for_all = session_reaches_all(run->session),
		.missed_processes = session_missed_processes(run->session),
		.memory = { .rss = -1, .pss = -1, .swap = -1, .limit = -1, .anonymous = -1 },
	};
}

/* Of processes that came and went without an allocation there is nothing to say. */
static void drop_empty(struct run *run, struct readings *readings)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < readings->count; i++) {
		struct reading *r = &readings->all[i];

		if (r->ended && !r->snapshot.events && readings->count > 1) {
			snapshot_release(&r->snapshot);
			continue;
		}
		run->several |= target_process(r->target)->pid != run->first;
		readings->all[kept++] = *r;
	}
	readings->count = kept;
}

static void add_memory(struct process_memory *sum, const struct process_memory *m)
{
	if (m->pss >= 0)
		sum->pss = (sum->pss < 0 ? 0 : sum->pss) + m->pss;
	if (m->swap >= 0)
		sum->swap = (sum->swap < 0 ? 0 : sum->swap) + m->swap;
}

/* Takes a snapshot for a report; `ended` is a constant, or NULL. */
static int report(struct run *run, const char *ended)
{
	struct report_figures together = common_figures(run, ended), *figures CLEANUP_FREE = NULL;
	const struct leaks_options *o = run->options;
	struct readings readings = { 0 };
	int error = session_read_all(
		run->session, (double)o->min_age_ns / NS_PER_S, !o->min_age_given, &readings);

	if (error)
		return error;
	drop_empty(run, &readings);
	host_read_usage(&run->host, &together.host);
	figures = calloc(readings.count + 1UL, sizeof(*figures));
	if (!figures) {
		readings_release(&readings);
		return err(-ENOMEM, "out of memory");
	}
	for (uint32_t i = 0; i < readings.count; i++) {
		const struct reading *r = &readings.all[i];

		figures[i] = together;
		figures[i].elapsed_s = r->elapsed_s;
		figures[i].interval_s = r->interval_s;
		figures[i].ended = r->ended ? r->ended : ended;
		process_read_memory(
			target_process(r->target), figures[i].ended != NULL, &figures[i].memory);
		add_memory(&together.memory, &figures[i].memory);
	}
	run->reported_ns = clock_monotonic_ns();
	run->reports++;
	error = reporter_submit(
		run->reporter, run->session, &readings, figures, run->several ? &together : NULL);
	session_retire_ended(run->session);
	return error;
}

/* Reads a pending signal; SIGUSR1 asks for a report, the others for the end. */
static bool asks_to_end(const struct run *run)
{
	struct signalfd_siginfo signal;

	if (read(run->signal_fd, &signal, sizeof(signal)) != sizeof(signal))
		return false;
	return signal.ssi_signo != SIGUSR1;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* A report while the run goes on; not one that would only wait behind others. */
static int report_now(struct run *run)
{
	bool unread = output_pending(run->output);

	if (!unread && reporter_pending(run->reporter) < PENDING_MAX)
		return report(run, NULL);
	if (!run->left_out++)
		warn("%s: until then they are left out",
			unread ? "nobody reads the reports until someone does"
			       : "names take longer than --every leaves time for");
	return 0;
}

/* When the deadline of a report or of the run has come: why the run ended, or NULL. */
static const char *end_at_deadline(const struct run *run)
{
	const struct leaks_options *o = run->options;

	if (clock_monotonic_ns() >= run->end_ns)
		return "duration";
	return o->count_given && run->reports + 1 >= o->count ? "count" : NULL;
}

/* Reports until the run ends, but not its last report: why it ended is in *ended. 0 or -errno. */
static int follow(struct run *run, const char **ended)
{
	uint64_t every = run->options->every_ns, next = run->armed_ns + every;
	uint64_t rescan = targets_expects(&run->targets) ? run->armed_ns : UINT64_MAX;

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = run->signal_fd, .events = POLLIN },
			{ .fd = reporter_fd(run->reporter), .events = POLLIN },
			{ .fd = output_pending(run->output) ? STDOUT_FILENO : -1,
				.events = POLLOUT },
		};
		int event = session_wait(run->session, earlier(rescan, earlier(next, run->end_ns)),
			fds, ARRAY_SIZE(fds));
		int error = event < 0 ? event : 0;

		if (!error && fds[0].revents) {
			if (asks_to_end(run)) {
				*ended = "signal";
				return 0;
			}
			error = report_now(run);
		}
		if (!error && fds[1].revents)
			error = reporter_take(run->reporter, run->output);
		if (!error && fds[2].revents)
			error = output_flush(run->output);
		if (error)
			return error;
		if (event == SESSION_TARGET_EXIT || event == SESSION_TARGET_EXEC) {
			*ended = event == SESSION_TARGET_EXIT ? "target_exit" : "target_exec";
			return 0;
		}
		if (event == SESSION_FIGURES_END)
			error = report_now(run);
		if (error)
			return error;
		if (event != SESSION_DEADLINE)
			continue;
		if (clock_monotonic_ns() >= rescan) {
			error = targets_rescan(&run->targets, run->session);
			if (error)
				return error;
			rescan = clock_monotonic_ns() + RESCAN_NS;
		}
		if (clock_monotonic_ns() < earlier(next, run->end_ns))
			continue;
		*ended = end_at_deadline(run);
		if (*ended)
			return 0;
		/* Reports that take longer than the interval are not made up for. */
		for (uint64_t now = clock_monotonic_ns(); next <= now;)
			next += every;
		error = report_now(run);
		if (error)
			return error;
	}
}

#define PIDS_TOLD 16

/* Not a message but a signal: scripts wait for it, whatever the verbosity. */
static void tell_armed(const struct run *run)
{
	struct buffer who CLEANUP_BUFFER = { 0 };
	uint32_t count = session_target_count(run->session);

	if (count > PIDS_TOLD)
		buffer_format(&who, "processes=%u", count);
	for (uint32_t i = 0; count <= PIDS_TOLD && i < count; i++)
		buffer_format(&who, "%s%d",
			i ? "," : "pid=", target_process(session_target(run->session, i))->pid);
	dprintf(STDERR_FILENO, "heaptap: armed %s probes=%u mode=%s\n", buffer_string(&who),
		session_plan(run->session)->count, mode_names[run->options->mode]);
}

static int start(struct run *run)
{
	const struct leaks_options *o = run->options;
	bool forever = o->count_given || o->targets.command;
	int error;

	error = targets_open(&run->targets, &o->targets, &run->session, mode_of(o), domains_of(o));
	if (!error)
		error = session_set_rules(run->session, &o->rules);
	if (!error && o->mode == MODE_AUTO)
		session_set_budget(run->session, (double)o->budget / 1e6);
	if (!error && o->reach)
		session_set_wide(run->session);
	if (!error)
		error = session_load(run->session, &o->limits, (enum link_choice)o->link);
	if (!error)
		error = session_attach(run->session);
	if (!error)
		error = session_arm(run->session);
	if (!error && o->targets.command)
		error = command_go(&run->targets.command);
	if (error)
		return error;
	run->first = session_process(run->session)->pid;
	run->several = session_target_count(run->session) > 1 || targets_expects(&run->targets);
	run->armed_ns = run->reported_ns = clock_monotonic_ns();
	if (!run->end_ns)
		run->end_ns = o->for_given || !forever ? run->armed_ns + o->for_ns : UINT64_MAX;
	tell_armed(run);
	return 0;
}

/*
 * The only process runs another program, and the kernel half does not follow that: attaches to it before the last
 * report on the old one, which says how it went on. 1: *run is the new image's; 0: there is none, and the old one's
 * last report was it.
 */
static int next_image(struct run *run)
{
	struct run next = *run;
	int failed, error;

	info("pid %d runs another program now: tracing begins anew",
		session_process(run->session)->pid);
	next.session = NULL;
	next.disarmed_ns = 0;
	failed = start(&next);
	error = report(run, failed && process_ended(session_process(run->session)) ? "target_exit"
										   : "target_exec");
	next.reports = run->reports;
	session_close(run->session);
	targets_release(&run->targets);
	*run = next;
	if (!error && !failed)
		error = reporter_begin(run->reporter, run->session);
	return error ? error : !failed;
}

static int run_all(struct run *run)
{
	int error = start(run), more = 1;

	if (!error)
		error = reporter_begin(run->reporter, run->session);
	while (!error && more == 1) {
		const char *ended = NULL;

		error = follow(run, &ended);
		run->disarmed_ns = clock_monotonic_ns();
		session_disarm(run->session);
		session_detach(run->session);
		if (error)
			break;
		/* A command is begun once. */
		if (!strcmp(ended, "target_exec") && !run->options->targets.command)
			more = next_image(run);
		else
			more = report(run, ended);
	}
	return error ? error : more;
}

static int signals_open(void)
{
	sigset_t set;

	/* A reader that left, or a file that may not grow, is an error of write(). */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int print_plan(const struct leaks_options *o)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct output output = { 0 };
	struct session *session = NULL;
	struct targets targets = { 0 };
	int error = targets_open(&targets, &o->targets, &session, mode_of(o), domains_of(o));

	if (!error) {
		dry_run_print(session_process(session), session_image(session),
			session_plan(session), &out);
		error = output_add(&output, &out);
	}
	if (!error)
		error = output_drain(&output, -1);
	output_release(&output);
	session_close(session);
	targets_release(&targets);
	return error;
}

/* Its exit code. */
static int leaks(const struct leaks_options *o)
{
	struct report_form form = report_form(o);
	struct output output = { 0 };
	struct run run = { .options = o, .output = &output, .signal_fd = signals_open() };
	int error, code;

	if (run.signal_fd < 0) {
		err(-errno, "cannot handle signals: %s", strerror(errno));
		return EXIT_FAILED;
	}
	run.reporter = reporter_new(&form);
	error = run.reporter ? run_all(&run) : -ENOMEM;
	session_close(run.session);
	if (run.left_out)
		warn("%llu reports were left out", (unsigned long long)run.left_out);
	if (!error)
		error = reporter_finish(run.reporter, &output, run.signal_fd);
	if (!error)
		error = output_drain(&output, run.signal_fd);
	reporter_free(run.reporter);
	output_release(&output);
	close(run.signal_fd);
	code = error ? -1 : command_exit_code(&run.targets.command);
	targets_release(&run.targets);
	return code >= 0 ? code : exit_code_of(error);
}

/* What several options come to together. 0, or -EINVAL after a message. */
static int apply_rules(struct leaks_options *o)
{
	struct rules *r = &o->rules;

	if (r->max_bytes && r->min_bytes > r->max_bytes)
		return err(-EINVAL, "--min-size is above --max-size: nothing would be followed");
	if (o->sample_given && (o->mode == MODE_EXACT || o->mode == MODE_GROWTH))
		return err(-EINVAL, "--sample wants --mode sample or auto");
	if (o->domain == DOMAIN_MMAP && o->mode != MODE_GROWTH)
		return err(-EINVAL, "--domain mmap wants --mode growth");
	if (o->mode == MODE_GROWTH &&
		(o->targets.pids.count > 1 || o->targets.command || targets_select(&o->targets)))
		return err(-EINVAL, "growth mode is for one process: give it by -p PID, or "
				    "several runs of heaptap one each");
	if (o->mode == MODE_GROWTH && (o->filter_given || o->link_given || o->reach_given))
		return err(-EINVAL, "growth mode follows no requests and has no probes: "
				    "--min-size, --max-size, --thread, --threads, --module, "
				    "--link and --reach say nothing in it");
	if (o->mode == MODE_GROWTH && o->domain_given && o->domain == DOMAIN_HEAP)
		return err(-EINVAL, "--domain heap wants a mode that follows blocks");
	if (o->mode != MODE_AUTO && o->budget_given)
		return err(-EINVAL, "--budget wants --mode auto: in mode %s nothing keeps one",
			mode_names[o->mode]);
	r->thread = (uint32_t)o->thread;
	r->sample = o->mode == MODE_SAMPLE;
	r->sample_bytes = o->mode == MODE_SAMPLE || o->mode == MODE_AUTO
				  ? rules_round_interval(o->sample_bytes)
				  : 1;
	if (r->sample_bytes > 1 && r->sample_bytes != o->sample_bytes)
		info("sampling one in %llu bytes, the power of two nearest to %llu",
			(unsigned long long)r->sample_bytes, (unsigned long long)o->sample_bytes);
	return 0;
}

static int leaks_run(int argc, char **argv)
{
	struct leaks_options o = {
		.every_ns = 5 * NS_PER_S,
		.for_ns = 60 * NS_PER_S,
		.min_age_ns = 10 * NS_PER_S,
		.sample_bytes = 64 << 10,
		.budget = 50000,
		.limits = TABLE_LIMITS_DEFAULT,
	};
	int options = targets_split(&o.targets, argc, argv);

	if (options_parse(leaks_options, options, argv, &o))
		return EXIT_USAGE;
	common_apply(&o.common);
	if (o.common.help) {
		command_help(&leaks_command,
			"heaptap leaks -p PID[,PID...] | --comm NAME | --cgroup PATH | --all "
			"[OPTIONS]\n"
			"       heaptap leaks [OPTIONS] -- COMMAND ARG...");
		return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
	}
	if (targets_check(&o.targets) || apply_rules(&o))
		return EXIT_USAGE;
	if (output_check())
		return EXIT_FAILED;
	return o.dry_run ? exit_code_of(print_plan(&o)) : leaks(&o);
}

const struct command leaks_command = {
	.name = "leaks",
	.help = "which code holds a live process's memory, reported every few seconds",
	.run = leaks_run,
	.options = leaks_options,
};
