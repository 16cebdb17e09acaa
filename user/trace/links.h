/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Links between programs and probed instructions: at most two a module, whatever the number of
 * probes.
 */
#ifndef HEAPTAP_LINKS_H
#define HEAPTAP_LINKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../target/plan.h"

struct link {
	int fd;
	bool returns; /* a session; else entry only */
	bool closing; /* by the thread */
	pthread_t thread;
};

struct links {
	struct link *all;
	uint32_t count;
};

/*
 * Attaches a module's probes of one kind (those that return, or those that do not) with one link,
 * for one process. -EINVAL: a return probe would stand where its return address is not;
 * -EOPNOTSUPP: the kernel has no such link; each with its message. Nothing to attach is 0.
 */
int links_attach(struct links *links, int program_fd, const struct plan *plan, uint32_t module_id,
	const struct module *module, bool returns, pid_t pid);
/*
 * Begins to close the links of one kind, each in a thread of its own, for each waits for grace periods of the
 * kernel: 40 ms alone, hardly more together.
 */
void links_begin_close(struct links *links, bool returns);
/* Closes all and waits until no program of theirs runs any more. */
void links_close(struct links *links);

#endif
