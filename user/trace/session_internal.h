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

#define DRAIN_MS 60 /* a call that has not returned by then is asleep, or was jumped out of */

/* A point of time, and how much a process had run by then. */
struct moment {
	uint64_t ns; /* monotonic; 0: never */
	struct cost_figures cost;
};

enum target_state {
	TARGET_TRACED,
	TARGET_ENDED,	/* its last figures have not been read yet */
	TARGET_LEFT_OUT /* it was looked at, and there is nothing to trace */
};

/* One program image of one process. */
struct target {
	enum target_state state;
	const char *ended; /* why, once it has */
	uint32_t slot;
	bool has_slot;
	bool read; /* it has ended, and its last figures are below */
	struct snapshot last;
	struct process process;
	struct tasks tasks;	 /* the process under the ids that the kernel half sees */
	struct ht_range *ranges; /* where the session's modules lie in it */
	uint32_t range_count;
	struct extent published; /* what of the kernel's ranges is its; count 0: none */
	bool awaits_exec;	 /* it is our child yet, that will run the command */
	bool known;		 /* its mappings have been read */
	bool stale;		 /* it has mapped code that the ranges lack */
	uint64_t stale_since_ns; /* when it did, monotonic; 0: not known */
	uint64_t refreshed_ns;	 /* when the mappings were last read, monotonic */
	uint64_t begun_ns;	 /* monotonic: of its tracing */
	uint64_t ended_ns;	 /* 0: it goes on */
	uint64_t reported_ns;	 /* when its figures were read last */
	uint32_t removed_probes; /* most that were found gone at once: a debugger took them out */
	/* Of the budget's keeping: govern.c. */
	struct cost_process cost;
	struct moment figures; /* since when its figures count */
	struct moment
		window; /* since when the probes are in; never: they are out, or it ended before */
	struct windows windows; /* those that are closed */
	bool windowed;		/* its last figures are of windows, once it has ended */
	bool was_sampled;	/* since the figures count */
};

/* How the budget is kept, over all targets together: govern.c. */
struct governing {
	double budget; /* 0: none is kept */
	struct governor governor;
	struct cost_figures before;
	struct rules asked;  /* how to sample where that is needed */
	uint64_t decided_ns; /* monotonic, as all of these */
	uint64_t figures_ns; /* since when the figures count, but for targets that came later */
	uint64_t window_ns;  /* since when the probes are in */
	uint64_t closed_ns;  /* when they were last told to go */
	uint64_t out_ns;     /* since when they are out; 0: they are in */
	uint64_t ended_ns;   /* since when nothing is counted any more; 0: it is */
	struct session *
		trend; /* the only target in growth mode, while windows do not tell what it holds; or NULL */
	bool no_trend; /* it was tried and cannot be had, or there is more than one target */
	double trend_before_s; /* its overhead at the last decision */
	double trend_s;	       /* the overhead of all of them so far */
	double cpu_rate;       /* of all targets, lately */
	bool anew; /* another program runs in the only target: nothing is known of it yet */
	bool leaving; /* the last figures of a time with probes are to be read, then the tables emptied */
};

/* An allocator's file, and how it is linked. */
struct linked_file {
	uint32_t module;
	bool for_all; /* one link for all processes; else one for each target */
};

struct session {
	/* Those that go on, and those whose last figures are not read yet. */
	struct target **targets;
	uint32_t target_count;
	enum ht_mode mode;
	struct image image; /* modules of all targets; its ranges are of the target read last */
	struct plan plan;
	uint32_t plan_modules; /* modules of the image that the plan has seen */
	uint32_t planned;      /* probes of the plan that the kernel half knows */
	struct kernel kernel;
	struct ring_buffer *messages;
	struct tables tables;
	struct links links, closing;
	uint64_t closing_since_ns;	  /* of the newest of them */
	struct linked_file *linked_files; /* by the number in their cookies */
	struct sideband sideband;
	struct growth growth; /* in growth mode, which has one target */
	struct cost cost;
	struct governing governing;
	struct profile profile;
	struct rules rules;
	struct bpf_link *follow_links[KERNEL_FOLLOW];
	struct extent *given_up; /* ranges that a walk may still look at */
	double min_age_s;	 /* as asked for last */
	uint32_t given_up_count;
	uint32_t linked_file_count;
	uint32_t generation; /* of the ranges in the kernel: none is given twice */
	uint32_t calls_seen; /* records in flight at the last sweep */
	uint8_t domains;     /* a bit by enum ht_domain */
	bool young;	     /* with min_age_s: less while a process has not been traced for long */
	bool wide;	     /* links are for all processes from the start */
	bool reaches_all;    /* some are, or were */
	bool told_reach;     /* that others pay too */
	bool ambiguous;	     /* two files may be one */
	bool exchanging;     /* links for single processes are giving way to one for all */
	bool was_filtered;   /* by these rules or earlier ones */
	bool follow_exec;    /* programs that run in a target by exec are targets */
	bool follow;	     /* children that it forks too */
	bool follows;	     /* the kernel half tells of fork and exec */
	bool expecting;	     /* more targets may be added: it does not end with the last one */
	bool governed, several; /* there has been a target; there has been another one */
	bool begun;		/* targets that come are armed at once, or with the next window */
	bool armed;
	bool alarmed; /* the kernel half says that targets pay more than they were allowed */
	bool drained; /* no call is in flight any more: what has not returned never will */
	bool told_missed;
};

