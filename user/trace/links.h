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

struct links {
	struct keeper *keepers; /* one a module */
	uint32_t count;
};

/*
 * Attaches a module's probes in the way of the kernel half's kind, for one process; pid 0: for all.
 * -EINVAL: a return probe would stand where its return address is not; -EOPNOTSUPP: the kernel has
 * no such link; each with its message. Nothing to attach is 0.
 */
int links_attach(struct links *links, const struct kernel *kernel, const struct plan *plan,
	uint32_t module_id, const struct module *module, pid_t pid);
/* Are all of them still there? Not after someone has killed a keeper. */
bool links_hold(const struct links *links);
/* Closes all, at once, and waits until no program of theirs runs any more. */
void links_close(struct links *links);

#endif
