// SPDX-License-Identifier: GPL-2.0-or-later
#include "recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "../base/progress.h"
#include "recorder_internal.h"

static void names_release(struct naming *image)
{
	if (!image || __atomic_sub_fetch(&image->users, 1, __ATOMIC_ACQ_REL))
		return;
	symbolizer_free(image->symbols);
	buffer_release(&image->raw);
	free(image);
}

static struct job *job_new(struct recorder *r, enum job_kind kind, void (*run)(struct work *))
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job) {
		err(-ENOMEM, "out of memory");
		return NULL;
	}
	job->work.run = run;
	job->kind = kind;
	job->recorder = r;
	job->process.pidfd = -1;
	job->image = r->latest;
	if (r->latest)
		__atomic_add_fetch(&r->latest->users, 1, __ATOMIC_RELAXED);
	return job;
}

static void job_free(struct job *job)
{
	if (!job)
		return;
	names_release(job->image);
	process_close(&job->process);
	profile_release(&job->news);
	snapshot_release(&job->snapshot);
	free(job->moment_label);
	buffer_release(&job->frames);
	for (uint32_t i = 0; i < job->file_count; i++) {
		free(job->files[i].path);
		if (job->files[i].fd >= 0)
			close(job->files[i].fd);
	}
	free(job->files);
	buffer_release(&job->named);
	buffer_release(&job->levels);
	free(job);
}

/* What the naming thread has done goes on to the writing one. */
static void pass_names_on(struct recorder *r)
{
	struct work *work;

	while ((work = worker_take(r->naming))) {
		struct job *job = (struct job *)(void *)work;

		if (job->error) {
			warn("names are missing: %s", strerror(-job->error));
			job_free(job);
			continue;
		}
		job->kind = JOB_NAMES;
		job->work.run = recorder_write_job;
		worker_add(r->writing, &job->work);
	}
}

/* --- the loop's side ------------------------------------------------------------------------------ */

int recorder_open(
	struct recorder **recorder, const char *path, const struct writer_options *options)
{
	struct recorder *r = calloc(1, sizeof(*r));
	int error;

	if (!r)
		return err(-ENOMEM, "out of memory");
	pthread_mutex_init(&r->lock, NULL);
	error = writer_create(&r->writer, path, options);
	if (!error)
		r->writing = worker_new("writes the recording");
	if (r->writing)
		r->naming = worker_new("looks up names");
	if (!error && !r->naming)
		error = -EAGAIN;
	if (error) {
		recorder_free(r);
		return error;
	}
	*recorder = r;
	return 0;
}

int recorder_set_meta(struct recorder *r, const char *key, const char *value)
{
	return writer_set_meta(r->writer, key, value);
}

int recorder_begin(struct recorder *r, const struct session *session, const char *mode,
	const char *mode_why, const char *label)
{
	struct naming *image = calloc(1, sizeof(*image));
	struct job *job;
	int error = -ENOMEM;

	names_release(r->latest);
	r->latest = image;
	if (!image)
		return err(-ENOMEM, "out of memory");
	image->users = 1;
	r->modules_sent = r->stacks_sent = 0;
	image->symbols = symbolizer_new();
	job = image->symbols ? job_new(r, JOB_TARGET, recorder_write_job) : NULL;
	if (job)
		error = process_copy(session_process(session), &job->process);
	if (!error)
		error = symbolizer_set_process(image->symbols, job->process.pid);
	if (error) {
		job_free(job);
		return err(error, "cannot prepare the recording: %s", strerror(-error));
	}
	job->realtime_ns = clock_realtime_ns();
	job->mode = mode;
	job->mode_why = mode_why;
	job->link = session_link_name(session);
	job->label = label;
	worker_add(r->writing, &job->work);
	return 0;
}

static int add_file(struct job *job, uint32_t id, const struct module *m)
{
	struct new_file *new = &job->files[job->file_count];

	*new = (struct new_file){ .id = id, .path = strdup(m->path), .fd = -1 };
	if (!new->path)
		return -ENOMEM;
	job->file_count++;
	if (m->fd < 0)
		return 0;
	new->fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 0);
	return new->fd < 0 ? -errno : 0;
}

/* The profile's modules are those of the image, as far as they go. */
static int submit_names(
	struct recorder *r, const struct session *session, const struct profile *news)
{
	const struct image *image = session_image(session);
	struct job *job;
	int error = 0;

	if (!news->frame_count && !news->module_count)
		return 0;
	job = job_new(r, JOB_NAMES, recorder_name_job);
	if (job)
		job->files = calloc(news->module_count + 1UL, sizeof(*job->files));
	if (!job || !job->files) {
		job_free(job);
		return -ENOMEM;
	}
	buffer_append(&job->frames, news->frames, news->frame_count * sizeof(*news->frames));
	for (uint32_t i = 0; !error && i < news->module_count; i++)
		error = add_file(job, r->modules_sent + i, &image->modules[r->modules_sent + i]);
	if (error || buffer_failed(&job->frames)) {
		job_free(job);
		return error ? error : -ENOMEM;
	}
	worker_add(r->naming, &job->work);
	return 0;
}

