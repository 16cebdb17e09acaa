// SPDX-License-Identifier: GPL-2.0-or-later
/* heaptap diff: what changed between two snapshots, of one recording or of two. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "../base/progress.h"
#include "../render/report.h"
#include "commands.h"
#include "moment.h"

/* Views that a difference makes sense of; in the order of enum report_view. */
#define VIEW_CHOICES "live|leaks|alloc"

struct diff_options {
	uint64_t pid;
	int view, by, format;
	const char *filter;
	uint64_t top;
	bool top_given;
	const char *output;
	struct common_options common;
};

#define AT(member) offsetof(struct diff_options, member)

/* clang-format off */
static const struct option diff_options[] = {
	{ "view", 0, OPTION_CHOICE, VIEW_CHOICES, "which blocks are compared (live)", AT(view), 0, 0, 0 },
	{ "by", 0, OPTION_CHOICE, GROUP_BY_CHOICES, "what rows are about (stack)", AT(by), 0, 0, 0 },
	{ "format", 0, OPTION_CHOICE, FORMAT_CHOICES, "the form (text)", AT(format), 0, 0, 0 },
	{ "filter", 0, OPTION_TEXT, "EXPR", "only stacks that match, as in report", AT(filter), 0, 0, 0 },
	{ "top", 0, OPTION_NUMBER, "N", "rows, 0 for all (10 in text; all in other forms)", AT(top), AT(top_given), 0, UINT32_MAX },
	{ "pid", 'p', OPTION_PID, "PID", "of recordings of several processes, this one", AT(pid), 0, 0, 0 },
	{ "output", 'o', OPTION_TEXT, "FILE", "write to this file", AT(output), 0, 0, 0 },
	COMMON_OPTIONS(struct diff_options, common),
	{ NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, 0 },
};
/* clang-format on */

/* One side. */
struct side {
	struct recording *recording;
	bool shared; /* the recording is the other side's */
	struct loaded_heap loaded;
	struct grouping grouping;
};

static void side_release(struct side *s)
{
	group_release(&s->grouping);
	loaded_heap_release(&s->loaded);
	if (!s->shared)
		recording_close(s->recording);
}

static bool has_several(const struct recording *r)
{
	for (uint32_t i = 1; i < recording_target_count(r); i++)
		if (recording_target(r, i)->process.pid != recording_target(r, 0)->process.pid)
			return true;
	return false;
}

static int side_open(
	struct side *s, const struct side *other, const struct diff_options *o, const char *word)
{
	struct moment_choice choice CLEANUP(moment_release) = { 0 };
	uint32_t *chosen CLEANUP_FREE = NULL, count;
	int error = moment_split(&choice, word);

	if (error)
		return error;
	if (other->recording && !strcmp(recording_path(other->recording), choice.file)) {
		s->recording = other->recording;
		s->shared = true;
	} else {
		error = recording_open(&s->recording, choice.file);
	}
	/* The two have different pids, unless they are of one run: one process alone is the one meant. */
	if (!error)
		error = moment_find(s->recording, choice.snap,
			has_several(s->recording) ? o->pid : 0, &chosen, &count);
	if (!error && count > 1)
		error = err(
			-EINVAL, "%s has %u processes: choose one by -p PID", choice.file, count);
	return error ? error : loaded_heap_read(&s->loaded, s->recording, chosen[0]);
}

static int side_group(struct side *s, const struct diff_options *o, const struct filter *f)
{
	int error = loaded_heap_name(&s->loaded);

	if (!error && group_sites(&s->grouping, &s->loaded.figures, &s->loaded.places,
			      (enum group_by)o->by, f, view_metric((enum report_view)o->view)))
		error = err(-ENOMEM, "out of memory");
	return error;
}

/* Of the same process its own time counts, else there is none between. */
static double between_s(const struct heap *a, const struct heap *b)
{
	if (a->recording != b->recording || a->target != b->target)
		return -1;
	return ((double)b->at->moment.elapsed_ns - (double)a->at->moment.elapsed_ns) / NS_PER_S;
}

static int compare(const struct diff_options *o, struct side *old, struct side *new,
	const struct filter *f, struct stream *out)
{
	struct comparison comparison CLEANUP(compare_release) = { 0 };
	struct diff d = { .view = (enum report_view)o->view,
		.old = &old->loaded.heap,
		.new = &new->loaded.heap,
		.comparison = &comparison,
		.filter = o->filter,
		.top = o->top_given		  ? (uint32_t)o->top
		       : o->format == FORMAT_TEXT ? 10
						  : 0,
		.elapsed_s = between_s(&old->loaded.heap, &new->loaded.heap) };
	/* Stacks are known by what is on them: all are read, once for both. */
	int error = recording_read_stacks(old->recording, NULL, 0);

	if (!error && !new->shared)
		error = recording_read_stacks(new->recording, NULL, 0);
	if (!error)
		error = side_group(old, o, f);
	if (!error)
		error = side_group(new, o, f);
	if (!error && compare_groupings(&comparison, &old->grouping, &new->grouping,
			      view_metric((enum report_view)o->view)))
		error = err(-ENOMEM, "out of memory");
	if (error)
		return error;
	diff_render(&d, (enum report_format)o->format,
		(struct report_style){ .color = !o->output && common_wants_color(&o->common),
			.full_paths = o->common.verbose > 0 },
		out);
	return out->error;
}

static int run(const struct diff_options *o, const struct filter *f, const char *const words[2])
{
	/* The second may share the first's recording, and goes first. */
	struct side old CLEANUP(side_release) = { 0 };
	struct side new CLEANUP(side_release) = { 0 };
	struct stream out = { .write = write_to_fd };
	int error, fd = STDOUT_FILENO;

	progress_begin("reading the recordings");
	error = side_open(&old, &new, o, words[0]);
	if (!error)
		error = side_open(&new, &old, o, words[1]);
	if (!error && o->output) {
		fd = open(o->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (fd < 0)
			error = err(-EIO, "cannot write %s: %s", o->output, strerror(errno));
	}
	out.context = &fd;
	if (!error)
		error = compare(o, &old, &new, f, &out);
	progress_end();
	if (fd > STDERR_FILENO && close(fd) && !error)
		error = err(-EIO, "cannot write %s: %s", o->output, strerror(errno));
	buffer_release(&out.text);
	return error;
}

static int diff_run(int argc, char **argv)
{
	struct diff_options o = { 0 };
	struct filter filter CLEANUP(filter_release) = { 0 };
	const char *words[2];
	int count = options_parse_words(diff_options, argc, argv, &o, words, 2);

	if (count < 0)
		return EXIT_USAGE;
	common_apply(&o.common);
	if (o.common.help) {
		command_help(&diff_command, "heaptap diff FILE@A FILE@B [OPTIONS]");
		return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
	}
	if (count != 2) {
		err(-EINVAL, "diff wants two snapshots: FILE@A FILE@B; see heaptap diff --help");
		return EXIT_USAGE;
	}
	if ((o.format == FORMAT_FOLDED || o.format == FORMAT_PPROF) && o.by != BY_STACK) {
		err(-EINVAL, "--format folded and pprof are of whole stacks: leave --by out");
		return EXIT_USAGE;
	}
	if (filter_parse(&filter, o.filter))
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	return exit_code_of(run(&o, &filter, words));
}

const struct command diff_command = {
	.name = "diff",
	.help = "what changed between two snapshots, of one recording or of two",
	.run = diff_run,
	.options = diff_options,
};
