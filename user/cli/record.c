// SPDX-License-Identifier: GPL-2.0-or-later
/* heaptap record: snapshots over time into one file. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../../include/sampling.h"
#include "../base/clock.h"
#include "../base/err.h"
#include "../base/units.h"
#include "../render/json.h"
#include "commands.h"
#include "control.h"
#include "recorder.h"

struct record_options {
	uint64_t pid;
	const char *file;
	uint64_t every_ns;
	uint64_t for_ns;
	bool for_given;
	const char *label;
	uint64_t min_age_ns;
	bool keep_all;
	int mode; /* enum mode_choice */
	uint64_t sample_bytes;
	bool sample_given;
	uint64_t thread;
	struct rules rules;
	int link; /* enum link_choice */
	struct table_limits limits;
	struct common_options common;
};

enum mode_choice { MODE_AUTO, MODE_EXACT, MODE_SAMPLE };

#define AT(member) offsetof(struct record_options, member)
#define YEAR_NS	   (366 * 86400 * NS_PER_S)

/* clang-format off */
static const struct option record_options[] = {
	{ "pid", 'p', OPTION_PID, "PID", "the process to trace", AT(pid), 0, 0, 0 },
	{ "output", 'o', OPTION_TEXT, "FILE", "the recording, a new file", AT(file), 0, 0, 0 },
	{ "every", 0, OPTION_DURATION, "DURATION", "time between snapshots (10s)", AT(every_ns), 0, 10 * NS_PER_MS, YEAR_NS },
	{ "for", 0, OPTION_DURATION, "DURATION", "stop after this time (no limit)", AT(for_ns), AT(for_given), NS_PER_MS, YEAR_NS },
	{ "label", 0, OPTION_TEXT, "NAME", "a name for the target, kept in the recording", AT(label), 0, 0, 0 },
	{ "min-age", 0, OPTION_DURATION, "DURATION", "blocks younger are not outstanding (10s)", AT(min_age_ns), 0, 0, YEAR_NS },
	{ "keep-all", 0, OPTION_FLAG, NULL, "keep every snapshot (after an hour one a minute is kept, and those asked for)", AT(keep_all), 0, 0, 0 },
	{ "mode", 0, OPTION_CHOICE, "auto|exact|sample", "how events are counted: auto means exact", AT(mode), 0, 0, 0 },
	{ "sample", 0, OPTION_SIZE, "BYTES", "with --mode sample: one sample in so many bytes on average, a power of two (64K)", AT(sample_bytes), AT(sample_given), 1, 1U << HT_INTERVAL_MAX_LOG2 },
	{ "min-size", 0, OPTION_SIZE, "BYTES", "follow no request below", AT(rules.min_bytes), 0, 0, 1ULL << HT_ADDRESS_BITS },
	{ "max-size", 0, OPTION_SIZE, "BYTES", "follow no request above", AT(rules.max_bytes), 0, 1, 1ULL << HT_ADDRESS_BITS },
	{ "thread", 0, OPTION_NUMBER, "TID", "follow only what this thread requests", AT(thread), 0, 1, INT32_MAX },
	{ "threads", 0, OPTION_FLAG, NULL, "tell apart what each thread requests", AT(rules.by_thread), 0, 0, 0 },
	{ "module", 0, OPTION_TEXT, "NAME", "follow only requests whose direct caller is in this program or library", AT(rules.module), 0, 0, 0 },
	{ "link", 0, OPTION_CHOICE, LINK_CHOICES, "how probes are attached: auto takes the first of the three that works", AT(link), 0, 0, 0 },
	{ "max-live", 0, OPTION_NUMBER, "N", "live blocks to follow (2097152)", AT(limits.max_live), 0, 1, 1U << 30 },
	{ "max-stacks", 0, OPTION_NUMBER, "N", "different stacks to keep (32768)", AT(limits.max_stacks), 0, 1, 1U << 22 },
	{ "max-in-flight", 0, OPTION_NUMBER, "N", "concurrent realloc and posix_memalign calls, without sessions all calls (8192)", AT(limits.max_in_flight), 0, 1, 1U << 20 },
	{ "max-unwind", 0, OPTION_NUMBER, "N", "MiB of unwind tables, 0 for frame pointers alone (128)", AT(limits.max_unwind_mib), 0, 0, 1024 },
	COMMON_OPTIONS(struct record_options, common),
	{ NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, 0 },
};
/* clang-format on */

/* Snapshots that may wait to be written; then those that nobody asked for are left out. */
#define PENDING_MAX 4
/* A peak that lasts 200 ms is seen and kept: looked for so often, kept at most so often. */
#define PEAK_LOOK_NS (50 * NS_PER_MS)
#define PEAK_NS	     (100 * NS_PER_MS)
#define PEAK_PART    100 /* a new maximum is above the last by one part in so many */

