// SPDX-License-Identifier: GPL-2.0-or-later
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "../base/units.h"

static const struct option *find_long(const struct option *table, const char *name, size_t length)
{
	for (; table->name; table++)
		if (strlen(table->name) == length && !memcmp(table->name, name, length))
			return table;
	return NULL;
}

static const struct option *find_short(const struct option *table, char letter)
{
	for (; table->name; table++)
		if (table->letter == letter)
			return table;
	return NULL;
}

static int choice_index(const char *choices, const char *text)
{
	size_t length = strlen(text);

	for (int i = 0; choices; i++) {
		const char *end = strchrnul(choices, '|');

		if ((size_t)(end - choices) == length && !memcmp(choices, text, length))
			return i;
		choices = *end ? end + 1 : NULL;
	}
	return -1;
}

static int bad_value(const struct option *o, const char *text, int error)
{
	char low[UNITS_TEXT], high[UNITS_TEXT];

	switch (o->kind) {
	case OPTION_DURATION:
		if (error != -ERANGE)
			return err(-EINVAL,
				"--%s: '%s' is not a duration: write 5s, 200ms, 1.5m or 2h",
				o->name, text);
		return err(-EINVAL, "--%s: '%s' is out of range: from %s to %s", o->name, text,
			format_duration(low, (double)o->low / NS_PER_S),
			format_duration(high, (double)o->high / NS_PER_S));
	case OPTION_SIZE:
		if (error != -ERANGE)
			return err(-EINVAL, "--%s: '%s' is not a size: write 4096, 64K or 1.5MiB",
				o->name, text);
		return err(-EINVAL, "--%s: '%s' is out of range: from %s to %s", o->name, text,
			format_bytes(low, o->low), format_bytes(high, o->high));
	case OPTION_PERCENT:
		if (error != -ERANGE)
			return err(-EINVAL, "--%s: '%s' is not a percentage: write 5 or 0.5",
				o->name, text);
		return err(-EINVAL, "--%s: '%s' is out of range: from %g to %g percent", o->name,
			text, (double)o->low / 1e4, (double)o->high / 1e4);
	case OPTION_TEXT:
		return err(-EINVAL, "--%s: wants %s, not nothing", o->name, o->argument);
	case OPTION_CHOICE:
		return err(-EINVAL, "--%s: '%s' is not one of %s", o->name, text, o->argument);
	case OPTION_PID:
		return err(-EINVAL, "-%c: '%s' is not the id of one process", o->letter, text);
	case OPTION_PIDS:
		return err(-EINVAL,
			"-%c: '%s' is not the id of a process, nor a list such as 12,34 of at "
			"most %d",
			o->letter, text, PID_LIST_MAX);
	default:
		if (error != -ERANGE)
			return err(-EINVAL, "--%s: '%s' is not a number", o->name, text);
		return err(-EINVAL, "--%s: '%s' is out of range: from %s to %s", o->name, text,
			format_count(low, o->low), format_count(high, o->high));
	}
}

static int add_pids(struct pid_list *list, const char *text)
{
	char word[16];

	for (const char *end; *text || list->count == 0; text = *end ? end + 1 : end) {
		uint64_t number = 0;

		end = strchrnul(text, ',');
		if (end - text >= (ptrdiff_t)sizeof(word) || list->count == PID_LIST_MAX ||
			(*end && !end[1]))
			return -EINVAL;
		snprintf(word, sizeof(word), "%.*s", (int)(end - text), text);
		if (parse_number(word, 1, INT32_MAX, &number))
			return -EINVAL;
		list->all[list->count++] = (pid_t)number;
	}
	return 0;
}

