/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process as /proc shows it: who it is, and how much memory it holds. */
#ifndef HEAPTAP_PROCESS_H
#define HEAPTAP_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_COMM 64

struct process {
	pid_t pid; /* of the process, though a thread's id may have been given */
	int pidfd; /* readable once the process has ended */
	char comm[PROCESS_COMM];
	char *exe;	      /* "" when it cannot be read */
	char *cgroup;	      /* path in the unified or memory hierarchy; "" when unknown */
	uint64_t start_ticks; /* after boot, /proc/PID/stat field 22 */
	uint64_t start_realtime_ns;
};

/*
 * Opens a process for tracing. 0; -ESRCH: there is none, or it has ended; -ENXIO: a kernel thread;
 * each with its message. The caller owns *p and calls process_close().
 */
int process_open(pid_t pid, struct process *p);
void process_close(struct process *p);
/* Who it is, for a report that comes when the process may be closed: no pidfd. 0 or -ENOMEM. */
int process_copy(const struct process *p, struct process *copy);
/*
 * A thread of it that is alive: the first one, unless that has called pthread_exit, which leaves a
 * process without mappings under its own id. 0: there is none any more.
 */
pid_t process_live_thread(const struct process *p);
/* Where its brk heap begins; 0: not known. */
uint64_t process_heap_start(const struct process *p);
/* Has it ended, or has its id been given to another process? */
bool process_ended(const struct process *p);

/* Bytes; -1: not known. */
struct process_memory {
	int64_t rss;
	int64_t pss; /* costs a walk over all page tables: only when asked for */
	int64_t swap;
	int64_t limit;			       /* the tightest of its cgroups; -1: none */
	int64_t rss_anon, rss_file, rss_shmem; /* rss is their sum */
	int64_t anon_huge;		       /* with pss */
};
void process_read_memory(const struct process *p, bool with_pss, struct process_memory *m);

struct host_usage {
	uint64_t mem_total; /* bytes */
	uint64_t mem_available;
	double cpu; /* busy share since the call before, 0 to 1; -1 at the first call */
};
struct host_clock {	      /* of the call before */
	uint64_t busy, total; /* ticks */
};
void host_read_usage(struct host_clock *before, struct host_usage *u);

#endif