/* One run over one program image: a process that calls exec begins another. */
struct run {
	const struct record_options *options;
	struct session *session;
	struct recorder *recorder; /* this and the control are of the whole run */
	struct control *control;
	struct usage_clock usage_clock;
	int signal_fd;
	uint64_t every_ns;
	uint64_t armed_ns;    /* monotonic */
	uint64_t disarmed_ns; /* 0: still counting */
	uint64_t end_ns; /* of the whole run, whatever the image; UINT64_MAX: none, 0: not begun */
	uint64_t peak_bytes;	      /* live bytes of the snapshot that had most */
	uint64_t snapshot_ns;	      /* when the last one was, monotonic */
	uint64_t left_out, snapshots; /* of the whole run */
};

/* token: who asked; 0: nobody. */
static int take_snapshot(
	struct run *run, enum snapshot_kind kind, const char *label, uint64_t token)
{
	struct snapshot snapshot = { 0 };
	struct moment moment = { .kind = kind, .label = label };
	int error =
		session_read(run->session, (double)run->options->min_age_ns / NS_PER_S, &snapshot);

	if (error)
		return error;
	run->snapshot_ns = run->disarmed_ns ? run->disarmed_ns : clock_monotonic_ns();
	moment.elapsed_ns = run->snapshot_ns - run->armed_ns;
	usage_read(session_process(run->session), &run->usage_clock, &moment.usage);
	if (snapshot.totals.live_bytes > run->peak_bytes)
		run->peak_bytes = snapshot.totals.live_bytes;
	run->snapshots++;
	return recorder_submit(run->recorder, run->session, &snapshot, &moment, token);
}

/* One that nobody asked for; not one that would only wait behind others. */
static int take_regular(struct run *run, enum snapshot_kind kind)
{
	if (recorder_pending(run->recorder) < PENDING_MAX)
		return take_snapshot(run, kind, NULL, 0);
	if (!run->left_out++)
		warn("snapshots are written more slowly than they come: until that is over some "
		     "are left out");
	return 0;
}

static int look_for_peak(struct run *run)
{
	uint64_t live = session_live_bytes(run->session);

	if (live <= run->peak_bytes + run->peak_bytes / PEAK_PART ||
		clock_monotonic_ns() - run->snapshot_ns < PEAK_NS)
		return 0;
	return take_regular(run, SNAPSHOT_PEAK);
}

/* --- requests ----------------------------------------------------------------------------------- */

static void answer_status(struct run *run, uint64_t token)
{
	struct buffer text CLEANUP_BUFFER = { 0 };
	struct json j = { .out = &text };
	char *path = realpath(run->options->file, NULL);

	json_open(&j, NULL, '{');
	json_bool(&j, "ok", true);
	json_open(&j, "pids", '[');
	json_uint(&j, NULL, (uint64_t)session_process(run->session)->pid);
	json_close(&j, ']');
	json_string(&j, "comm", session_process(run->session)->comm);
	json_string(&j, "file", path ? path : run->options->file);
	json_uint(&j, "recorder", (uint64_t)getpid());
	json_uint(&j, "snapshots", run->snapshots);
	json_uint(&j, "not_kept", recorder_failures(run->recorder));
	json_uint(&j, "live_bytes", session_live_bytes(run->session));
	json_double(&j, "every_s", (double)run->every_ns / NS_PER_S, 3);
	json_close(&j, '}');
	control_answer(run->control, token, &text);
	free(path);
}

static void answer_set(struct run *run, const struct control_request *request)
{
	struct buffer text CLEANUP_BUFFER = { 0 };
	uint64_t every;

	if (parse_duration(request->every, &every) || every < 10 * NS_PER_MS || every > YEAR_NS) {
		control_fail(run->control, request->token,
			"\"set\" wants \"every\", a duration from 10ms to a year");
		return;
	}
	run->every_ns = every;
	buffer_text(&text, "{\"ok\":true}");
	control_answer(run->control, request->token, &text);
}

static int serve(struct run *run)
{
	struct control_request request;
	int error = 0;

	while (!error && control_take(run->control, &request)) {
		if (!strcmp(request.command, "status"))
			answer_status(run, request.token);
		else if (!strcmp(request.command, "set"))
			answer_set(run, &request);
		else if (!strcmp(request.command, "mark") && request.label[0])
			error = take_snapshot(run, SNAPSHOT_MARK, request.label, request.token);
		else if (!strcmp(request.command, "mark"))
			control_fail(run->control, request.token, "\"mark\" wants a \"label\"");
		else if (!strcmp(request.command, "snapshot"))
			error = take_snapshot(run, SNAPSHOT_SIGNAL, NULL, request.token);
		else
			control_fail(run->control, request.token,
				"not a command: mark, snapshot, set or status");
	}
	return error;
}

