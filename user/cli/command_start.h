/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command that is traced from its first instruction: a child that waits until it is told to become it, and
 * meanwhile can be looked at.
 */
#ifndef HEAPTAP_COMMAND_START_H
#define HEAPTAP_COMMAND_START_H

#include <sys/types.h>

#include "../base/buffer.h"

struct started_command {
	pid_t pid; /* 0: none */
	int channel;
	char *path;	     /* of its program */
	struct buffer files; /* texts, each with its NUL: what it will map */
	const char **file_list;
	uint32_t file_count;
};

/* Starts the child, and finds its files. 0, or after a message -ENOENT, -EACCES, -ENOEXEC. */
int command_start(struct started_command *c, char **argv);
/* Lets it run: 0, or -errno after a message when it could not be executed. */
int command_go(struct started_command *c);
/* Its exit code, as a shell would tell it; -1: it has not ended. */
int command_exit_code(struct started_command *c);
/* One that has not run is ended; one that runs is left alone. */
void command_release(struct started_command *c);

#endif
