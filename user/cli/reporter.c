// SPDX-License-Identifier: GPL-2.0-or-later
#include "reporter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "../base/err.h"

/* A file that the process has mapped, on its way to the thread. */
struct new_module {
	uint32_t id;
	char *path;
	int fd; /* -1: could not be opened */
};

/* What the reports of one session refer to: the thread's, but for the count of its users. */
struct subject {
	struct profile profile;
	struct symbolizer *symbols;
	uint32_t users; /* jobs, and the reporter while it is the latest; under the lock */
};

/* A target's part of a job. */
struct item {
	struct process process; /* who it is; not opened */
	uint32_t slot;
	uint32_t *allocators; /* modules */
	uint32_t allocator_count;
	struct snapshot snapshot;
	struct report_figures figures;
};

struct job {
	struct job *next;
	struct subject *subject;
	/* What is new since the job before. */
	struct profile news;
	struct new_module *modules;
	uint32_t module_count;
	struct item *items;
	uint32_t item_count;
	bool together; /* also a report of all of them */
	struct report_figures figures;
	struct buffer text; /* the reports */
	int error;
};

struct queue {
	struct job *first, **end;
};

struct reporter {
	struct report_form form;
	pthread_t thread;
	int ready; /* eventfd: counts reports in `done` */
	/* The loop's. */
	uint32_t pending;
	struct subject *latest;
	uint32_t modules_sent, stacks_sent; /* of the latest subject's profile */
	/* Shared, under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct queue todo, done;
	struct job *at; /* that the thread is at */
	bool cancelled; /* no more names are looked for */
	bool stop;
};

static void queue_add(struct queue *q, struct job *job)
{
	job->next = NULL;
	*q->end = job;
	q->end = &job->next;
}

static struct job *queue_take(struct queue *q)
{
	struct job *job = q->first;

	if (!job)
		return NULL;
	q->first = job->next;
	if (!q->first)
		q->end = &q->first;
	return job;
}

static void subject_release(struct reporter *r, struct subject *subject)
{
	uint32_t left;

	if (!subject)
		return;
	pthread_mutex_lock(&r->lock);
	left = --subject->users;
	pthread_mutex_unlock(&r->lock);
	if (left)
		return;
	symbolizer_free(subject->symbols);
	profile_release(&subject->profile);
	free(subject);
}

static void job_free(struct reporter *r, struct job *job)
{
	if (!job)
		return;
	subject_release(r, job->subject);
	profile_release(&job->news);
	for (uint32_t i = 0; i < job->module_count; i++) {
		free(job->modules[i].path);
		if (job->modules[i].fd >= 0)
			close(job->modules[i].fd);
	}
	free(job->modules);
	for (uint32_t i = 0; i < job->item_count; i++) {
		process_close(&job->items[i].process);
		free(job->items[i].allocators);
		snapshot_release(&job->items[i].snapshot);
	}
	free(job->items);
	buffer_release(&job->text);
	free(job);
}

/* --- the thread ------------------------------------------------------------------------------- */

static int set_modules(struct job *job)
{
	struct symbolizer *symbols = job->subject->symbols;

	for (uint32_t i = 0; i < job->module_count; i++) {
		const struct new_module *m = &job->modules[i];
		int error = symbolizer_set_module(symbols, m->id, m->path, m->fd);

		if (error)
			return error;
	}
	for (uint32_t i = 0; i < job->item_count; i++) {
		int error = symbolizer_set_owner(
			symbols, job->items[i].slot, job->items[i].process.pid);

		if (error)
			return error;
	}
	return 0;
}

static int add_names(struct subject *subject, const struct snapshot *snapshot,
	const struct leaks_selection *selection)
{
	const struct profile *p = &subject->profile;
	struct buffer frames CLEANUP_BUFFER = { 0 };
	int error;

	for (uint32_t i = 0; i < selection->count; i++) {
		const struct profile_stack *s =
			&p->stacks[snapshot->sites[selection->sites[i]].stack];

		buffer_append(
			&frames, p->frames + s->first_frame, s->frame_count * sizeof(*p->frames));
	}
	if (buffer_failed(&frames))
		return -ENOMEM;
	error = symbolizer_add(subject->symbols, (const uint64_t *)(void *)frames.data,
		frames.length / sizeof(uint64_t));
	return error == -ECANCELED ? 0 : error;
}

