/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tracing costs the targets, measured: the runs of our programs, each at the price of its trap and of the mean time
 * of those that were timed, against the CPU time of the processes.
 */
#ifndef HEAPTAP_COST_H
#define HEAPTAP_COST_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "../../include/records.h"
#include "tables.h"
#include "trap_cost.h"

/* Sums since the beginning, of one process or of all. */
struct cost_figures {
	double runs[HT_PULSE_KINDS];
	double overhead_s;
	double cpu_s; /* overhead included */
};

/* The share of its CPU time that a process may lose where nothing else is said. */
#define BUDGET_DEFAULT 0.05

/* Runs of one kind, and what they took, as far as the timed ones tell. */
struct cost_runs {
	double runs, ns;
};

/* What has been counted of a process, or of all. */
struct cost_sums {
	struct cost_runs runs[HT_PULSE_KINDS];
	double idle; /* traps that came to nothing */
	double cpu_s;
};

struct cost_process {
	clockid_t clock;
	bool has_clock;
	double cpu_before_s; /* when it began to be traced */
	struct cost_sums sums;
};

struct cost {
	pthread_t thread; /* measures the traps while the session is made */
	bool running;
	bool stop;  /* the thread is to end */
	bool timed; /* runs are; else cost_by_counts() has to do */
	bool known; /* the traps are measured; else they are assumed to be dear */
	enum link_kind kind;
	int error;
	struct trap_cost measured; /* by the thread */
	struct trap_cost traps;
	/* Set by the session. */
	bool alloc_stepped, free_stepped; /* the kernel single-steps those probes */
	struct cost_sums sums;		  /* of all processes, also those that have gone */
	struct cost_runs settled[HT_PULSE_KINDS];
	double mean_ns[HT_PULSE_KINDS]; /* of the runs that were timed last; 0: none was */
};

/* Traps cost more than on most machines, until it is known. */
void cost_assume(struct cost *c);
/* Begins to measure traps, in a thread of its own: it takes some tenths of a second. */
void cost_start(struct cost *c, enum link_kind kind);
/* Instead: runs are called from the kernel's own code, for next to nothing. */
void cost_without_traps(struct cost *c);
/* Whose time it is; `new`: it has only just been forked, and all of its time counts. */
void cost_begin_process(struct cost_process *p, pid_t pid, bool new);
/* Takes in what has been since the last call: of each process, */
void cost_update(struct cost *c, struct cost_process *p, const struct tables *t, uint32_t slot);
/* and then once. */
void cost_settle(struct cost *c);
/* What its clock shows from here on is not its time any more. */
void cost_end_process(struct cost_process *p);
/*
 * Up to the last update, of all processes or of one. False: the traps are not measured yet, or could not be, and the
 * overhead is a guess.
 */
bool cost_total(const struct cost *c, struct cost_figures *f);
bool cost_of_process(const struct cost *c, const struct cost_process *p, struct cost_figures *f);
/* What has run, where nothing is timed. */
struct cost_counts {
	double entries;	 /* of allocating functions that were let through, and of these returns */
	double declined; /* entries of those that were not */
	double frees;
	double frames; /* that were walked, in all */
	double idle;   /* traps that came to nothing */
	bool sampled;
};

/* Seconds that all this has taken, by what traps cost here and what our programs take on most machines. */
double cost_by_counts(const struct cost *c, const struct cost_counts *counts);
/* Seconds of a trap alone. */
double cost_of_trap(const struct cost *c, enum ht_pulse_kind kind);
/* Seconds of a run: its trap, and what it took when last timed, or `assumed_ns` as long as none was. */
double cost_of_run(const struct cost *c, enum ht_pulse_kind kind, double assumed_ns);
/* The kernel half calls after so many more entries on one CPU; UINT64_MAX: never. */
void cost_set_alarm(const struct tables *t, uint32_t slot, uint64_t entries);
void cost_tell(const struct cost *c); /* to who asked for -v -v */
/* Ends the thread, if it still measures: the cost is then not known. Also for a zeroed one. */
void cost_finish(struct cost *c);

#endif
