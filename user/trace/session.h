/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tracing session of one process, in phases that only go forward:
 *
 *   open    process, its code, the probe plan: nothing has touched the kernel yet
 *   load    programs and tables
 *   attach  links; probes fire, and count nothing
 *   arm     one store: from here on every event counts
 *   wait, read ...
 *   disarm  one store, then running calls are given time to return
 *   detach  links gone, the target runs at its old speed
 *   close
 *
 * The only part of heaptap that knows libbpf. One process now; the tables hold several.
 */
#ifndef HEAPTAP_SESSION_H
#define HEAPTAP_SESSION_H

#include <poll.h>
#include <sys/types.h>

#include "../model/profile.h"
#include "../target/plan.h"
#include "tables.h"

struct session;

/* Each phase: 0, or -errno after a message. After a failure only session_close() is left. */
/* domains: a bit by enum ht_domain; in growth mode HT_DOMAIN_MMAP asks for mappings too. */
int session_open(struct session **session, pid_t pid, enum ht_mode mode, uint8_t domains);
/* The kind of link is chosen here: the first one asked for whose trial and whose load succeed. */
int session_load(struct session *s, const struct table_limits *limits, enum link_choice choice);
/*
 * Which requests are followed from now on, in any phase after the open; without it all are. Frees are
 * always seen. The module's name must live as long as the session. 0, or after a message -EINVAL, or
 * -ESRCH: the process has no such thread.
 */
int session_set_rules(struct session *s, const struct rules *rules);
/* The power of two nearest to an interval in bytes: the only ones there are. */
uint64_t rules_round_interval(uint64_t bytes);
/*
 * Keeps what tracing costs under this share of the CPU time that the process itself uses, by the means of governor.h;
 * before the session is armed. Rules then say how to sample where that is needed.
 */
void session_set_budget(struct session *s, double share);
int session_attach(struct session *s);
int session_arm(struct session *s);
void session_disarm(struct session *s);
void session_detach(struct session *s);
void session_close(struct session *s); /* in any phase; NULL is allowed */

enum ht_mode session_mode(const struct session *s);
const struct process *session_process(const struct session *s);
const struct plan *session_plan(const struct session *s);
const struct image *session_image(const struct session *s);
/* How probes are attached: "session", "multi" or "perf". */
const char *session_link_name(const struct session *s);
/* Modules and stacks known so far; grows with each session_read(). */
const struct profile *session_profile(const struct session *s);

enum session_event {
	SESSION_DEADLINE, /* the time has come */
	SESSION_READY,	  /* one of the caller's descriptors is: its revents says so */
	SESSION_TARGET_EXIT,
	SESSION_TARGET_EXEC, /* another program runs in it: this session is over */
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
 * Reads all figures. While the session is armed they are a little askew: snapshot->totals.in_flight
 * and ->skew bound by how much. The caller releases the snapshot. 0 or -errno after a message.
 */
int session_read(struct session *s, double min_age_s, struct snapshot *snapshot);
/* What is live at this moment, from one load: to see a new peak come. */
uint64_t session_live_bytes(const struct session *s);

#endif
