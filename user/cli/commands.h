/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HEAPTAP_COMMANDS_H
#define HEAPTAP_COMMANDS_H

#include "options.h"

struct command {
	const char *name;
	const char *help; /* one line */
	int (*run)(int argc,
		char **argv); /* arguments behind the command's name; returns an exit code */
	const struct option *options;
};

extern const struct command leaks_command, record_command, mark_command, report_command,
	diff_command, ps_command, doctor_command;

/* What every command takes. */
struct common_options {
	bool help;
	int verbose;
	bool quiet;
	int color; /* enum color_choice */
};
enum color_choice { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* Rows of an option table for a structure whose member is a struct common_options. */
#define COMMON_OPTIONS(type, member)                                                               \
	{ "verbose", 'v', OPTION_COUNT, NULL, "say more on stderr",                                \
		offsetof(type, member.verbose), 0, 0, 0 },                                         \
		{ "quiet", 'q', OPTION_FLAG, NULL, "say errors only",                              \
			offsetof(type, member.quiet), 0, 0, 0 },                                   \
		{ "color", 0, OPTION_CHOICE, "auto|always|never",                                  \
			"color on a terminal (NO_COLOR is heeded)", offsetof(type, member.color),  \
			0, 0, 0 },                                                                 \
	{                                                                                          \
		"help", 'h', OPTION_FLAG, NULL, "this text", offsetof(type, member.help), 0, 0, 0  \
	}

/* Applies -v and -q. */
void common_apply(const struct common_options *o);
bool common_wants_color(const struct common_options *o);
/* Usage and options of a command, on stdout. */
void command_help(const struct command *c, const char *usage);

#endif