/* Tells who asked for a snapshot which one it is. */
static void answer_written(struct run *run)
{
	struct recorded done;

	while (recorder_take(run->recorder, &done)) {
		struct buffer text CLEANUP_BUFFER = { 0 };

		if (!done.token)
			continue;
		if (done.error) {
			control_fail(run->control, done.token, "the snapshot could not be written");
			continue;
		}
		buffer_format(&text, "{\"ok\":true,\"snapshot\":%u}", done.snapshot);
		control_answer(run->control, done.token, &text);
	}
}

/* --- the run ------------------------------------------------------------------------------------ */

/* Reads a pending signal; SIGUSR1 asks for a snapshot, the others for the end. */
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

/* Snapshots until the run ends, but not its last: why it ended is in *ended. 0 or -errno. */
static int follow(struct run *run, const char **ended)
{
	uint64_t next = run->armed_ns + run->every_ns;

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = run->signal_fd, .events = POLLIN },
			{ .fd = recorder_fd(run->recorder), .events = POLLIN },
			{ .fd = control_fd(run->control), .events = POLLIN },
		};
		uint64_t look = clock_monotonic_ns() + PEAK_LOOK_NS, every = run->every_ns;
		int event = session_wait(run->session, earlier(look, earlier(next, run->end_ns)),
			fds, ARRAY_SIZE(fds));
		int error = event < 0 ? event : 0;

		if (!error && fds[0].revents) {
			if (asks_to_end(run)) {
				*ended = "signal";
				return 0;
			}
			error = take_snapshot(run, SNAPSHOT_SIGNAL, NULL, 0);
		}
		if (!error && fds[2].revents)
			error = serve(run);
		answer_written(run);
		if (error)
			return error;
		if (event == SESSION_TARGET_EXIT || event == SESSION_TARGET_EXEC) {
			*ended = event == SESSION_TARGET_EXIT ? "target_exit" : "target_exec";
			return 0;
		}
		if (clock_monotonic_ns() >= run->end_ns) {
			*ended = "duration";
			return 0;
		}
		/* "set" has changed the interval. */
		if (run->every_ns != every)
			next = clock_monotonic_ns() + run->every_ns;
		if (clock_monotonic_ns() < next) {
			error = look_for_peak(run);
		} else {
			while (next <= clock_monotonic_ns())
				next += run->every_ns;
			error = take_regular(run, SNAPSHOT_INTERVAL);
		}
		if (error)
			return error;
	}
}

static int start(struct run *run)
{
	const struct record_options *o = run->options;
	int error = session_open(&run->session, (pid_t)o->pid, HT_MODE_EXACT, 1 << HT_DOMAIN_HEAP);

	if (!error)
		error = session_set_rules(run->session, &o->rules);
	if (!error)
		error = session_load(run->session, &o->limits, (enum link_choice)o->link);
	if (!error)
		error = session_attach(run->session);
	if (!error)
		error = session_arm(run->session);
	if (error)
		return error;
	run->armed_ns = clock_monotonic_ns();
	run->peak_bytes = 0;
	if (!run->end_ns)
		run->end_ns = o->for_given ? run->armed_ns + o->for_ns : UINT64_MAX;
	/* Not a message but a signal: scripts wait for it, whatever the verbosity. */
	dprintf(STDERR_FILENO, "heaptap: armed pid=%d probes=%u mode=%s\n",
		session_process(run->session)->pid, session_plan(run->session)->count,
		o->rules.sample ? "sample" : "exact");
	return 0;
}

/* The first snapshot has hardly more than the process's figures: what there was before it was traced. */
static int begin(struct run *run)
{
	const struct record_options *o = run->options;
	int error =
		recorder_begin(run->recorder, run->session, o->rules.sample ? "sample" : "exact",
			o->mode ? "asked for" : "auto: no budget is kept yet", o->label);

	return error ? error : take_snapshot(run, SNAPSHOT_START, NULL, 0);
}

static int end(struct run *run, const char *why)
{
	int error = take_snapshot(run, SNAPSHOT_END, NULL, 0);

	return error ? error : recorder_end(run->recorder, why);
}

