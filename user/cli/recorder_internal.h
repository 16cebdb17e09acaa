/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the loop's side of a recorder and its threads hand to each other. */
#ifndef HEAPTAP_RECORDER_INTERNAL_H
#define HEAPTAP_RECORDER_INTERNAL_H

#include <pthread.h>

#include "../base/worker.h"
#include "../symbol/symbolizer.h"
#include "recorder.h"

/* A program image whose names are looked for. */
struct naming {
	struct symbolizer *symbols;
	uint32_t scope, target; /* the writer's; the writing thread sets and reads them */
	struct buffer
		raw; /* uint64_t: frames of no file, whose names may come late; the naming thread's */
	uint32_t users; /* atomic: pieces of work, and the recorder while it is the latest */
};

struct new_file {
	uint32_t id;
	char *path;
	int fd; /* -1: could not be opened */
};

enum job_kind { JOB_TARGET, JOB_SNAPSHOT, JOB_NAMES, JOB_END, JOB_FLUSH };

struct job {
	struct work work; /* first */
	enum job_kind kind;
	struct recorder *recorder;
	struct naming *image;
	int error;
	/* JOB_TARGET */
	struct process process;
	const char *mode, *mode_why, *link, *label;
	uint64_t realtime_ns; /* also of JOB_END */
	/* JOB_SNAPSHOT */
	struct profile news;
	uint32_t first_module; /* the session's id of its first */
	struct snapshot snapshot;
	struct moment moment;
	char *moment_label;
	uint64_t token;
	uint32_t number;
	/* JOB_NAMES: in the naming thread frames and files, then in the writing thread what they are called */
	struct buffer frames; /* uint64_t */
	struct new_file *files;
	uint32_t file_count;
	struct buffer named, levels; /* struct named_frame, struct named_level */
	/* JOB_END */
	const char *why;
};

struct recorder {
	struct writer *writer; /* the writing thread's, once it has work */
	struct worker *writing, *naming;
	struct naming *latest;
	uint32_t modules_sent, stacks_sent; /* of the latest's profile */
	uint32_t snapshots_pending, failures;
	bool last_failed;
	bool cancelled; /* under the lock */
	pthread_mutex_t lock;
	struct symbolizer *searching; /* under the lock; NULL: none */
};

/* recorder_threads.c: what is done of a job in the writing thread, and in the naming one. */
void recorder_write_job(struct work *work);
void recorder_name_job(struct work *work);

#endif
