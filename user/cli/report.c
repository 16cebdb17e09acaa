// SPDX-License-Identifier: GPL-2.0-or-later
/* heaptap report: what a recording holds. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/err.h"
#include "../base/progress.h"
#include "../render/report.h"
#include "commands.h"
#include "moment.h"

enum tree_choice { TREE_NONE, TREE_DOWN, TREE_UP };

struct report_options {
	uint64_t pid;
	int view, by, format, tree;
	bool by_given;
	const char *filter;
	uint64_t top;
	bool top_given;
	bool source;
	bool follow;
	const char *output;
	struct common_options common;
};

#define AT(member) offsetof(struct report_options, member)

/* clang-format off */
static const struct option report_options[] = {
	{ "view", 0, OPTION_CHOICE, REPORT_VIEW_CHOICES, "what is shown (live)", AT(view), 0, 0, 0 },
	{ "by", 0, OPTION_CHOICE, GROUP_BY_CHOICES, "what rows are about (stack)", AT(by), AT(by_given), 0, 0 },
	{ "format", 0, OPTION_CHOICE, FORMAT_CHOICES, "the form (text)", AT(format), 0, 0, 0 },
	{ "tree", 0, OPTION_CHOICE, "none|top-down|bottom-up", "a tree of functions instead of rows", AT(tree), 0, 0, 0 },
	{ "filter", 0, OPTION_TEXT, "EXPR", "only stacks that match: [!][direct.]module|function|file=GLOB,size>=BYTES,...", AT(filter), 0, 0, 0 },
	{ "source", 0, OPTION_FLAG, NULL, "the lines of source files, with their bytes", AT(source), 0, 0, 0 },
	{ "top", 0, OPTION_NUMBER, "N", "rows, 0 for all (10 in text; all in other forms)", AT(top), AT(top_given), 0, UINT32_MAX },
	{ "pid", 'p', OPTION_PID, "PID", "of a recording of several processes, this one", AT(pid), 0, 0, 0 },
	{ "follow", 'f', OPTION_FLAG, NULL, "go on with each new snapshot", AT(follow), 0, 0, 0 },
	{ "output", 'o', OPTION_TEXT, "FILE", "write to this file", AT(output), 0, 0, 0 },
	COMMON_OPTIONS(struct report_options, common),
	{ NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, 0 },
};
/* clang-format on */

#define TOP_TEXT 10

static uint32_t top_of(const struct report_options *o)
{
	return o->top_given ? (uint32_t)o->top : o->format == FORMAT_TEXT ? TOP_TEXT : 0;
}

static struct report_style style_of(const struct report_options *o)
{
	return (struct report_style){
		.color = !o->output && common_wants_color(&o->common),
		.full_paths = o->common.verbose > 0,
	};
}

/* Stacks whose frames a report shows: only those are read. */
static int read_needed_stacks(struct recording *r, const struct report_options *o,
	const struct filter *f, const struct grouping *g)
{
	uint32_t wanted[TOP_TEXT * 4], count = 0, rows = shown_rows(g->count, top_of(o));

	if (g->by == BY_THREAD)
		return recording_read_stacks(r, wanted, 0);
	if (g->by != BY_STACK || f->count || rows > ARRAY_SIZE(wanted))
		return recording_read_stacks(r, NULL, 0);
	for (uint32_t i = 0; i < rows; i++)
		if (g->groups[i].stack != CODE_NONE)
			wanted[count++] = g->groups[i].stack;
	return recording_read_stacks(r, wanted, count);
}

/*
 * Which stacks are shown is known without their frames, unless a filter or the grouping asks for them: then these are
 * read first.
 */
static int make_report(const struct report_options *o, const struct filter *filter,
	struct recording *r, uint32_t snapshot, struct stream *out)
{
	struct loaded_heap h CLEANUP(loaded_heap_release) = { 0 };
	struct grouping grouping CLEANUP(group_release) = { 0 };
	enum metric metric = view_metric((enum report_view)o->view);
	struct report report = { .view = (enum report_view)o->view,
		.heap = &h.heap,
		.grouping = &grouping,
		.filter = o->filter,
		.top = top_of(o) };
	bool early = filter->count || (o->by != BY_STACK && o->by != BY_THREAD);
	int error = loaded_heap_read(&h, r, snapshot);

