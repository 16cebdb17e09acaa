// SPDX-License-Identifier: GPL-2.0-or-later
#include "moment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "../base/progress.h"
#include "../base/units.h"

int moment_split(struct moment_choice *c, const char *word)
{
	const char *at = access(word, F_OK) ? strrchr(word, '@') : NULL;

	*c = (struct moment_choice){ .file = at ? strndup(word, (size_t)(at - word)) : strdup(word),
		.snap = at ? strdup(at + 1) : NULL };
	if (c->file && (!at || c->snap))
		return 0;
	moment_release(c);
	return err(-ENOMEM, "out of memory");
}

void moment_release(struct moment_choice *c)
{
	free(c->file);
	free(c->snap);
	*c = (struct moment_choice){ 0 };
}

/* --- which ------------------------------------------------------------------------------------- */

/* A time on the day of another; false: it is no time. */
static bool parse_time(const char *text, uint64_t day_ns, uint64_t *ns)
{
	time_t day = (time_t)(day_ns / NS_PER_S);
	struct tm parts = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);

	if (!end) {
		gmtime_r(&day, &parts);
		parts.tm_sec = 0;
		end = strptime(text, "%H:%M:%S", &parts);
		if (!end)
			end = strptime(text, "%H:%M", &parts);
	}
	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if (!end || (*end && strcmp(end, "Z") != 0))
		return false;
	*ns = (uint64_t)timegm(&parts) * NS_PER_S + NS_PER_S - 1;
	return true;
}

/* The last snapshot that "now" can mean: everything up to an index. */
static int last_index(const struct recording *r, const char *snap, uint32_t *last)
{
	uint32_t count = recording_snapshot_count(r);
	uint64_t number, until;
	bool found = false;

	*last = count - 1;
	if (!snap || !strcmp(snap, "last") || !strcmp(snap, "first") || !strcmp(snap, "peak"))
		return 0;
	if (!parse_number(snap, 1, UINT32_MAX, &number)) {
		for (uint32_t i = 0; i < count; i++) {
			if (recording_snapshot(r, i)->id == number) {
				*last = i;
				return 0;
			}
		}
		return err(-EINVAL, "%s has no snapshot %s; it has %u to %u%s", recording_path(r),
			snap, recording_snapshot(r, 0)->id, recording_snapshot(r, count - 1)->id,
			recording_snapshot(r, count - 1)->id > count ? ", some of them thinned out"
								     : "");
	}
	/* The newest with the label, in case that there are several. */
	for (uint32_t i = 0; i < count; i++) {
		const char *label = recording_snapshot(r, i)->moment.label;

		if (label && !strcmp(label, snap)) {
			*last = i;
			found = true;
		}
	}
	if (found)
		return 0;
	if (!parse_time(snap, recording_snapshot(r, count - 1)->figures.realtime_ns, &until))
		return err(-EINVAL,
			"%s has no snapshot '%s': it is no number, no label, no time, and not "
			"first, last "
			"or peak",
			recording_path(r), snap);
	for (uint32_t i = 0; i < count; i++) {
		if (recording_snapshot(r, i)->figures.realtime_ns > until)
			break;
		*last = i;
		found = true;
	}
	return found ? 0
		     : err(-EINVAL, "%s has no snapshot at or before %s", recording_path(r), snap);
}

static pid_t pid_of(const struct recording *r, uint32_t snapshot)
{
	return recording_target(r, recording_snapshot(r, snapshot)->target)->process.pid;
}

/* Of the target of a snapshot, among those up to it: "first" or "peak". */
static uint32_t within_target(const struct recording *r, const char *snap, uint32_t last)
{
	bool first = snap && !strcmp(snap, "first"), peak = snap && !strcmp(snap, "peak");
	uint32_t best = last;

	for (uint32_t i = last + 1; i-- > 0 && (first || peak);) {
		const struct recorded_snapshot *s = recording_snapshot(r, i);

		if (s->target == recording_snapshot(r, last)->target &&
			(first || s->figures.totals.live_bytes >
					  recording_snapshot(r, best)->figures.totals.live_bytes))
			best = i;
	}
	return best;
}

int moment_find(const struct recording *r, const char *snap, uint64_t pid, uint32_t **chosen,
	uint32_t *count)
{
	uint32_t *all, n = 0, last;
	int error;

	if (!recording_snapshot_count(r))
		return err(-EINVAL, "%s has no snapshot yet", recording_path(r));
	error = last_index(r, snap, &last);
	if (error)
		return error;
	all = calloc(recording_target_count(r), sizeof(*all));
	if (!all)
		return err(-ENOMEM, "out of memory");
	/* From the newest on: the first that is met of a process is it. */
	for (uint32_t i = last + 1; i-- > 0;) {
		bool known = pid && (uint64_t)pid_of(r, i) != pid;

		for (uint32_t k = 0; k < n; k++)
			known |= pid_of(r, all[k]) == pid_of(r, i);
		if (!known)
			all[n++] = i;
	}
	for (uint32_t k = 0; k < n; k++)
		all[k] = within_target(r, snap, all[k]);
	if (!n) {
		free(all);
		return err(-EINVAL, "%s has no snapshot of pid %llu%s", recording_path(r),
			(unsigned long long)pid, snap ? " by then" : "");
	}
	*chosen = all;
	*count = n;
	return 0;
}

/* --- loading ------------------------------------------------------------------------------------ */

int loaded_heap_read(struct loaded_heap *h, struct recording *r, uint32_t snapshot)
{
	const struct recorded_snapshot *at = recording_snapshot(r, snapshot);
	int error;

	*h = (struct loaded_heap){ .heap = {
					   .recording = r,
					   .target = recording_target(r, at->target),
					   .at = at,
					   .peak = recording_snapshot(
						   r, within_target(r, "peak", snapshot)),
				   } };
	error = recording_read_sites(r, at, &h->figures);
	h->heap.start = recording_snapshot(r, within_target(r, "first", snapshot));
	if (h->heap.start->moment.kind != SNAPSHOT_START)
		h->heap.start = NULL;
	h->heap.figures = &h->figures;
	h->heap.places = &h->places;
	return error;
}

int loaded_heap_name(struct loaded_heap *h)
{
	return places_make(&h->places, recording_code(h->heap.recording))
		       ? err(-ENOMEM, "out of memory")
		       : 0;
}

void loaded_heap_release(struct loaded_heap *h)
{
	snapshot_release(&h->figures);
	places_release(&h->places);
}

int write_to_fd(void *context, const void *bytes, size_t count)
{
	const char *at = bytes;

	/* A line about the progress and what is written must not meet on a terminal. */
	if (isatty(*(int *)context))
		progress_end();
	progress_tick();
	while (count) {
		ssize_t n = write(*(int *)context, at, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err(-errno == -EACCES ? -EIO : -errno, "cannot write the report: %s",
				strerror(errno));
		at += n;
		count -= (size_t)n;
	}
	return 0;
}