int recorder_submit(struct recorder *r, const struct session *session, struct snapshot *snapshot,
	const struct moment *moment, uint64_t token)
{
	const struct profile *profile = session_profile(session);
	struct job *job = job_new(r, JOB_SNAPSHOT, recorder_write_job);
	int error = job ? 0 : -ENOMEM;

	if (job) {
		job->snapshot = *snapshot;
		*snapshot = (struct snapshot){ 0 };
		job->moment = *moment;
		job->moment.label = job->moment_label =
			moment->label ? strdup(moment->label) : NULL;
		job->token = token;
		if (moment->label && !job->moment_label)
			error = -ENOMEM;
	}
	if (!error)
		error = profile_tail(profile, r->modules_sent, r->stacks_sent, &job->news);
	if (!error) {
		job->first_module = r->modules_sent;
		error = submit_names(r, session, &job->news);
	}
	if (error) {
		job_free(job);
		snapshot_release(snapshot);
		return err(error, "cannot prepare a snapshot: %s", strerror(-error));
	}
	r->modules_sent = profile->module_count;
	r->stacks_sent = profile->stack_count;
	r->snapshots_pending++;
	worker_add(r->writing, &job->work);
	return 0;
}

int recorder_end(struct recorder *r, const char *why)
{
	struct job *late = job_new(r, JOB_FLUSH, recorder_name_job),
		   *end = job_new(r, JOB_END, recorder_write_job);

	if (!late || !end) {
		job_free(late);
		job_free(end);
		return -ENOMEM;
	}
	end->why = why;
	end->realtime_ns = clock_realtime_ns();
	worker_add(r->naming, &late->work);
	worker_add(r->writing, &end->work);
	return 0;
}

uint32_t recorder_pending(const struct recorder *r)
{
	return r->snapshots_pending;
}

uint32_t recorder_failures(const struct recorder *r)
{
	return r->failures;
}

int recorder_fd(const struct recorder *r)
{
	return worker_fd(r->writing);
}

bool recorder_take(struct recorder *r, struct recorded *done)
{
	struct work *work;

	pass_names_on(r);
	while ((work = worker_take(r->writing))) {
		struct job *job = (struct job *)(void *)work;
		enum job_kind kind = job->kind;

		*done = (struct recorded){ job->token, job->number, job->error };
		job_free(job);
		r->last_failed = done->error != 0;
		if (kind != JOB_SNAPSHOT)
			continue;
		r->failures += done->error != 0;
		r->snapshots_pending--;
		return true;
	}
	return false;
}

static void cancel(struct recorder *r)
{
	pthread_mutex_lock(&r->lock);
	r->cancelled = true;
	if (r->searching)
		symbolizer_cancel(r->searching);
	pthread_mutex_unlock(&r->lock);
}

#define PROGRESS_MS 250

static int wait_for(struct recorder *r, struct worker *w, int *signal_fd)
{
	struct recorded done;

	while (worker_pending(w)) {
		struct pollfd fds[] = {
			{ .fd = worker_fd(r->writing), .events = POLLIN },
			{ .fd = worker_fd(r->naming), .events = POLLIN },
			{ .fd = *signal_fd, .events = POLLIN },
		};

		while (recorder_take(r, &done))
			;
		if (!worker_pending(w))
			return 0;
		progress_tick();
		if (poll(fds, ARRAY_SIZE(fds), PROGRESS_MS) < 0 && errno != EINTR)
			return err(-errno, "cannot wait for the recording: %s", strerror(errno));
		if (fds[2].revents) {
			cancel(r);
			*signal_fd = -1;
		}
	}
	return 0;
}

int recorder_finish(struct recorder *r, int signal_fd)
{
	struct job *flush = r->latest ? job_new(r, JOB_FLUSH, recorder_write_job) : NULL;
	int error;

	progress_begin("looking up names (interrupt to go without)");
	error = wait_for(r, r->naming, &signal_fd);
	progress_end();
	pass_names_on(r);
	if (flush)
		worker_add(r->writing, &flush->work);
	if (!error)
		error = wait_for(r, r->writing, &signal_fd);
	return error ? error : r->failures || r->last_failed ? -EIO : 0;
}

static void drop_all(struct worker *w)
{
	struct work *work;

	if (!w)
		return;
	worker_stop(w);
	while ((work = worker_take(w)) || (work = worker_take_undone(w)))
		job_free((struct job *)(void *)work);
	worker_free(w);
}

void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	cancel(r);
	drop_all(r->naming);
	drop_all(r->writing);
	names_release(r->latest);
	if (r->writer)
		writer_close(r->writer);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
