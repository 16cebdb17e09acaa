// SPDX-License-Identifier: GPL-2.0-or-later
/* heaptap doctor: would tracing work here, what would it cost, and what to do where it would not. */
#include <math.h>
#include <stdio.h>

#include "../base/buffer.h"
#include "../base/clock.h"
#include "../base/err.h"
#include "../render/rows.h"
#include "commands.h"
#include "doctor.h"
#include "output.h"

struct doctor_options {
	uint64_t pid;
	bool json;
	struct common_options common;
};

#define AT(member) offsetof(struct doctor_options, member)

/* clang-format off */
static const struct option doctor_options[] = {
	{ "pid", 'p', OPTION_PID, "PID", "look at this process too", AT(pid), 0, 0, 0 },
	{ "json", 0, OPTION_FLAG, NULL, "one JSON object", AT(json), 0, 0, 0 },
	COMMON_OPTIONS(struct doctor_options, common),
	{ NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, 0 },
};

enum { GROUP, NAME, STATE, VALUE, NUMBER, UNIT, WHY, REMEDY, COLUMNS };
static const struct column columns[COLUMNS] = {
	[GROUP] = { "GROUP", "group", COLUMN_TEXT },
	[NAME] = { "CHECK", "name", COLUMN_TEXT },
	[STATE] = { "STATE", "state", COLUMN_TEXT },
	[VALUE] = { "VALUE", "value", COLUMN_TEXT },
	[NUMBER] = { NULL, "number", COLUMN_NUMBER },
	[UNIT] = { NULL, "unit", COLUMN_TEXT },
	[WHY] = { "NOTE", "why", COLUMN_TEXT },
	[REMEDY] = { "remedy", "remedy", COLUMN_BELOW },
};
/* clang-format on */

/* What came of it all. */
struct verdict {
	int exit_code;
	const char *text;
};

static int add_rows(struct rows *rows, const struct checks *checks)
{
	for (uint32_t i = 0; i < checks->count; i++) {
		const struct check *check = &checks->all[i];
		struct cell *row = rows_add(rows);

		if (!row)
			return -ENOMEM;
		row[GROUP].text = check->group;
		row[NAME].text = check->name;
		row[STATE].text = check_state_name(check->state);
		row[VALUE].text = check->value;
		row[NUMBER].number = isnan(check->number) ? -1 : check->number;
		row[UNIT].text = check->unit;
		row[WHY].text = check->why;
		row[REMEDY].text = check->remedy;
	}
	return checks->error;
}

static void render_json(const struct doctor_options *o, const struct rows *rows,
	const struct verdict *verdict, struct buffer *out)
{
	struct json writer = { .out = out }, *j = &writer;
	char time[CLOCK_TEXT];

	json_open(j, NULL, '{');
	json_string(j, "schema", "heaptap/1");
	json_string(j, "kind", "doctor");
	json_string(j, "time", clock_format(time, clock_realtime_ns()));
	if (o->pid)
		json_uint(j, "pid", o->pid);
	else
		json_null(j, "pid");
	json_bool(j, "ok", verdict->exit_code == EXIT_OK);
	json_uint(j, "exit_code", (uint64_t)verdict->exit_code);
	json_string(j, "verdict", verdict->text);
	rows_render_json(rows, "checks", j);
	json_close(j, '}');
	buffer_text(out, "\n");
}

static int print(
	const struct doctor_options *o, const struct checks *checks, const struct verdict *verdict)
{
	struct rows rows CLEANUP(rows_release) = { .columns = columns, .column_count = COLUMNS };
	struct output output CLEANUP(output_release) = { 0 };
	struct buffer out CLEANUP_BUFFER = { 0 };
	int error = add_rows(&rows, checks);

	if (error)
		return err(error, "out of memory");
	if (o->json) {
		render_json(o, &rows, verdict, &out);
	} else {
		rows_render_text(&rows, common_wants_color(&o->common), &out);
		buffer_format(&out, "%s\n", verdict->text);
	}
	error = output_add(&output, &out);
	return error ? error : output_drain(&output, -1);
}

/* What fails on the machine is said before what fails on the target. */
static struct verdict judge(const struct doctor_options *o, int host, int target)
{
	if (host)
		return (struct verdict){ exit_code_of(host), "tracing does not work here" };
	if (target)
		return (struct verdict){ exit_code_of(target), "this process cannot be traced" };
	return (struct verdict){ EXIT_OK,
		o->pid ? "this process can be traced" : "tracing works here" };
}

static int doctor(const struct doctor_options *o)
{
	struct checks checks CLEANUP(checks_release) = { 0 };
	struct buffer messages CLEANUP_BUFFER = { 0 };
	struct features features;
	struct verdict verdict;
	int host, target = 0, error;

	/* Libraries may warn of what the list says better. */
	log_capture(&messages);
	features_probe(&features);
	log_capture(NULL);
	doctor_kernel(&checks, &features);
	doctor_seccomp(&checks);
	doctor_privileges(&checks, &features);
	doctor_limits(&checks);
	doctor_memory(&checks);
	if (o->pid)
		target = doctor_target(&checks, (pid_t)o->pid);
	host = doctor_cost(&checks, &features);
	verdict = judge(o, host, target);
	error = print(o, &checks, &verdict);
	return error ? exit_code_of(error) : verdict.exit_code;
}

static int doctor_run(int argc, char **argv)
{
	struct doctor_options o = { 0 };

	if (options_parse(doctor_options, argc, argv, &o))
		return EXIT_USAGE;
	common_apply(&o.common);
	if (o.common.help) {
		command_help(&doctor_command, "heaptap doctor [-p PID] [--json]");
		return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
	}
	return output_check() ? EXIT_FAILED : doctor(&o);
}

const struct command doctor_command = {
	.name = "doctor",
	.help = "what kernel, privileges and a process allow, what tracing costs here, and "
		"remedies",
	.run = doctor_run,
	.options = doctor_options,
};
