/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options are a table: parsing, usage errors and --help all read it. */
#ifndef HEAPTAP_OPTIONS_H
#define HEAPTAP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum option_kind {
	OPTION_FLAG,	 /* bool */
	OPTION_COUNT,	 /* int, one more each time: -v -v */
	OPTION_PID,	 /* pid_t as uint64_t */
	OPTION_PIDS,	 /* struct pid_list: 12 or 12,34; again for more */
	OPTION_NUMBER,	 /* uint64_t in [low, high] */
	OPTION_DURATION, /* uint64_t, ns, in [low, high] */
	OPTION_SIZE,	 /* uint64_t, bytes, in [low, high] */
	OPTION_PERCENT,	 /* uint64_t, parts in a million, in [low, high] */
	OPTION_TEXT,	 /* const char *, not empty */
	OPTION_CHOICE,	 /* int, index in the choices, "a|b|c" */
};

#define PID_LIST_MAX 1024
struct pid_list {
	pid_t all[PID_LIST_MAX];
	size_t count;
};

struct option {
	const char *name; /* without dashes */
	char letter;	  /* 0: none */
	enum option_kind kind;
	const char *argument; /* for --help; the choices of OPTION_CHOICE; NULL for flags */
	const char *help;
	size_t offset; /* of the value in the options structure */
	size_t given;  /* of a bool that tells whether it was given; 0: none */
	uint64_t low, high;
};

/*
 * Parses arguments into `values`, which holds the defaults. The table ends with a NULL name. 0, or
 * -EINVAL after one message that names the option and what it takes.
 */
int options_parse(const struct option *table, int argc, char **argv, void *values);
/*
 * The same for a command that takes up to `max` words beside its options, in any order; "--" ends the options. How
 * many words there are, or -EINVAL after a message.
 */
int options_parse_words(const struct option *table, int argc, char **argv, void *values,
	const char **words, int max);
void options_help(const struct option *table);

#endif
