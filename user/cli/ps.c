// SPDX-License-Identifier: GPL-2.0-or-later
/* heaptap ps: which processes there are to trace. */
#include <stdio.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "../render/rows.h"
#include "../target/list.h"
#include "commands.h"
#include "output.h"

struct ps_options {
	bool json;
	struct common_options common;
};

/* clang-format off */
static const struct option ps_options[] = {
	{ "json", 0, OPTION_FLAG, NULL, "one JSON object", offsetof(struct ps_options, json), 0, 0, 0 },
	COMMON_OPTIONS(struct ps_options, common),
	{ NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, 0 },
};

enum { PID, UID, COMM, ALLOCATORS, RUNTIME_TEXT, RUNTIME, VERSION, RSS, GROWTH, AGE, SWAP, LIMIT, TRACEABLE, OBSTACLE, COLUMNS };
static const struct column columns[COLUMNS] = {
	[PID] = { "PID", "pid", COLUMN_NUMBER },
	[UID] = { NULL, "uid", COLUMN_NUMBER },
	[COMM] = { "COMM", "comm", COLUMN_TEXT },
	[ALLOCATORS] = { "ALLOCATOR", "allocators", COLUMN_LIST },
	[RUNTIME_TEXT] = { "RUNTIME", NULL, COLUMN_TEXT },
	[RUNTIME] = { NULL, "runtime", COLUMN_TEXT },
	[VERSION] = { NULL, "runtime_version", COLUMN_TEXT },
	[RSS] = { "RSS", "rss_bytes", COLUMN_BYTES },
	[GROWTH] = { "GROWTH", "growth_bytes", COLUMN_BYTES },
	[AGE] = { "AGE", "age_s", COLUMN_SECONDS },
	[SWAP] = { NULL, "swap_bytes", COLUMN_BYTES },
	[LIMIT] = { "LIMIT", "limit_bytes", COLUMN_BYTES },
	[TRACEABLE] = { NULL, "traceable", COLUMN_BOOL },
	[OBSTACLE] = { "NOT TRACEABLE", "obstacle", COLUMN_TEXT },
};
/* clang-format on */

#define RUNTIME_WIDTH 64

/* Texts point into the process, and `runtime`, which outlive the rows. */
static int add_row(struct rows *rows, const struct listed_process *p, char runtime[RUNTIME_WIDTH])
{
	const char *name = runtime_name(p->runtime);
	struct cell *row = rows_add(rows);

	if (!row)
		return -ENOMEM;
	snprintf(runtime, RUNTIME_WIDTH, "%s%s%s", name ? name : "", p->version[0] ? " " : "",
		p->version);
	row[PID].number = p->pid;
	row[UID].number = p->uid;
	row[COMM].text = p->comm;
	row[ALLOCATORS].text = p->looked_into ? p->allocators : NULL;
	row[RUNTIME_TEXT].text = runtime;
	row[RUNTIME].text = name;
	row[VERSION].text = p->version[0] ? p->version : NULL;
	row[RSS].number = (double)p->memory.rss;
	row[GROWTH].number = (double)p->growth;
	row[AGE].number = p->age_s;
	row[SWAP].number = (double)p->memory.swap;
	row[LIMIT].number = (double)p->memory.limit;
	row[TRACEABLE].number = !p->obstacle;
	row[OBSTACLE].text = p->obstacle;
	return 0;
}

static void render_json(const struct rows *rows, struct buffer *out)
{
	struct json writer = { .out = out }, *j = &writer;
	char time[CLOCK_TEXT];

	json_open(j, NULL, '{');
	json_string(j, "schema", "heaptap/1");
	json_string(j, "kind", "ps");
	json_string(j, "time", clock_format(time, clock_realtime_ns()));
	rows_render_json(rows, "processes", j);
	json_close(j, '}');
	buffer_text(out, "\n");
}

static int print(const struct ps_options *o, const struct process_list *list)
{
	struct rows rows CLEANUP(rows_release) = { .columns = columns, .column_count = COLUMNS };
	char(*runtimes)[RUNTIME_WIDTH] CLEANUP_FREE = calloc(list->count + 1UL, RUNTIME_WIDTH);
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct output output CLEANUP(output_release) = { 0 };
	int error = runtimes ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < list->count && !error; i++)
		error = add_row(&rows, &list->all[i], runtimes[i]);
	if (error)
		return err(error, "out of memory");
	if (o->json)
		render_json(&rows, &out);
	else
		rows_render_text(&rows, common_wants_color(&o->common), &out);
	error = output_add(&output, &out);
	return error ? error : output_drain(&output, -1);
}

static int ps(const struct ps_options *o)
{
	struct process_list list CLEANUP(process_list_release) = { 0 };
	int error = process_list_read(&list);

	return error ? error : print(o, &list);
}

static int ps_run(int argc, char **argv)
{
	struct ps_options o = { 0 };

	if (options_parse(ps_options, argc, argv, &o))
		return EXIT_USAGE;
	common_apply(&o.common);
	if (o.common.help) {
		command_help(&ps_command, "heaptap ps [--json]");
		return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
	}
	if (output_check())
		return EXIT_FAILED;
	return exit_code_of(ps(&o));
}

const struct command ps_command = {
	.name = "ps",
	.help = "processes that can be traced: allocator, runtime, memory, limit",
	.run = ps_run,
	.options = ps_options,
};
