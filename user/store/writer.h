/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a recording (schema.h) while targets are traced. Each snapshot is one transaction, with all that is new
 * to the profile: whoever reads sees it whole or not at all, and a kill or a full disk costs that one alone. What
 * could not be written stays in memory and comes with the next.
 *
 * One thread at a time. Modules and stacks come under the ids of their session, sites by their index in the figures
 * of their target, which must stay theirs.
 */
#ifndef HEAPTAP_WRITER_H
#define HEAPTAP_WRITER_H

#include "../model/recorded.h"

struct writer;

/* 0: written. The last is where what is older than full_ns is thinned to. */
struct writer_options {
	uint64_t full_ns; /* how long each snapshot is kept; UINT64_MAX: all of them, for ever */
	uint64_t thin_ns; /* then one in so long */
};
#define WRITER_FULL_NS (3600ULL * 1000000000)
#define WRITER_THIN_NS (60ULL * 1000000000)

/* A new file; an existing one is not touched: -EEXIST. 0 or -errno after a message. */
int writer_create(struct writer **w, const char *path, const struct writer_options *options);
/* Of the recording: "host", "interval_ms". 0 or -errno after a message. */
int writer_set_meta(struct writer *w, const char *key, const char *value);

/* A session: its targets share modules and stacks, which come under its ids. 0 or -ENOMEM after a message. */
int writer_add_scope(struct writer *w, uint32_t *scope);

struct target_facts {
	uint32_t scope;
	const struct process *process;
	uint64_t armed_realtime_ns;
	const char *mode, *mode_why, *link, *label;
};
/* *target: its index, for the calls below. 0 or -errno after a message. */
int writer_add_target(struct writer *w, const struct target_facts *facts, uint32_t *target);
int writer_end_target(
	struct writer *w, uint32_t target, const char *why, uint64_t ended_realtime_ns);

/* What is new in a session's profile (profile_tail). 0 or -ENOMEM. Written with the next snapshot. */
int writer_add_profile(struct writer *w, uint32_t scope, const struct profile *tail);
/* The target maps a module that the profile has: twice is as good as once. 0 or -ENOMEM. */
int writer_add_mapping(struct writer *w, uint32_t target, uint32_t module);
/* Names of frames that the profile has. 0 or -ENOMEM. Written with the next snapshot or at the end. */
int writer_add_names(struct writer *w, uint32_t scope, const struct names *names);
/*
 * *id: the snapshot's number in the recording. 0, or -errno after a message: it is not kept, and the file is as
 * before.
 */
int writer_add_snapshot(struct writer *w, uint32_t target, const struct snapshot *s,
	const struct moment *moment, uint32_t *id);
/* Names that came since the last snapshot. 0 or -errno after a message. */
int writer_flush(struct writer *w);

/* Leaves one file that needs no other. 0, or -errno after a message: what was committed is still there. */
int writer_close(struct writer *w);

#endif