static int render(const struct report_form *form, struct job *job, struct leaks_report *report,
	const struct snapshot *snapshot)
{
	struct leaks_selection selection CLEANUP(leaks_release) = { 0 };
	int error = leaks_select(snapshot, snapshot->growth.counted ? LEAKS_GROWTH : form->filter,
		form->top, &selection);

	if (!error)
		error = add_names(job->subject, snapshot, &selection);
	if (error)
		return error;
	report->profile = &job->subject->profile;
	report->snapshot = snapshot;
	report->symbols = job->subject->symbols;
	report->selection = &selection;
	if (form->json)
		leaks_render_json(report, &job->text);
	else
		leaks_render_text(report, &form->style, &job->text);
	report->selection = NULL; /* it ends here */
	return buffer_failed(&job->text) ? -ENOMEM : 0;
}

static struct report_target target_of(const struct item *item)
{
	return (struct report_target){ &item->process, item->allocators, item->allocator_count };
}

static int render_together(const struct report_form *form, struct job *job)
{
	struct report_target *targets CLEANUP_FREE =
		calloc(job->item_count + 1UL, sizeof(*targets));
	struct snapshot sum CLEANUP(snapshot_release) = { 0 };
	int error = targets ? 0 : -ENOMEM;

	for (uint32_t i = 0; !error && i < job->item_count; i++) {
		targets[i] = target_of(&job->items[i]);
		error = snapshot_add(&sum, &job->items[i].snapshot);
	}
	struct leaks_report report = { .targets = targets,
		.target_count = job->item_count,
		.together = true,
		.figures = &job->figures };
	return error ? error : render(form, job, &report, &sum);
}

static int make_reports_of(const struct report_form *form, struct job *job)
{
	int error = profile_append(&job->subject->profile, &job->news);

	if (!error)
		error = set_modules(job);
	for (uint32_t i = 0; !error && i < job->item_count; i++) {
		struct report_target target = target_of(&job->items[i]);
		struct leaks_report report = {
			.targets = &target, .target_count = 1, .figures = &job->items[i].figures
		};

		error = render(form, job, &report, &job->items[i].snapshot);
	}
	return error || !job->together || !job->item_count ? error : render_together(form, job);
}

