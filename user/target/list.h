/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All processes of the machine, and whether each can be traced. */
#ifndef HEAPTAP_LIST_H
#define HEAPTAP_LIST_H

#include "process.h"
#include "runtime.h"

#define LISTED_ALLOCATORS 64

struct listed_process {
	pid_t pid;
	uint32_t uid;
	char comm[PROCESS_COMM];
	double age_s;
	struct process_memory memory;
	int64_t growth; /* bytes of anonymous memory since the program began; -1: not known */
	bool looked_into;
	char allocators[LISTED_ALLOCATORS]; /* names joined by "+"; "" none, or not looked into */
	enum runtime runtime;		    /* RUNTIME_NONE: not looked into */
	char version[RUNTIME_VERSION];
	const char *obstacle; /* why it cannot be traced, NULL: it can */
};

struct process_list {
	struct listed_process *all; /* largest RSS first */
	uint32_t count;
};

/*
 * Reads /proc: every process but kernel threads, zombies and ourselves. A file that many have mapped is read once.
 * Processes that vanish meanwhile are left out. 0 or -errno after a message.
 */
int process_list_read(struct process_list *list);
void process_list_release(struct process_list *list);

#endif