	if (!error && early)
		error = recording_read_stacks(r, NULL, 0);
	if (!error)
		error = loaded_heap_name(&h);
	if (!error &&
		group_sites(&grouping, &h.figures, &h.places, (enum group_by)o->by, filter, metric))
		error = err(-ENOMEM, "out of memory");
	if (error)
		return error;
	group_sort(&grouping, metric);
	if (!early)
		error = read_needed_stacks(r, o, filter, &grouping);
	if (!error)
		report_render(&report, (enum report_format)o->format, style_of(o), out);
	return error ? error : out->error;
}

/* --- the other views ------------------------------------------------------------------------------ */

static int no_memory(void)
{
	return err(-ENOMEM, "out of memory");
}

static void render_listing(
	const struct report_options *o, const struct listing_report *r, struct stream *out)
{
	struct report_style style = style_of(o);

	if (o->format == FORMAT_TEXT)
		listing_report_text(r, &style, out);
	else if (o->format == FORMAT_JSON)
		listing_report_json(r, out);
	else if (o->format == FORMAT_LINES)
		listing_report_lines(r, out);
	else
		listing_report_csv(r, out);
}

#define TIMELINE_TEXT 40

static int make_timeline(const struct report_options *o, struct loaded_heap *h, struct stream *out)
{
	struct listing rows CLEANUP(listing_release) = { 0 };
	struct listing_report r = { .view = VIEW_TIMELINE,
		.heap = &h->heap,
		.listing = &rows,
		.title = "timeline: traced live bytes and the process's own figures" };
	uint32_t top = o->top_given		  ? (uint32_t)o->top
		       : o->format == FORMAT_TEXT ? TIMELINE_TEXT
						  : 0;

	if (timeline_rows(&h->heap, top, &rows))
		return no_memory();
	render_listing(o, &r, out);
	return out->error;
}

static int make_sizes(const struct report_options *o, const struct filter *f, struct loaded_heap *h,
	struct stream *out)
{
	struct listing rows CLEANUP(listing_release) = { 0 };
	struct listing_report r = { .view = VIEW_SIZES,
		.heap = &h->heap,
		.listing = &rows,
		.filter = o->filter,
		.title = "stacks by the average size of what they allocate" };

	if (size_rows(&h->heap, f, &rows))
		return no_memory();
	render_listing(o, &r, out);
	return out->error;
}

static int make_tree(const struct report_options *o, const struct filter *f, struct loaded_heap *h,
	struct stream *out)
{
	struct tree tree CLEANUP(tree_release) = { 0 };
	struct tree_report r = { .view = (enum report_view)o->view,
		.heap = &h->heap,
		.tree = &tree,
		.bottom_up = o->tree == TREE_UP,
		.all = o->top_given && !o->top,
		.filter = o->filter };
	struct report_style style = style_of(o);

	if (tree_make(&tree, &h->figures, &h->places, r.bottom_up, f, view_metric(r.view)))
		return no_memory();
	if (o->format == FORMAT_TEXT)
		tree_render_text(&r, &style, out);
	else
		tree_render_json(&r, out);
	return out->error;
}

static int make_source(const struct report_options *o, const struct filter *f,
	struct loaded_heap *h, struct stream *out)
{
	struct grouping grouping CLEANUP(group_release) = { 0 };
	struct source_report r = { (enum report_view)o->view, &h->heap, &grouping, top_of(o) };
	struct report_style style = style_of(o);

	if (group_sites(&grouping, &h->figures, &h->places, BY_LINE, f, view_metric(r.view)))
		return no_memory();
	source_render_text(&r, &style, out);
	return out->error;
}