static void *make_reports(void *context)
{
	struct reporter *r = context;
	struct job *job;

	pthread_mutex_lock(&r->lock);
	for (;;) {
		while (!r->todo.first && !r->stop)
			pthread_cond_wait(&r->wake, &r->lock);
		job = r->stop ? NULL : queue_take(&r->todo);
		if (!job)
			break;
		r->at = job;
		if (r->cancelled)
			symbolizer_cancel(job->subject->symbols);
		pthread_mutex_unlock(&r->lock);
		job->error = make_reports_of(&r->form, job);
		pthread_mutex_lock(&r->lock);
		r->at = NULL;
		queue_add(&r->done, job);
		eventfd_write(r->ready, 1);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* --- the loop's side ---------------------------------------------------------------------------- */

struct reporter *reporter_new(const struct report_form *form)
{
	struct reporter *r = calloc(1, sizeof(*r));
	int error = ENOMEM;

	if (r) {
		r->form = *form;
		r->todo.end = &r->todo.first;
		r->done.end = &r->done.first;
		pthread_mutex_init(&r->lock, NULL);
		pthread_cond_init(&r->wake, NULL);
		r->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		error = r->ready < 0 ? errno : pthread_create(&r->thread, NULL, make_reports, r);
	}
	if (!error)
		return r;
	err(-error, "cannot start the thread that makes reports: %s", strerror(error));
	if (r && r->ready >= 0)
		close(r->ready);
	free(r);
	return NULL;
}

int reporter_begin(struct reporter *r, const struct session *session)
{
	struct subject *subject = calloc(1, sizeof(*subject));
	int error = -ENOMEM;

	if (subject) {
		subject->users = 1;
		subject->symbols = symbolizer_new();
		if (subject->symbols)
			error = symbolizer_set_process(
				subject->symbols, session_process(session)->pid);
	}
	if (error) {
		subject_release(r, subject);
		return err(error, "cannot prepare reports: %s", strerror(-error));
	}
	subject_release(r, r->latest);
	r->latest = subject;
	r->modules_sent = r->stacks_sent = 0;
	return 0;
}

static int add_module(struct job *job, uint32_t id, const struct module *m)
{
	struct new_module *new = &job->modules[job->module_count];

	*new = (struct new_module){ .id = id, .path = strdup(m->path), .fd = -1 };
	if (!new->path)
		return -ENOMEM;
	job->module_count++;
	if (m->fd < 0)
		return 0;
	new->fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 0);
	return new->fd < 0 ? -errno : 0;
}

/* What the thread lacks: the profile's modules are those of the image, as far as they go. */
static int fill_job(struct reporter *r, const struct session *session, struct job *job)
{
	const struct profile *profile = session_profile(session);
	const struct image *image = session_image(session);
	int error = profile_tail(profile, r->modules_sent, r->stacks_sent, &job->news);

	job->modules = calloc(job->news.module_count + 1UL, sizeof(*job->modules));
	if (!job->modules)
		return -ENOMEM;
	for (uint32_t id = r->modules_sent; !error && id < profile->module_count; id++)
		error = add_module(job, id, &image->modules[id]);
	if (error)
		return error;
	r->modules_sent = profile->module_count;
	r->stacks_sent = profile->stack_count;
	return 0;
}

static int fill_item(struct item *item, const struct session *session, struct reading *reading)
{
	const struct profile *profile = session_profile(session);
	int error = process_copy(target_process(reading->target), &item->process);

	if (error)
		return error;
	item->slot = target_slot(reading->target);
	item->snapshot = reading->snapshot;
	reading->snapshot = (struct snapshot){ 0 };
	item->allocators = calloc(profile->module_count + 1UL, sizeof(*item->allocators));
	if (!item->allocators)
		return -ENOMEM;
	for (uint32_t id = 0; id < profile->module_count; id++)
		if (profile->modules[id].allocator && target_maps(reading->target, id))
			item->allocators[item->allocator_count++] = id;
	return 0;
}

static int fill_items(struct job *job, const struct session *session, struct readings *readings,
	const struct report_figures *figures)
{
	job->items = calloc(readings->count + 1UL, sizeof(*job->items));
	if (!job->items)
		return -ENOMEM;
	for (uint32_t i = 0; i < readings->count; i++) {
		struct item *item = &job->items[job->item_count++];
		int error = fill_item(item, session, &readings->all[i]);

		if (error)
			return error;
		item->figures = figures[i];
	}
	return 0;
}

int reporter_submit(struct reporter *r, const struct session *session, struct readings *readings,
	const struct report_figures *figures, const struct report_figures *together)
{
	struct job *job = calloc(1, sizeof(*job));
	int error = job ? 0 : -ENOMEM;

	if (job) {
		error = fill_items(job, session, readings, figures);
		if (!error)
			error = fill_job(r, session, job);
	}
	readings_release(readings);
	if (error) {
		job_free(r, job);
		return err(error, "cannot prepare a report: %s", strerror(-error));
	}
	if (together) {
		job->together = true;
		job->figures = *together;
	}
	job->subject = r->latest;
	pthread_mutex_lock(&r->lock);
	r->latest->users++;
	queue_add(&r->todo, job);
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	r->pending++;
	return 0;
}

uint32_t reporter_pending(const struct reporter *r)
{
	return r->pending;
}

int reporter_fd(const struct reporter *r)
{
	return r->ready;
}

int reporter_take(struct reporter *r, struct output *output)
{
	eventfd_t count;
	int error = 0;

	eventfd_read(r->ready, &count);
	for (;;) {
		struct job *job;

		pthread_mutex_lock(&r->lock);
		job = queue_take(&r->done);
		pthread_mutex_unlock(&r->lock);
		if (!job)
			return error;
		r->pending--;
		if (job->error && !error)
			error = err(job->error, "cannot make a report: %s", strerror(-job->error));
		if (!error)
			error = output_add(output, &job->text);
		job_free(r, job);
	}
}

static void cancel(struct reporter *r)
{
	pthread_mutex_lock(&r->lock);
	r->cancelled = true;
	if (r->at)
		symbolizer_cancel(r->at->subject->symbols);
	pthread_mutex_unlock(&r->lock);
}

int reporter_finish(struct reporter *r, struct output *output, int signal_fd)
{
	int error = reporter_take(r, output);

	while (!error && r->pending) {
		struct pollfd fds[] = {
			{ .fd = r->ready, .events = POLLIN },
			{ .fd = signal_fd, .events = POLLIN },
			{ .fd = output_pending(output) ? STDOUT_FILENO : -1, .events = POLLOUT },
		};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return err(-errno, "cannot wait for the reports: %s", strerror(errno));
		if (fds[1].revents) {
			cancel(r);
			signal_fd = -1; /* left for who waits for the output */
		}
		error = reporter_take(r, output);
		if (!error)
			error = output_flush(output);
	}
	return error;
}

void reporter_free(struct reporter *r)
{
	struct job *job;

	if (!r)
		return;
	cancel(r);
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	while ((job = queue_take(&r->todo)) || (job = queue_take(&r->done)))
		job_free(r, job);
	subject_release(r, r->latest);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	close(r->ready);
	free(r);
}
