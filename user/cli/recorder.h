/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a recording beside the tracing: neither a slow disk nor a slow search for names is ever waited for.
 *
 *   loop:           session_read() --> recorder_submit()                            recorder_take() --> who asked
 *                                   | snapshot, modules, stacks                        ^
 *   writing thread:                 +------------------------------> one transaction --+
 *                                   | frames, files                    ^
 *   naming thread:                  +--> names --> with the next ------+
 *
 * What travels is copied or moved; threads and session share nothing.
 */
#ifndef HEAPTAP_RECORDER_H
#define HEAPTAP_RECORDER_H

#include "../store/writer.h"
#include "../trace/session.h"

struct recorder;

/* A snapshot that was written, or could not be. */
struct recorded {
	uint64_t token; /* as submitted */
	uint32_t snapshot;
	int error; /* 0 or -errno; the message has been given */
};

/* Creates the file. 0 or -errno after a message. */
int recorder_open(struct recorder **r, const char *path, const struct writer_options *options);
/* 0 or -errno after a message. Before the first snapshot. */
int recorder_set_meta(struct recorder *r, const char *key, const char *value);
/* What is submitted from here on is about another program image. 0 or -errno after a message. */
int recorder_begin(struct recorder *r, const struct session *session, const char *mode,
	const char *mode_why, const char *label);
/*
 * Hands over a snapshot of the session begun last; takes it over, also on failure. token: comes back with what became
 * of it. 0, or -ENOMEM after a message.
 */
int recorder_submit(struct recorder *r, const struct session *session, struct snapshot *snapshot,
	const struct moment *moment, uint64_t token);
/* The target begun last has had its last snapshot; why is a constant. 0 or -ENOMEM. */
int recorder_end(struct recorder *r, const char *why);
/* Snapshots submitted and not yet taken. */
uint32_t recorder_pending(const struct recorder *r);
/* Readable once there is something to take. */
int recorder_fd(const struct recorder *r);
/* The next snapshot that is done with; false: none yet. */
bool recorder_take(struct recorder *r, struct recorded *done);
/*
 * Waits until all is written, names included. A signal ends the search for those. What was taken meanwhile is lost to
 * recorder_take(). 0, or -errno when a snapshot, or what came after the last one, could not be written.
 */
int recorder_finish(struct recorder *r, int signal_fd);
/* Snapshots that could not be written. */
uint32_t recorder_failures(const struct recorder *r);
/* Closes the file; NULL is allowed. */
void recorder_free(struct recorder *r);

#endif
