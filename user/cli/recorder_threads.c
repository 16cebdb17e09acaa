// SPDX-License-Identifier: GPL-2.0-or-later
/* The two threads of a recorder: one writes, one looks up names. */
#include <errno.h>

#include "../base/err.h"
#include "recorder_internal.h"

/* --- the writing thread -------------------------------------------------------------------------- */

static void write_target(struct job *job)
{
	struct target_facts facts = { 0, &job->process, job->realtime_ns, job->mode, job->mode_why,
		job->link, job->label };

	job->error = writer_add_scope(job->recorder->writer, &job->image->scope);
	facts.scope = job->image->scope;
	if (!job->error)
		job->error = writer_add_target(job->recorder->writer, &facts, &job->image->target);
	if (job->error)
		job->image->target = UINT32_MAX;
}

static void write_snapshot(struct job *job)
{
	struct writer *w = job->recorder->writer;

	job->error = writer_add_profile(w, job->image->scope, &job->news);
	for (uint32_t i = 0; !job->error && i < job->news.module_count; i++)
		job->error = writer_add_mapping(w, job->image->target, job->first_module + i);
	if (job->error)
		err(job->error, "out of memory");
	else
		job->error = writer_add_snapshot(
			w, job->image->target, &job->snapshot, &job->moment, &job->number);
	if (job->error)
		warn("a snapshot is not kept; what it held comes with the next");
}

void recorder_write_job(struct work *work)
{
	struct job *job = (struct job *)(void *)work;
	struct writer *w = job->recorder->writer;
	struct names names = { (const struct named_frame *)(void *)job->named.data,
		(uint32_t)(job->named.length / sizeof(struct named_frame)),
		(const struct named_level *)(void *)job->levels.data };

	if (job->kind == JOB_TARGET)
		write_target(job);
	else if (job->image->target == UINT32_MAX)
		job->error = -EIO; /* said already */
	else if (job->kind == JOB_SNAPSHOT)
		write_snapshot(job);
	else if (job->kind == JOB_NAMES)
		job->error = writer_add_names(w, job->image->scope, &names);
	else if (job->kind == JOB_END)
		job->error = writer_end_target(w, job->image->target, job->why, job->realtime_ns);
	else
		job->error = writer_flush(w);
}

/* --- the naming thread --------------------------------------------------------------------------- */

static int add_files(struct job *job)
{
	int error = 0;

	for (uint32_t i = 0; !error && i < job->file_count; i++) {
		const struct new_file *f = &job->files[i];

		error = symbolizer_set_module(job->image->symbols, f->id, f->path, f->fd);
	}
	return error;
}

static int search(struct job *job)
{
	struct recorder *r = job->recorder;
	int error;

	pthread_mutex_lock(&r->lock);
	r->searching = job->image->symbols;
	if (r->cancelled)
		symbolizer_cancel(r->searching);
	pthread_mutex_unlock(&r->lock);
	error = symbolizer_add(job->image->symbols, (const uint64_t *)(void *)job->frames.data,
		job->frames.length / sizeof(uint64_t));
	pthread_mutex_lock(&r->lock);
	r->searching = NULL;
	pthread_mutex_unlock(&r->lock);
	return error == -ECANCELED ? 0 : error;
}

static void take_names(struct job *job)
{
	const uint64_t *frames = (const uint64_t *)(void *)job->frames.data;

	for (size_t i = 0; i < job->frames.length / sizeof(*frames); i++) {
		struct symbol s = symbolizer_find(job->image->symbols, frames[i]);
		struct named_frame f = { .frame = frames[i],
			.instruction = s.address,
			.function_offset = s.function_offset,
			.first_level = (uint32_t)(job->levels.length / sizeof(struct named_level)),
			.level_count = s.level_count,
			.jit = s.jit };

		if (ht_frame_tag(frames[i]) == HT_FRAME_RAW && !s.levels[0].function)
			buffer_append(&job->image->raw, &frames[i], sizeof(frames[i]));
		for (uint32_t l = 0; l < s.level_count; l++) {
			struct named_level level = { s.levels[l].function, s.levels[l].file,
				s.levels[l].line };

			buffer_append(&job->levels, &level, sizeof(level));
		}
		buffer_append(&job->named, &f, sizeof(f));
	}
}

void recorder_name_job(struct work *work)
{
	struct job *job = (struct job *)(void *)work;

	/* The last of an image: names that had not come the first time. */
	if (job->kind == JOB_FLUSH) {
		buffer_append(&job->frames, job->image->raw.data, job->image->raw.length);
		buffer_clear(&job->image->raw);
	}
	job->error = add_files(job);
	if (!job->error)
		job->error = search(job);
	if (!job->error)
		take_names(job);
	if (buffer_failed(&job->named) || buffer_failed(&job->levels))
		job->error = -ENOMEM;
}
