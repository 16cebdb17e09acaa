// SPDX-License-Identifier: GPL-2.0-or-later
#include "checks.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../base/units.h"

void checks_add(struct checks *c, const char *group, enum check_state state, const char *name, ...)
{
	struct check *all = realloc(c->all, (c->count + 1) * sizeof(*all));
	struct check new = { .group = group, .state = state, .number = NAN };
	va_list arguments;

	if (!all) {
		c->error = -ENOMEM;
		return;
	}
	c->all = all;
	va_start(arguments, name);
	if (vasprintf(&new.name, name, arguments) < 0) {
		new.name = NULL;
		c->error = -ENOMEM;
	}
	va_end(arguments);
	all[c->count++] = new;
}

static void replace(struct checks *c, char **text, const char *format, va_list arguments)
{
	free(*text);
	if (vasprintf(text, format, arguments) < 0) {
		*text = NULL;
		c->error = -ENOMEM;
	}
}

#define SETTER(field)                                                                              \
	void checks_##field(struct checks *c, const char *format, ...)                             \
	{                                                                                          \
		va_list arguments;                                                                 \
                                                                                                   \
		if (!c->count)                                                                     \
			return;                                                                    \
		va_start(arguments, format);                                                       \
		replace(c, &c->all[c->count - 1].field, format, arguments);                        \
		va_end(arguments);                                                                 \
	}

SETTER(value)
SETTER(why)
SETTER(remedy)

static void set_number(struct checks *c, double number, const char *unit)
{
	if (!c->count)
		return;
	c->all[c->count - 1].number = number;
	c->all[c->count - 1].unit = unit;
}

void checks_bytes(struct checks *c, uint64_t bytes)
{
	char text[UNITS_TEXT];

	checks_value(c, "%s", format_bytes(text, bytes));
	set_number(c, (double)bytes, "bytes");
}

void checks_ns(struct checks *c, double ns)
{
	char text[UNITS_TEXT];

	if (ns < 100)
		checks_value(c, "%.1f ns", ns);
	else
		checks_value(c, "%s ns", format_count(text, (uint64_t)(ns + 0.5)));
	set_number(c, ns, "ns");
}

void checks_count(struct checks *c, uint64_t count)
{
	char text[UNITS_TEXT];

	checks_value(c, "%s", format_count(text, count));
	set_number(c, (double)count, "count");
}

void checks_rate(struct checks *c, double per_s)
{
	char text[UNITS_TEXT];

	checks_value(c, "%s/s", format_count(text, (uint64_t)per_s));
	set_number(c, per_s, "1/s");
}

const char *check_state_name(enum check_state state)
{
	static const char *const names[] = { "ok", "degraded", "missing", "unknown" };

	return names[state];
}

void checks_release(struct checks *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		free(c->all[i].name);
		free(c->all[i].value);
		free(c->all[i].why);
		free(c->all[i].remedy);
	}
	free(c->all);
	*c = (struct checks){ 0 };
}