/* As the process runs another program: 1: *run is the new image's; 0: there is none any more. */
static int next_image(struct run *run)
{
	struct run next = *run;
	int failed, error;

	info("pid %d runs another program now: tracing begins anew",
		session_process(run->session)->pid);
	next.session = NULL;
	next.disarmed_ns = 0;
	failed = start(&next);
	error = end(run, failed && process_ended(session_process(run->session)) ? "target_exit"
										: "target_exec");
	next.snapshots = run->snapshots;
	session_close(run->session);
	*run = next;
	if (!error && !failed)
		error = begin(run);
	return error ? error : !failed;
}

static int run_images(struct run *run)
{
	int error = begin(run), more = 1;

	while (!error && more == 1) {
		const char *ended = NULL;

		error = follow(run, &ended);
		run->disarmed_ns = clock_monotonic_ns();
		session_disarm(run->session);
		session_detach(run->session);
		if (!error)
			more = strcmp(ended, "target_exec") ? end(run, ended) : next_image(run);
	}
	return error ? error : more;
}

static int signals_open(void)
{
	sigset_t set;

	/* A file that may not grow is an error of write(). */
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

/* Who records what, on which machine. */
static int describe(const struct run *run)
{
	struct utsname host;
	char number[32];
	int error = recorder_set_meta(run->recorder, "heaptap", HEAPTAP_VERSION);

	snprintf(number, sizeof(number), "%llu", (unsigned long long)(run->every_ns / NS_PER_MS));
	if (!error)
		error = recorder_set_meta(run->recorder, "every_ms", number);
	if (!error)
		error = recorder_set_meta(run->recorder, "socket", control_path(run->control));
	if (error || uname(&host))
		return error;
	error = recorder_set_meta(run->recorder, "host", host.nodename);
	if (!error)
		error = recorder_set_meta(run->recorder, "kernel", host.release);
	return error ? error : recorder_set_meta(run->recorder, "machine", host.machine);
}

static int record(const struct record_options *o)
{
	struct writer_options keep = { o->keep_all ? UINT64_MAX : WRITER_FULL_NS, WRITER_THIN_NS };
	struct run run = { .options = o, .every_ns = o->every_ns, .signal_fd = signals_open() };
	int error;

	if (run.signal_fd < 0)
		return err(-errno, "cannot handle signals: %s", strerror(errno));
	/* All that can fail before there is anything to lose. */
	error = control_open(&run.control);
	if (!error)
		error = recorder_open(&run.recorder, o->file, &keep);
	if (!error)
		error = describe(&run);
	if (!error) {
		error = start(&run);
		/* A file without a snapshot is of no use to anyone. */
		if (error)
			unlink(o->file);
	}
	if (!error)
		error = run_images(&run);
	session_close(run.session);
	if (run.recorder) {
		int unwritten = recorder_finish(run.recorder, run.signal_fd);

		answer_written(&run);
		if (!error)
			error = unwritten;
		if (run.left_out)
			warn("%llu snapshots were left out", (unsigned long long)run.left_out);
		if (recorder_failures(run.recorder))
			warn("%u snapshots could not be written", recorder_failures(run.recorder));
	}
	recorder_free(run.recorder);
	control_close(run.control);
	close(run.signal_fd);
	return error;
}

/* What several options come to together. 0, or -EINVAL after a message. */
static int apply_rules(struct record_options *o)
{
	struct rules *r = &o->rules;

	if (r->max_bytes && r->min_bytes > r->max_bytes)
		return err(-EINVAL, "--min-size is above --max-size: nothing would be followed");
	if (o->mode != MODE_SAMPLE && o->sample_given)
		return err(-EINVAL, "--sample wants --mode sample");
	r->thread = (uint32_t)o->thread;
	r->sample = o->mode == MODE_SAMPLE;
	r->sample_bytes = r->sample ? rules_round_interval(o->sample_bytes) : 1;
	return 0;
}

static int record_run(int argc, char **argv)
{
	struct record_options o = {
		.every_ns = 10 * NS_PER_S,
		.min_age_ns = 10 * NS_PER_S,
		.sample_bytes = 64 << 10,
		.limits = TABLE_LIMITS_DEFAULT,
	};

	if (options_parse(record_options, argc, argv, &o))
		return EXIT_USAGE;
	common_apply(&o.common);
	if (o.common.help) {
		command_help(&record_command, "heaptap record -p PID -o FILE [OPTIONS]");
		return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
	}
	if (!o.pid || !o.file) {
		err(-EINVAL, "record wants %s; see heaptap record --help",
			o.pid ? "a file: -o FILE" : "a process: -p PID");
		return EXIT_USAGE;
	}
	if (apply_rules(&o))
		return EXIT_USAGE;
	return exit_code_of(record(&o));
}

const struct command record_command = {
	.name = "record",
	.help = "snapshots over time into one file, for report and diff",
	.run = record_run,
	.options = record_options,
};
