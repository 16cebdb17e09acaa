/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this folder share about a session. */
#ifndef HEAPTAP_SESSION_INTERNAL_H
#define HEAPTAP_SESSION_INTERNAL_H

#include "kernel.h"
#include "links.h"
#include "session.h"
#include "sideband.h"
#include "tasks.h"

#define DRAIN_MS 60 /* a call that has not returned by then is asleep, or was jumped out of */

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
	uint64_t abandoned_calls;
	uint32_t removed_probes; /* most that were found gone at once: a debugger took them out */
};

/* An allocator's file, and how it is linked. */
struct linked_file {
	uint32_t module;
	bool for_all; /* one link for all processes; else one for each target */
};

struct session {
	struct target *
		*targets; /* those that go on, and those whose last figures are not read yet */
	uint32_t target_count;
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
	uint32_t linked_file_count;
	bool wide;	  /* links are for all processes from the start */
	bool reaches_all; /* some are, or were */
	bool told_reach;  /* that others pay too */
	bool ambiguous;	  /* two files may be one */
	bool exchanging;  /* links for single processes are giving way to one for all */
	struct sideband sideband;
	struct profile profile;
	struct rules rules;
	bool was_sampled, was_filtered; /* by these rules or earlier ones */
	bool follow_exec;		/* programs that run in a target by exec are targets */
	bool follow;			/* children that it forks too */
	bool follows;			/* the kernel half tells of fork and exec */
	bool expecting; /* more targets may be added: it does not end with the last one */
	struct bpf_link *follow_links[KERNEL_FOLLOW];
	uint32_t generation;	 /* of the ranges in the kernel: none is given twice */
	struct extent *given_up; /* ranges that a walk may still look at */
	uint32_t given_up_count;
	bool armed;
	bool drained;	     /* no call is in flight any more: what has not returned never will */
	uint32_t calls_seen; /* records in flight at the last sweep */
	bool told_missed;
	double min_age_s; /* as asked for last */
	bool young;
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