/* From the target's first snapshot that is kept to this one. */
static int make_growth(const struct report_options *o, const struct filter *f,
	struct recording *recording, struct loaded_heap *h, struct stream *out)
{
	struct loaded_heap start CLEANUP(loaded_heap_release) = { 0 };
	struct grouping old CLEANUP(group_release) = { 0 }, new CLEANUP(group_release) = { 0 };
	struct comparison comparison CLEANUP(compare_release) = { 0 };
	struct diff d = { .view = VIEW_GROWTH,
		.old = &start.heap,
		.new = &h->heap,
		.comparison = &comparison,
		.filter = o->filter,
		.top = top_of(o) };
	uint32_t first = 0;
	int error;

	while (recording_snapshot(recording, first)->target != h->heap.at->target)
		first++;
	error = loaded_heap_read(&start, recording, first);
	if (!error)
		error = loaded_heap_name(&start);
	if (error)
		return error;
	d.elapsed_s =
		(double)(h->heap.at->moment.elapsed_ns - start.heap.at->moment.elapsed_ns) / 1e9;
	if (group_sites(
		    &old, &start.figures, &start.places, (enum group_by)o->by, f, METRIC_LIVE) ||
		group_sites(&new, &h->figures, &h->places, (enum group_by)o->by, f, METRIC_LIVE) ||
		compare_groupings(&comparison, &old, &new, METRIC_LIVE))
		return no_memory();
	diff_render(&d, (enum report_format)o->format, style_of(o), out);
	return out->error;
}

static bool is_special(const struct report_options *o)
{
	return o->tree || o->source || o->view == VIEW_TIMELINE || o->view == VIEW_SIZES ||
	       o->view == VIEW_GROWTH;
}

static int make_special(const struct report_options *o, const struct filter *f, struct recording *r,
	uint32_t snapshot, struct stream *out)
{
	struct loaded_heap h CLEANUP(loaded_heap_release) = { 0 };
	bool named = o->tree || o->source || o->view == VIEW_GROWTH || f->count;
	int error = loaded_heap_read(&h, r, snapshot);

	/* The names of modules are wanted in any case. */
	if (!error)
		error = recording_read_stacks(r, named ? NULL : &snapshot, 0);
	if (!error)
		error = loaded_heap_name(&h);
	if (error)
		return error;
	if (o->tree)
		return make_tree(o, f, &h, out);
	if (o->source)
		return make_source(o, f, &h, out);
	if (o->view == VIEW_TIMELINE)
		return make_timeline(o, &h, out);
	if (o->view == VIEW_SIZES)
		return make_sizes(o, f, &h, out);
	return make_growth(o, f, r, &h, out);
}

static int report_at(const struct report_options *o, const struct filter *filter,
	struct recording *r, const char *snap, struct stream *out)
{
	uint32_t *chosen CLEANUP_FREE = NULL, count;
	int error = moment_find(r,
		snap		       ? snap
		: o->view == VIEW_PEAK ? "peak"
				       : NULL,
		o->pid, &chosen, &count);

	if (!error && count > 1 && o->format != FORMAT_TEXT && o->format != FORMAT_JSON &&
		o->format != FORMAT_LINES)
		return err(-EINVAL, "%s has %u processes: choose one by -p PID", recording_path(r),
			count);
	progress_begin("reading the recording");
	for (uint32_t i = 0; !error && i < count; i++)
		error = is_special(o) ? make_special(o, filter, r, chosen[i], out)
				      : make_report(o, filter, r, chosen[i], out);
	if (!error && count > 1 && (o->format == FORMAT_JSON || o->format == FORMAT_LINES))
		all_render_json((enum report_view)o->view, r, chosen, count, out);
	progress_end();
	return error;
}

/* Has every target come to its end? */
static bool has_ended(const struct recording *r)
{
	for (uint32_t i = 0; i < recording_target_count(r); i++)
		if (!recording_target(r, i)->ended)
			return false;
	return recording_target_count(r) > 0;
}

