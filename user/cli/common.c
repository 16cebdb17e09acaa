// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../base/err.h"
#include "commands.h"

void common_apply(const struct common_options *o)
{
	if (o->quiet)
		log_set_level(LOG_ERROR);
	else if (o->verbose)
		log_set_level(LOG_DEBUG);
}

bool common_wants_color(const struct common_options *o)
{
	const char *no_color = getenv("NO_COLOR");

	if (o->color != COLOR_AUTO)
		return o->color == COLOR_ALWAYS;
	return !(no_color && *no_color) && isatty(STDOUT_FILENO);
}

void command_help(const struct command *c, const char *usage)
{
	printf("usage: %s\n\n%s\n\n", usage, c->help);
	options_help(c->options);
}
