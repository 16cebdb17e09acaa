/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Links between programs and probed instructions. With sessions and uprobe_multi they are at most
 * two a module, whatever the number of probes; perf uprobes need one for each entry and each
 * return.
 */
#ifndef HEAPTAP_LINKS_H
#define HEAPTAP_LINKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../target/plan.h"
#include "keeper.h"
#include "kernel.h"

/* Whom the links of a keeper are for. */
struct link_owner {
	uint32_t module;
	pid_t pid; /* 0: all processes */
};

/* Probed instructions of one file: offsets in it, and what the program is told there. */
struct places {
	uint64_t *offsets;
	uint64_t *cookies;
	uint32_t count;
};

/*
 * One link, of a program by its descriptor, in this process alone or with pid 0 in all: a descriptor or -errno,
 * silently.
 */
int link_create_multi(int program, uint32_t attach_type, bool at_return, const char *path,
	const struct places *places, pid_t pid);
int link_create_perf(
	int program, bool at_return, const char *path, uint64_t offset, uint64_t cookie, pid_t pid);

struct links {
	struct keeper *keepers; /* one a module and process */
	struct link_owner *owners;
	uint32_t count;
};

/*
 * Attaches a module's probes in the way of the kernel half's kind, for one process; pid 0: for all. `tag` is what
 * cookies hold beside role and place.
 * -EINVAL: a return probe would stand where its return address is not; -EOPNOTSUPP: the kernel has
 * no such link; each with its message. Nothing to attach is 0.
 */
int links_attach(struct links *links, const struct kernel *kernel, const struct plan *plan,
	uint32_t module_id, const struct module *module, pid_t pid, uint64_t tag);
/* Are all of them still there? Not after someone has killed a keeper. */
bool links_hold(const struct links *links);
bool links_has(const struct links *links, uint32_t module_id, pid_t pid);
/* Moves the links that one process has, or those of a module for single processes, to *to: 0 or -ENOMEM. */
int links_move_process(struct links *links, pid_t pid, struct links *to);
int links_move_module(struct links *links, uint32_t module_id, struct links *to);
/* Begins to close all, and waits for none: links_close() will. */
void links_begin_close(struct links *links);
/* Closes all, at once, and waits until no program of theirs runs any more. */
void links_close(struct links *links);

#endif
