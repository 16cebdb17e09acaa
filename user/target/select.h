/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes by name or place: what --comm, --cgroup and --all mean. */
#ifndef HEAPTAP_SELECT_H
#define HEAPTAP_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "../base/buffer.h"

/* A process is meant when it is as all of these say. */
struct selection {
	bool all;
	const char *comm; /* NULL: whatever its name */
	const char *
		cgroup; /* itself or those below: a path in a hierarchy, or of a mounted one; NULL: any */
};

/* Is the line of /proc/PID/cgroup, without its newline, of this cgroup or one below? */
bool selection_has_cgroup(const char *cgroup, const char *line, size_t length);
/* Appends a pid_t for each process that is meant now, but for heaptap and its children. 0 or -errno after a message. */
int selection_list(const struct selection *selection, struct buffer *pids);
/* Is there a cgroup of this path, in any hierarchy that is mounted at its usual place? */
bool selection_cgroup_exists(const char *cgroup);

#endif
