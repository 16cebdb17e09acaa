/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TARGET of the command line: which processes a session is about, now and later. */
#ifndef HEAPTAP_TARGETS_H
#define HEAPTAP_TARGETS_H

#include "../base/table.h"
#include "../target/select.h"
#include "../trace/session.h"
#include "command_start.h"
#include "options.h"

struct target_options {
	struct pid_list pids;
	struct selection selection;
	char **command; /* NULL: none */
	bool no_follow;
};

/* Rows of an option table for a structure whose member is a struct target_options. */
#define TARGET_OPTIONS(type, member)                                                               \
	{ "pid", 'p', OPTION_PIDS, "PID[,PID...]", "the processes to trace",                       \
		offsetof(type, member.pids), 0, 0, 0 },                                            \
		{ "comm", 0, OPTION_TEXT, "NAME",                                                  \
			"all processes of this name, also those that come later",                  \
			offsetof(type, member.selection.comm), 0, 0, 0 },                          \
		{ "cgroup", 0, OPTION_TEXT, "PATH",                                                \
			"all processes of this cgroup and those below, also later ones",           \
			offsetof(type, member.selection.cgroup), 0, 0, 0 },                        \
		{ "all", 0, OPTION_FLAG, NULL, "all processes of the host, also later ones",       \
			offsetof(type, member.selection.all), 0, 0, 0 },                           \
	{                                                                                          \
		"no-follow", 0, OPTION_FLAG, NULL,                                                 \
			"do not trace children that are forked; they pay for the probes all the "  \
			"same",                                                                    \
			offsetof(type, member.no_follow), 0, 0, 0                                  \
	}

/*
 * Takes "-- COMMAND ARG..." off the arguments; the rest is for options_parse(). Returns how many are left.
 */
int targets_split(struct target_options *o, int argc, char **argv);
/* Is there one kind of target, and no more? 0, or -EINVAL after a message. */
int targets_check(const struct target_options *o);

/* What has been found so far. */
struct targets {
	const struct target_options *options;
	struct started_command command;
	struct table
		looked_at; /* processes that had nothing to trace: how often they were looked at */
};

/* Are processes meant by what they are, and not by their pids? */
bool targets_select(const struct target_options *o);
/* Makes a session of those that are there. 0 or -errno after a message. */
int targets_open(struct targets *t, const struct target_options *o, struct session **session,
	enum ht_mode mode, uint8_t domains);
/* May more come that the session does not find by itself? */
bool targets_expects(const struct targets *t);
/* Adds those that came. 0 or -errno after a message. */
int targets_rescan(struct targets *t, struct session *session);
void targets_release(struct targets *t);

#endif
