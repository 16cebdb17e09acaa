// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A debugger that is attached to the target as well. Its breakpoints are the same byte as our probes, and it writes
 * them itself:
 *
 *   - a breakpoint set where a probe was to stand later: the kernel takes it for its own, and the debugger, when it
 *     takes its breakpoint out, takes the probe out too. Nothing fires there any more. We look for that.
 *   - a breakpoint set where a probe stands: the debugger takes our byte for the program's, and writes it back when it
 *     takes its breakpoint out. If heaptap has left by then, the byte stays, and kills a program that no debugger
 *     catches. The kernel has nothing to tell the two apart: all we can do is say so.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/err.h"
#include "session_internal.h"

#define INSTRUCTION_BYTES                                                                          \
	4 /* enough to tell a breakpoint from any instruction, on each architecture */

/* Does the file's instruction stand in memory where the plan put a probe? */
static bool probe_is_gone(
	int memory, const struct module *m, const struct plan_probe *probe, uint64_t address)
{
	uint8_t now[INSTRUCTION_BYTES], file[INSTRUCTION_BYTES];

	if (pread(memory, now, sizeof(now), (off_t)address) != sizeof(now) ||
		pread(m->fd, file, sizeof(file), (off_t)probe->offset) != sizeof(file))
		return false;
	return !memcmp(now, file, sizeof(now));
}

static uint32_t probes_gone(const struct session *s, const struct target *t, int memory)
{
	uint32_t gone = 0;

	for (uint32_t r = 0; r < t->range_count; r++) {
		const struct ht_range *range = &t->ranges[r];

		for (uint32_t i = 0; i < s->plan.count; i++) {
			const struct plan_probe *probe = &s->plan.probes[i];
			uint64_t address = probe->address + range->bias;

			if (probe->module == range->module && address >= range->start &&
				address < range->end)
				gone += probe_is_gone(
					memory, &s->image.modules[probe->module], probe, address);
		}
	}
	return gone;
}

void target_look_for_probes(struct session *s, struct target *t)
{
	char path[64];
	uint32_t gone;
	int memory;

	if (!s->armed || !t->known || process_ended(&t->process))
		return;
	snprintf(path, sizeof(path), "/proc/%d/mem", process_live_thread(&t->process));
	memory = open(path, O_RDONLY | O_CLOEXEC);
	if (memory < 0)
		return;
	gone = probes_gone(s, t, memory);
	close(memory);
	/* The target may have called exec meanwhile, and has our files no more at those addresses, or without probes. */
	if (!gone || target_record(s, t)->ended || target_after_exec(s, t) ||
		process_ended(&t->process))
		return;
	if (!t->removed_probes)
		warn("%u probes are gone from the memory of pid %d: a debugger took them out with "
		     "its "
		     "breakpoints. What they would have counted is missing from now on; attach "
		     "heaptap anew",
			gone, t->process.pid);
	if (gone > t->removed_probes)
		t->removed_probes = gone;
}

void target_warn_of_debugger(const struct target *t)
{
	char comm[PROCESS_COMM];
	pid_t debugger = process_debugger(&t->process, comm);

	/* It traces system calls, and never writes to the text. */
	if (debugger <= 0 || !strcmp(comm, "strace"))
		return;
	warn("%s (pid %d) is attached to pid %d. A breakpoint that it set on an allocating or "
	     "freeing function while "
	     "heaptap was attached leaves a trap behind when it is taken out, which kills the "
	     "process once the debugger "
	     "has left: if there is one, attach heaptap again for a moment after that, before the "
	     "process goes on",
		comm, debugger, t->process.pid);
}
