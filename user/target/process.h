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

/* The process that traces it by ptrace, and its name; 0: none. */
pid_t process_debugger(const struct process *p, char comm[PROCESS_COMM]);

/* Is any of its threads under seccomp? */
bool process_is_filtered(const struct process *p);

struct process_stat {
	char state;
	unsigned long flags; /* PF_*, include/linux/sched.h */
	long threads;
	uint64_t start_ticks; /* after boot */
	char comm[PROCESS_COMM];
};
#define PROCESS_KERNEL_THREAD 0x00200000UL /* PF_KTHREAD */
#define PROCESS_NEVER_EXECED  0x00000040UL /* PF_FORKNOEXEC: it runs on in its parent's image */
/* -ESRCH, silently, when there is none. */
int process_read_stat(pid_t pid, struct process_stat *s);
/* Has it exited, and only its parent has to take note? */
bool process_is_zombie(const struct process_stat *s);
/* Its path in the memory or unified hierarchy, "" when unknown, NULL: no memory. The caller frees it. */
char *process_read_cgroup(pid_t pid);
/* The tightest limit of a cgroup and those above it, bytes; -1: none. */
int64_t process_cgroup_limit(const char *cgroup);

/* Bytes; -1: not known. */
struct process_memory {
	int64_t rss;
	int64_t pss; /* costs a walk over all page tables: only when asked for */
	int64_t swap;
	int64_t limit;	   /* the tightest of its cgroups; -1: none */
	int64_t anonymous; /* in RAM and swapped out: a program begins with none */
	int64_t rss_anon, rss_file, rss_shmem; /* rss is their sum */
	int64_t anon_huge;		       /* with pss */
};
void process_read_memory(const struct process *p, bool with_pss, struct process_memory *m);
/* The same without the limit. */
void process_read_usage(const struct process *p, bool with_pss, struct process_memory *m);

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
