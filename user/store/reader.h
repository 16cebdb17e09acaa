/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a recording, also one that grows. It may come from anyone: it is opened for reading only, its tables must be
 * those of schema.h to the letter (no view, trigger or expression of its own runs), and what does not fit together is
 * -EBADMSG. Every call: 0 or -errno after a message.
 */
#ifndef HEAPTAP_READER_H
#define HEAPTAP_READER_H

#include "../model/code.h"
#include "../model/recorded.h"

struct recording;

struct recorded_target {
	uint32_t id;
	struct process process; /* who it was; not opened */
	uint64_t armed_realtime_ns;
	const char *mode, *mode_why, *link, *label; /* NULL: unknown */
	const char *ended;			    /* NULL: it goes on, or heaptap was killed */
};

struct recorded_snapshot {
	uint32_t id;
	uint32_t target; /* index */
	uint32_t keyframe;
	struct moment moment;
	struct snapshot figures; /* without sites and losses: recording_read_sites() */
};

int recording_open(struct recording **r, const char *path);
void recording_close(struct recording *r); /* NULL is allowed */
const char *recording_path(const struct recording *r);
/* A value of the table meta; NULL: not there. */
const char *recording_meta(const struct recording *r, const char *key);

/* What has come since the last call, and since the opening. */
int recording_refresh(struct recording *r);
/* Has the file changed since the last refresh? Cheap. */
bool recording_has_grown(struct recording *r);
uint32_t recording_target_count(const struct recording *r);
const struct recorded_target *recording_target(const struct recording *r, uint32_t index);
uint32_t recording_snapshot_count(const struct recording *r);
/* In the order of their ids. */
const struct recorded_snapshot *recording_snapshot(const struct recording *r, uint32_t index);

/*
 * Figures of a snapshot with its sites, those that ever had something; their stacks are the code's. The caller
 * releases it.
 */
int recording_read_sites(
	struct recording *r, const struct recorded_snapshot *at, struct snapshot *figures);
/*
 * Frames of stacks, and names: of `wanted` ones (indices) or, with NULL, of all. Stacks read once stay. The code
 * lives as long as the recording.
 */
int recording_read_stacks(struct recording *r, const uint32_t *wanted, uint32_t count);
const struct code *recording_code(const struct recording *r);
/* Does a target map a module of the code? Both by index. */
bool recording_maps(const struct recording *r, uint32_t target, uint32_t module);

#endif
