/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tracing session, in phases that only go forward:
 *
 *   open    processes, their code, the probe plan: nothing has touched the kernel yet
 *   load    programs and tables
 *   attach  links; probes fire, and count nothing
 *   arm     one store a process: from here on every event counts
 *   wait, read ...
 *   disarm  then running calls are given time to return
 *   detach  links gone, the targets run at their old speed
 *   close
 *
 * The only part of heaptap that knows libbpf.
 *
 *   session -> targets: a program image of a process each. They come when they are added, by fork and
 *              by exec, and end by exit and exec; the last figures of one that has ended are read once.
 *           -> modules, stacks, probe plan: of all of them together
 */
#ifndef HEAPTAP_SESSION_H
#define HEAPTAP_SESSION_H

#include <poll.h>
#include <sys/types.h>

#include "../model/profile.h"
#include "../target/plan.h"
#include "tables.h"

struct session;
struct target;

/* Each phase: 0, or -errno after a message. After a failure only session_close() is left. */
/* domains: a bit by enum ht_domain; in growth mode, which has one target, HT_DOMAIN_MMAP asks for mappings too. */
int session_open(struct session **session, pid_t pid, enum ht_mode mode, uint8_t domains);
/* The same without a process: they are added. 0 or -ENOMEM after a message. */
int session_new(struct session **session, enum ht_mode mode, uint8_t domains);
/*
 * One more process, in any phase. -ESRCH, -ENXIO: it has gone, or has nothing to trace; the session is as before. Of
 * those that are traced already and of threads of theirs it is 0.
 */
int session_add(struct session *s, pid_t pid);
/*
 * A child of ours that waits, and will then run a program that needs these files: counted from its first instruction.
 * Before the load. -ENXIO after a message: there is no allocator in them.
 */
int session_add_command(struct session *s, pid_t pid, const char *const *files, uint32_t count);
/*
 * Before the attach: a program that a target runs by exec is a target of the same session, which else is over then;
 * and children that it forks are targets too, if `children` says so.
 */
void session_set_follow(struct session *s, bool children);
/* More targets may be added: the session goes on when there is none left. */
void session_set_expecting(struct session *s);
/* Before the attach: links reach all processes from the start, for most of them are targets. */
void session_set_wide(struct session *s);
/* The kind of link is chosen here: the first one asked for whose trial and whose load succeed. */
int session_load(struct session *s, const struct table_limits *limits, enum link_choice choice);
/*
 * Which requests are followed from now on, in any phase after the open; without it all are. Frees are
 * always seen. The module's name must live as long as the session. 0, or after a message -EINVAL, or
 * -ESRCH: no process has such a thread.
 */
int session_set_rules(struct session *s, const struct rules *rules);
/* The power of two nearest to an interval in bytes: the only ones there are. */
uint64_t rules_round_interval(uint64_t bytes);
/*
 * Keeps what tracing costs under this share of the CPU time that the targets themselves use, all of them together, by
 * the means of governor.h; before the session is armed. Rules then say how to sample where that is needed.
 */
void session_set_budget(struct session *s, double share);
int session_attach(struct session *s);
int session_arm(struct session *s);
void session_disarm(struct session *s);
void session_detach(struct session *s);
void session_close(struct session *s); /* in any phase; NULL is allowed */

enum ht_mode session_mode(const struct session *s);
/* Of the first target. */
const struct process *session_process(const struct session *s);
const struct plan *session_plan(const struct session *s);
const struct image *session_image(const struct session *s);
/* How probes are attached: "session", "multi" or "perf". */
const char *session_link_name(const struct session *s);
/* Were there links that reach all processes? Those that are no targets pay for them too. */
bool session_reaches_all(const struct session *s);
/* Modules and stacks known so far; grows with each session_read(). */
const struct profile *session_profile(const struct session *s);

uint32_t session_target_count(const struct session *s);
const struct target *session_target(const struct session *s, uint32_t i);
const struct process *target_process(const struct target *t);
uint32_t target_slot(const struct target *t);
/* Does it map this module? */
bool target_maps(const struct target *t, uint32_t module);
/* Processes that were forked or ran a program while no slot was free: not traced. */
uint64_t session_missed_processes(const struct session *s);

enum session_event {
	SESSION_DEADLINE,    /* the time has come */
	SESSION_READY,	     /* one of the caller's descriptors is: its revents says so */
	SESSION_TARGET_EXIT, /* the last one has exited */
	SESSION_TARGET_EXEC, /* another program runs in the only one, and the kernel half does not follow that */
	SESSION_FIGURES_END, /* to keep the budget probes are out: live blocks are known now, and no more after this */
};

/* Descriptors of the caller's that one wait can take. */
#define SESSION_MAX_WAITS 4

/*
 * Sleeps until something happens, and meanwhile keeps tables and mappings up to date. fds are waited for as by
 * poll(), negative ones left out; the caller looks at their revents first, for several things may have happened.
 * Returns the event, or -errno after a message.
 */
int session_wait(
	struct session *s, uint64_t deadline_monotonic_ns, struct pollfd *fds, size_t count);

/*
 * Reads all figures of the first target. While the session is armed they are a little askew:
 * snapshot->totals.in_flight and ->skew bound by how much. The caller releases the snapshot. 0 or -errno after a
 * message.
 */
int session_read(struct session *s, double min_age_s, struct snapshot *snapshot);
/* What is live at this moment, from one load: to see a new peak come. */
uint64_t session_live_bytes(const struct session *s);

/* The figures of one target. */
struct reading {
	const struct target *target; /* valid until session_retire_ended() */
	const char *ended;	     /* a constant: these are its last figures; NULL: it goes on */
	double elapsed_s;	     /* since its tracing began */
	double interval_s;	     /* since the reading before */
	struct snapshot snapshot;
};
struct readings {
	struct reading *all;
	uint32_t count;
};
/*
 * Reads all figures of all targets, also of those that have ended. "Aged" are blocks of min_age_s; with
 * `young` of half the time that their process has been traced, as long as that is less. 0 or -errno after a message.
 */
int session_read_all(struct session *s, double min_age_s, bool young, struct readings *readings);
void readings_release(struct readings *readings);
/* After their last figures have been read: ended targets make room for others; the last target stays. */
void session_retire_ended(struct session *s);

#endif