#define FOLLOW_MS 200

static int follow(const struct report_options *o, const struct filter *filter, struct recording *r,
	struct stream *out)
{
	uint32_t shown = 0;
	int error = 0;

	while (!error) {
		uint32_t count = recording_snapshot_count(r);
		bool ended = has_ended(r);

		if (count != shown)
			error = report_at(o, filter, r, NULL, out);
		shown = count;
		if (error || ended)
			return error;
		while (!recording_has_grown(r))
			usleep(FOLLOW_MS * 1000);
		error = recording_refresh(r);
	}
	return error;
}

static int open_output(const char *path)
{
	int fd;

	if (!path)
		return STDOUT_FILENO;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return fd < 0 ? err(-EIO, "cannot write %s: %s", path, strerror(errno)) : fd;
}

static int run(const struct report_options *o, const struct filter *filter, const char *word)
{
	struct moment_choice choice CLEANUP(moment_release) = { 0 };
	struct stream out = { .write = write_to_fd };
	struct recording *r = NULL;
	int error = moment_split(&choice, word), fd = -1;

	if (!error && o->follow && choice.snap)
		error = err(-EINVAL, "--follow shows the newest snapshot: name none");
	if (!error)
		error = recording_open(&r, choice.file);
	if (!error) {
		fd = open_output(o->output);
		error = fd < 0 ? fd : 0;
	}
	out.context = &fd;
	if (!error)
		error = o->follow ? follow(o, filter, r, &out)
				  : report_at(o, filter, r, choice.snap, &out);
	if (fd > STDERR_FILENO && close(fd) && !error)
		error = err(-EIO, "cannot write %s: %s", o->output, strerror(errno));
	buffer_release(&out.text);
	recording_close(r);
	return error;
}

static int check(const struct report_options *o)
{
	bool of_stacks = o->format == FORMAT_FOLDED || o->format == FORMAT_PPROF;

	if (of_stacks && o->by != BY_STACK)
		return err(
			-EINVAL, "--format folded and pprof are of whole stacks: leave --by out");
	if (of_stacks && (o->view == VIEW_TIMELINE || o->view == VIEW_SIZES))
		return err(-EINVAL, "--view %s has no stacks: --format text, json, jsonl or csv",
			view_name((enum report_view)o->view));
	if (o->tree && o->format != FORMAT_TEXT && o->format != FORMAT_JSON)
		return err(
			-EINVAL, "--tree comes as text and json; folded and pprof hold the same");
	if (o->source && o->format != FORMAT_TEXT)
		return err(
			-EINVAL, "--source comes as text; --by line has its figures in every form");
	if ((o->tree || o->source) && o->by_given)
		return err(-EINVAL, "--tree and --source have rows of their own: leave --by out");
	if (o->tree && o->source)
		return err(-EINVAL, "--tree or --source, not both");
	if ((o->tree || o->source) && o->view >= VIEW_GROWTH)
		return err(
			-EINVAL, "--tree and --source show live, leaks, alloc, peak or temporary");
	return 0;
}

static int report_run(int argc, char **argv)
{
	struct report_options o = { 0 };
	struct filter filter CLEANUP(filter_release) = { 0 };
	const char *words[1];
	int count = options_parse_words(report_options, argc, argv, &o, words, 1);

	if (count < 0)
		return EXIT_USAGE;
	common_apply(&o.common);
	if (o.common.help) {
		command_help(&report_command, "heaptap report FILE[@SNAP] [OPTIONS]");
		return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
	}
	if (!count) {
		err(-EINVAL,
			"report wants a recording: FILE or FILE@SNAP; see heaptap report --help");
		return EXIT_USAGE;
	}
	if (check(&o) || filter_parse(&filter, o.filter))
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	return exit_code_of(run(&o, &filter, words[0]));
}

const struct command report_command = {
	.name = "report",
	.help = "what a recording holds, by stack, function, line, file, module or thread",
	.run = report_run,
	.options = report_options,
};