/* --- targets.c ------------------------------------------------------------------------------- */

/* A new target, not yet in the kernel's tables, the last of the list. NULL: no memory. */
struct target *target_add(struct session *s);
/* Forgets one that never counted anything. */
void target_drop(struct session *s, struct target *t);
void target_free(struct target *t);
/* Reads what it has mapped, and plans what is new; its ranges are those of now. 0 or -errno. */
int target_read_image(struct session *s, struct target *t);
/* Gives it all modules of the image as mapped somewhere, before its program has begun. 0 or -errno. */
int target_name_modules(struct session *s, struct target *t);
/* Does it map an allocator that the plan has probes for? */
bool target_has_probes(const struct session *s, const struct target *t);
/* Makes it known to the kernel half, under a slot of its own. 0 or -errno after a message. */
int target_publish(struct session *s, struct target *t);
/* The ranges as they are now, also their tables and what the plan added. 0 or -errno after a message. */
int target_publish_ranges(struct session *s, struct target *t);
/* It ended: nothing counts from now on. `why` is a constant. */
void target_end(struct session *s, struct target *t, const char *why);
/* Slots of those whose last figures have been read are free for others. */
void target_free_slots(struct session *s);

static inline struct ht_process *target_record(const struct session *s, const struct target *t)
{
	return &s->tables.processes[t->slot];
}

static inline struct target *session_first(const struct session *s)
{
	return s->targets[0];
}

/* --- scope.c: links by file ---------------------------------------------------------------------- */

/* Links for each allocator that the target has mapped, as far as there are none. 0 or -errno. */
int scope_attach(struct session *s, struct target *t);
/* Says once that others pay too, when they do. */
void scope_tell_reach(struct session *s);
/* One for the target on all files that `from` has mapped: what it runs will most likely map them. */
int scope_attach_ahead(struct session *s, struct target *t, const struct target *from);
/* Lets go of what the target alone was linked by. */
void scope_leave(struct session *s, const struct target *t);
/* Closes links that have been replaced, once calls that they saw begin have ended. */
void scope_clean_up(struct session *s);
/* All links at once, though the session goes on: no target is armed. */
void scope_take_out(struct session *s);
void scope_close(struct session *s);

/* --- follow.c: processes that come and go ------------------------------------------------------ */

/* 0 or -errno, silently: then fork and exec are not followed by the kernel half. */
int follow_open(struct session *s);
void follow_close(struct session *s);
/* Takes note of processes that the kernel half has found. 0 or -errno after a message. */
int follow_processes(struct session *s);

/* --- read.c ----------------------------------------------------------------------------------- */

/* Reads the last figures of targets that have ended, when many have: others need their slots. 0 or -errno. */
int read_ended(struct session *s);
/* The tables as they are, of each target that has figures there, one after another. 0 or -errno after a message. */
int read_each(struct session *s,
	int (*take)(struct session *s, struct target *t, struct snapshot *snapshot));

/* --- govern.c: from arming on ------------------------------------------------------------------- */

void session_begin_governing(struct session *s);
/* The same for a target that has come since. `new`: it has only just been forked. */
void target_begin_governing(struct session *s, struct target *t, pid_t pid, bool new);
/* Its clock stops. */
void target_end_governing(struct session *s, struct target *t);
/* It is the one target's new program: what the governor has learned of the old one says nothing. */
void session_govern_anew(struct session *s);
/* Looks after the budget. 0, SESSION_FIGURES_END, or -errno after a message. */
int session_govern(struct session *s);
/* Before figures are read: what tracing has cost up to now. */
void session_update_costs(struct session *s);
/* What is known of one that was read just now beside its tables, and with windows what it comes to. 0 or -ENOMEM. */
int target_describe(struct session *s, struct target *t, struct snapshot *snapshot);

/* --- session.c: probes out, though the session goes on, and in again ------------------------------- */

void session_take_out(struct session *s);
/* 0 or -errno after a message. */
int session_put_in(struct session *s);

/* --- others ------------------------------------------------------------------------------------- */

/* rules.c: into the process records; once more when the image has changed. */
void session_publish_rules(struct session *s);
void target_publish_rules(struct session *s, struct target *t);
/*
 * calls.c: in-flight records of calls that cannot return any more. `all`: whoever they belong to.
 */
void session_sweep_calls(struct session *s, bool all);
/* Calls that have begun and not ended, of all targets. */
uint64_t session_in_flight(const struct session *s);
/* Events of another program image than the one that the target was armed for. */
uint64_t target_after_exec(const struct session *s, const struct target *t);
/* Sites that have been given out, those of the slots included. */
uint32_t session_sites_used(const struct session *s);

/* debugger.c: are our probes still there? What is not, is told and counted. */
void target_look_for_probes(struct session *s, struct target *t);
/* Called when the links are about to go. */
void target_warn_of_debugger(const struct target *t);

#endif