static int set_value(const struct option *o, const char *text, void *values)
{
	char *place = (char *)values + o->offset;
	int error = 0, choice;
	uint64_t number = 0;

	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)(void *)place = true;
		break;
	case OPTION_COUNT:
		++*(int *)(void *)place;
		break;
	case OPTION_CHOICE:
		choice = choice_index(o->argument, text);
		if (choice < 0)
			return bad_value(o, text, -EINVAL);
		*(int *)(void *)place = choice;
		break;
	case OPTION_DURATION:
		error = parse_duration(text, &number);
		if (!error && (number < o->low || number > o->high))
			error = -ERANGE;
		break;
	case OPTION_SIZE:
		error = parse_size(text, &number);
		if (!error && (number < o->low || number > o->high))
			error = -ERANGE;
		break;
	case OPTION_PERCENT:
		error = parse_percent(text, &number);
		if (!error && (number < o->low || number > o->high))
			error = -ERANGE;
		break;
	case OPTION_TEXT:
		if (!*text)
			error = -EINVAL;
		else
			*(const char **)(void *)place = text;
		break;
	case OPTION_PID:
		error = parse_number(text, 1, INT32_MAX, &number);
		break;
	case OPTION_PIDS:
		error = *text ? add_pids((struct pid_list *)(void *)place, text) : -EINVAL;
		break;
	case OPTION_NUMBER:
		error = parse_number(text, o->low, o->high, &number);
		break;
	}
	if (error)
		return bad_value(o, text, error);
	if (o->kind == OPTION_DURATION || o->kind == OPTION_PID || o->kind == OPTION_NUMBER ||
		o->kind == OPTION_SIZE || o->kind == OPTION_PERCENT)
		*(uint64_t *)(void *)place = number;
	if (o->given)
		*(bool *)(void *)((char *)values + o->given) = true;
	return 0;
}

static bool takes_argument(const struct option *o)
{
	return o->kind != OPTION_FLAG && o->kind != OPTION_COUNT;
}

/*
 * "--name", "--name=value", "-p value" or "-pvalue": the option, and its value when it is in the
 * same word.
 */
static int split_word(
	const struct option *table, const char *word, const struct option **o, const char **value)
{
	*o = NULL;
	*value = NULL;
	if (word[0] != '-' || !word[1])
		return err(-EINVAL, "'%s' is not an option; see heaptap --help", word);
	if (word[1] == '-') {
		const char *end = strchrnul(word + 2, '=');

		*o = find_long(table, word + 2, (size_t)(end - word) - 2);
		*value = *end ? end + 1 : NULL;
	} else {
		*o = find_short(table, word[1]);
		*value = word[2] ? word + 2 : NULL;
		if (*o && *value && !takes_argument(*o))
			*o = NULL; /* letters are not joined */
	}
	if (!*o)
		return err(-EINVAL, "unknown option '%s'; see heaptap --help", word);
	if (*value && !takes_argument(*o))
		return err(-EINVAL, "--%s takes no value", (*o)->name);
	return 0;
}

/* The option at argv[*i], and its value, which may be the next word. */
static int parse_option(const struct option *table, int argc, char **argv, int *i, void *values)
{
	const struct option *o = NULL;
	const char *value;
	int error = split_word(table, argv[*i], &o, &value);

	if (error || !o)
		return error;
	if (takes_argument(o) && !value) {
		if (*i + 1 >= argc)
			return err(-EINVAL, "%s wants a value: %s", argv[*i], o->argument);
		value = argv[++*i];
	}
	return set_value(o, value, values);
}

int options_parse(const struct option *table, int argc, char **argv, void *values)
{
	for (int i = 0; i < argc; i++) {
		int error = parse_option(table, argc, argv, &i, values);

		if (error)
			return error;
	}
	return 0;
}

int options_parse_words(const struct option *table, int argc, char **argv, void *values,
	const char **words, int max)
{
	bool only_words = false;
	int count = 0;

	for (int i = 0; i < argc; i++) {
		int error = 0;

		if (!only_words && !strcmp(argv[i], "--"))
			only_words = true;
		else if (!only_words && argv[i][0] == '-' && argv[i][1])
			error = parse_option(table, argc, argv, &i, values);
		else if (count == max)
			error = err(
				-EINVAL, "'%s' is one word too many; see heaptap --help", argv[i]);
		else
			words[count++] = argv[i];
		if (error)
			return error;
	}
	return count;
}

void options_help(const struct option *table)
{
	for (; table->name; table++) {
		char left[64];

		snprintf(left, sizeof(left), "%c%c%s--%s%s%s", table->letter ? '-' : ' ',
			table->letter ? table->letter : ' ', table->letter ? ", " : "  ",
			table->name, table->argument ? " " : "",
			table->argument ? table->argument : "");
		printf("  %-36s %s\n", left, table->help);
	}
}
