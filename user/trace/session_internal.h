/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this folder share about a session. */
#ifndef HEAPTAP_SESSION_INTERNAL_H
#define HEAPTAP_SESSION_INTERNAL_H

#include "growth.h"
#include "kernel.h"
#include "links.h"
#include "session.h"
#include "sideband.h"
#include "unwinder.h"

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
	struct sideband sideband;
	struct unwinder unwinder;
	struct growth growth; /* in growth mode */
	struct profile profile;
	uint32_t slot;
	uint32_t generation;	 /* of the ranges in the kernel */
	uint32_t plan_modules;	 /* modules of the image that the plan has seen */
	bool stale;		 /* the process has mapped code that the image lacks */
	uint64_t stale_since_ns; /* when it did, monotonic; 0: not known */
	bool exec_seen;		 /* another program runs in the process */
	uint64_t refreshed_ns;	 /* when the image was last read, monotonic */
	bool armed;
	bool drained; /* no call is in flight any more: what has not returned never will */
	uint64_t abandoned_calls;
	uint32_t calls_seen; /* records in flight at the last sweep */
};

/*
 * calls.c: in-flight records of calls that cannot return any more. `all`: whoever they belong to.
 */
void session_sweep_calls(struct session *s, bool all);
/* Calls that have begun and not ended. */
uint64_t session_in_flight(const struct session *s);
/* Events of another program image than the one that the session was armed for. */
uint64_t session_after_exec(const struct session *s);
/* Sites that have been given out, those of the slots included. */
uint32_t session_sites_used(const struct session *s);

#endif
