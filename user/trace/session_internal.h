/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this folder share about a session. */
#ifndef HEAPTAP_SESSION_INTERNAL_H
#define HEAPTAP_SESSION_INTERNAL_H

#include "../model/windows.h"
#include "cost.h"
#include "governor.h"
#include "growth.h"
#include "kernel.h"
#include "links.h"
#include "session.h"
#include "sideband.h"
#include "tasks.h"

/* A point of time, and how much the process had run by then. */
struct moment {
	uint64_t ns; /* monotonic */
	struct cost_figures cost;
};

/* How the budget is kept: govern.c. */
struct governing {
	double budget; /* 0: none is kept */
	struct governor governor;
	struct cost_figures before;
	struct rules asked;    /* how to sample where that is needed */
	uint64_t decided_ns;   /* monotonic, as all of these */
	struct moment figures; /* since when the figures count */
	struct moment window;  /* since when the probes are in */
	uint64_t out_ns;       /* since when they are out; 0: they are in */
	uint64_t ended_ns;     /* since when nothing is counted any more; 0: it is */
	struct windows windows;
	struct session *
		trend; /* the process in growth mode, while windows do not tell what it holds; or NULL */
	bool no_trend;	       /* it was tried, and cannot be had */
	double trend_before_s; /* its overhead at the last decision */
	double trend_s;	       /* the overhead of all of them so far */
	double cpu_rate;       /* of the process, lately */
	bool leaving; /* the last figures of a time with probes are to be read, then the tables emptied */
};

struct session {
	enum ht_mode mode;
	uint8_t domains; /* a bit by enum ht_domain */
	struct process process;
	struct image image;
	struct plan plan;
	struct kernel kernel;
	struct ring_buffer *messages;
	struct tables tables;
	struct links links;
	bool linked_to_all; /* all processes hit the probes, not only this one */
	struct sideband sideband;
	struct tasks tasks;   /* the process under the ids that the kernel half sees */
	struct growth growth; /* in growth mode */
	struct profile profile;
	struct rules rules;
	bool was_sampled, was_filtered; /* by these rules or earlier ones */
	uint32_t slot;
	uint32_t generation;	 /* of the ranges in the kernel */
	uint32_t plan_modules;	 /* modules of the image that the plan has seen */
	bool stale;		 /* the process has mapped code that the image lacks */
	bool exec_seen;		 /* another program runs in the process */
	uint64_t stale_since_ns; /* when it did, monotonic; 0: not known */
	uint64_t refreshed_ns;	 /* when the image was last read, monotonic */
	struct cost cost;
	struct governing governing;
	bool armed;
	bool alarmed; /* the kernel half says that the target pays more than it was allowed */
	bool drained; /* no call is in flight any more: what has not returned never will */
	uint64_t abandoned_calls;
	uint32_t removed_probes; /* most that were found gone at once: a debugger took them out */
	uint32_t calls_seen;	 /* records in flight at the last sweep */
};

/* rules.c: into the process record; once more when the image has changed. */
void session_publish_rules(struct session *s);
/*
 * calls.c: in-flight records of calls that cannot return any more. `all`: whoever they belong to.
 */
void session_sweep_calls(struct session *s, bool all);
/* Calls that have begun and not ended. */
uint64_t session_in_flight(const struct session *s);
/* The same when the allocations and failures counted by sites are known already. */
uint64_t session_unfinished(const struct session *s, uint64_t ended);
/* Events of another program image than the one that the session was armed for. */
uint64_t session_after_exec(const struct session *s);
/* Sites that have been given out, those of the slots included. */
uint32_t session_sites_used(const struct session *s);

/* session.c: probes out, though the session goes on, and in again. 0 or -errno after a message. */
void session_take_out(struct session *s);
int session_put_in(struct session *s);

/* govern.c: from arming on. */
void session_begin_governing(struct session *s);
/* Looks after the budget. 0, SESSION_FIGURES_END, or -errno after a message. */
int session_govern(struct session *s);
/* read.c: of the tables as they are. */
int session_read_tables(struct session *s, double min_age_s, struct snapshot *snapshot);

/* debugger.c: are our probes still there? What is not, is told and counted. */
void session_look_for_probes(struct session *s);
/* Called when the links are about to go. */
void session_warn_of_debugger(const struct session *s);

#endif
