/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FILE[@SNAP]: which snapshots of a recording are meant, one of each target. SNAP is a snapshot's number, "first",
 * "last", "peak", a label, or a time (2026-01-01T12:00:00, UTC, or 12:00:00 of the recording's last day): the newest
 * at or before it.
 */
#ifndef HEAPTAP_MOMENT_H
#define HEAPTAP_MOMENT_H

#include "../render/report.h"

struct moment_choice {
	char *file;
	char *snap; /* NULL: not given */
};

/* A name that is a file as a whole is one. 0 or -ENOMEM after a message. */
int moment_split(struct moment_choice *c, const char *word);
void moment_release(struct moment_choice *c);

/*
 * Indices of snapshots, one a process: snap NULL is "last"; pid 0: of all. Of a process that called exec it is the
 * image that ran at the moment. The caller frees *chosen. 0, or after a message -EINVAL (there is none) or -ENOMEM.
 */
int moment_find(const struct recording *r, const char *snap, uint64_t pid, uint32_t **chosen,
	uint32_t *count);

/* A heap with all that a report wants of it. */
struct loaded_heap {
	struct heap heap;
	struct snapshot figures;
	struct places places;
};
/* stacks: frames and names of all; else no places. 0 or -errno after a message. */
int loaded_heap_read(struct loaded_heap *h, struct recording *r, uint32_t snapshot);
/* Once the stacks have been read. 0 or -ENOMEM after a message. */
int loaded_heap_name(struct loaded_heap *h);
void loaded_heap_release(struct loaded_heap *h);

/* Writes a stream to a file descriptor: context is an int. */
int write_to_fd(void *context, const void *bytes, size_t count);

#endif
