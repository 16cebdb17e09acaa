/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands beside the traced figures at one moment: the process, its cgroup and the host, as the kernel counts them. */
#ifndef HEAPTAP_USAGE_H
#define HEAPTAP_USAGE_H

#include "process.h"

/* Every figure: -1 when it is not known. Bytes unless the name says otherwise. */
struct usage {
	int64_t rss;
	int64_t rss_anon, rss_file, rss_shmem; /* they add up to rss */
	int64_t pss;
	int64_t swap;
	int64_t cgroup_usage, cgroup_limit; /* the limit is the tightest on the way up */
	int64_t minor_faults, major_faults; /* since the process began */
	int64_t cpu_ms;			    /* user and system, since the process began */
	int64_t threads;
	int64_t mem_total, mem_available; /* of the host */
	double host_cpu;		  /* busy share since the reading before, 0 to 1 */
};

/* Of one process, between its readings. */
struct usage_clock {
	struct host_clock host;
	uint64_t pss_cost_ns; /* of the last reading of the PSS, and when it was */
	uint64_t pss_read_ns; /* monotonic */
};

/*
 * The PSS costs a walk over all page tables, which the process waits for when it maps memory: it is read
 * for at most 2 % of the time, and is -1 between.
 */
void usage_read(const struct process *p, struct usage_clock *clock, struct usage *u);

#endif
