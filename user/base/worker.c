// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "err.h"

struct work_queue {
	struct work *first, **end;
};

struct worker {
	pthread_t thread;
	int ready; /* eventfd: counts pieces in `done` */
	bool stopped;
	/* Under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct work_queue todo, done;
	uint32_t pending;
	bool stop;
};

static void add(struct work_queue *q, struct work *work)
{
	work->next = NULL;
	*q->end = work;
	q->end = &work->next;
}

static struct work *take(struct work_queue *q)
{
	struct work *work = q->first;

	if (!work)
		return NULL;
	q->first = work->next;
	if (!q->first)
		q->end = &q->first;
	return work;
}

static void *work_on(void *context)
{
	struct worker *w = context;
	struct work *work;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		while (!w->todo.first && !w->stop)
			pthread_cond_wait(&w->wake, &w->lock);
		work = w->stop ? NULL : take(&w->todo);
		if (!work)
			break;
		pthread_mutex_unlock(&w->lock);
		work->run(work);
		pthread_mutex_lock(&w->lock);
		add(&w->done, work);
		eventfd_write(w->ready, 1);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct worker *worker_new(const char *purpose)
{
	struct worker *w = calloc(1, sizeof(*w));
	int error = ENOMEM;

	if (w) {
		w->todo.end = &w->todo.first;
		w->done.end = &w->done.first;
		pthread_mutex_init(&w->lock, NULL);
		pthread_cond_init(&w->wake, NULL);
		w->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		error = w->ready < 0 ? errno : pthread_create(&w->thread, NULL, work_on, w);
	}
	if (!error)
		return w;
	err(-error, "cannot start the thread that %s: %s", purpose, strerror(error));
	if (w && w->ready >= 0)
		close(w->ready);
	free(w);
	return NULL;
}

void worker_add(struct worker *w, struct work *work)
{
	pthread_mutex_lock(&w->lock);
	add(&w->todo, work);
	w->pending++;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

int worker_fd(const struct worker *w)
{
	return w->ready;
}

struct work *worker_take(struct worker *w)
{
	struct work *work;
	eventfd_t count;

	pthread_mutex_lock(&w->lock);
	work = take(&w->done);
	if (work)
		w->pending--;
	if (!w->done.first)
		eventfd_read(w->ready, &count);
	pthread_mutex_unlock(&w->lock);
	return work;
}

uint32_t worker_pending(struct worker *w)
{
	uint32_t pending;

	pthread_mutex_lock(&w->lock);
	pending = w->pending;
	pthread_mutex_unlock(&w->lock);
	return pending;
}

void worker_stop(struct worker *w)
{
	if (w->stopped)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	w->stopped = true;
}

struct work *worker_take_undone(struct worker *w)
{
	return take(&w->todo);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	worker_stop(w);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	close(w->ready);
	free(w);
}
