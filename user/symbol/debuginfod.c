// SPDX-License-Identifier: GPL-2.0-or-later
#include "debuginfod.h"

#include <dlfcn.h>
#include <elfutils/debuginfod.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/err.h"

#define SILENCE_NS (10 * NS_PER_S)  /* without a byte of the answer */
#define TOTAL_NS   (120 * NS_PER_S) /* for one file */

#define MAX_FAILURES 3 /* in a row: several servers can be named, and one be down */

struct debuginfod {
	const atomic_bool *cancelled;
	void *library;
	debuginfod_client *client;
	__typeof__(debuginfod_begin) *begin;
	__typeof__(debuginfod_end) *end;
	__typeof__(debuginfod_find_debuginfo) *find;
	__typeof__(debuginfod_set_progressfn) *set_progress;
	bool loaded, late;
	unsigned int failures;
	long received;
	uint64_t asked_ns, heard_ns;
};

/* What progress() is about: the client calls it in the thread that asks. */
static _Thread_local struct debuginfod *asking;

struct debuginfod *debuginfod_new(const atomic_bool *cancelled)
{
	struct debuginfod *d = calloc(1, sizeof(*d));

	if (d)
		d->cancelled = cancelled;
	return d;
}

void debuginfod_free(struct debuginfod *d)
{
	if (!d)
		return;
	if (d->client)
		d->end(d->client);
	/* Not dlclose(): what the library brought along does not expect to be unloaded. */
	free(d);
}

/* Called again and again while the client waits; not 0 ends the wait. */
static int progress(debuginfod_client *client, long received, long total)
{
	struct debuginfod *d = asking;
	uint64_t now = clock_monotonic_ns();

	(void)client;
	(void)total;
	if (received != d->received) {
		d->received = received;
		d->heard_ns = now;
	}
	d->late = now - d->heard_ns > SILENCE_NS || now - d->asked_ns > TOTAL_NS;
	return d->late || atomic_load(d->cancelled);
}

#define LOAD(d, field, name) ((*(void **)&(d)->field = dlsym((d)->library, name)) != NULL)

static bool load(struct debuginfod *d)
{
	const char *urls = getenv(DEBUGINFOD_URLS_ENV_VAR);

	if (d->loaded)
		return d->client && d->failures < MAX_FAILURES;
	d->loaded = true;
	if (!urls || !urls[strspn(urls, " ")])
		return false;
	d->library = dlopen(DEBUGINFOD_SONAME, RTLD_NOW | RTLD_LOCAL);
	if (!d->library) {
		warn("%s is set, but not used: %s", DEBUGINFOD_URLS_ENV_VAR, dlerror());
		return false;
	}
	if (LOAD(d, begin, "debuginfod_begin") && LOAD(d, end, "debuginfod_end") &&
		LOAD(d, find, "debuginfod_find_debuginfo") &&
		LOAD(d, set_progress, "debuginfod_set_progressfn"))
		d->client = d->begin();
	if (!d->client)
		return false;
	d->set_progress(d->client, progress);
	return true;
}

int debuginfod_get(struct debuginfod *d, const struct build_id *id)
{
	int fd;

	if (!id->length || !load(d))
		return -ENOTCONN;
	d->asked_ns = d->heard_ns = clock_monotonic_ns();
	d->received = 0;
	d->late = false;
	asking = d;
	fd = d->find(d->client, id->bytes, (int)id->length, NULL);
	if (fd < 0 && atomic_load(d->cancelled))
		return -ECANCELED;
	if (fd >= 0 || fd == -ENOENT) {
		d->failures = 0;
		return fd;
	}
	d->failures = d->late ? MAX_FAILURES : d->failures + 1;
	if (d->failures == MAX_FAILURES)
		warn("no more debug files are asked of %s: %s", DEBUGINFOD_URLS_ENV_VAR,
			strerror(d->late ? ETIMEDOUT : -fd));
	return fd;
}
