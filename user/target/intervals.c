// SPDX-License-Identifier: GPL-2.0-or-later
#include "intervals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The first interval that ends behind an address: the only one that can hold it. */
static size_t first_behind(const struct intervals *v, uint64_t address)
{
	size_t low = 0, high = v->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (v->all[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int reserve(struct intervals *v, size_t more)
{
	size_t capacity = v->capacity ? v->capacity : 64;
	struct interval *all;

	if (v->count + more <= v->capacity)
		return 0;
	while (capacity < v->count + more)
		capacity *= 2;
	all = realloc(v->all, capacity * sizeof(*all));
	if (!all)
		return -ENOMEM;
	v->all = all;
	v->capacity = capacity;
	return 0;
}

/* Replaces `old` intervals from `at` on by n others; the room is there. */
static void splice(
	struct intervals *v, size_t at, size_t old, const struct interval *with, size_t n)
{
	memmove(v->all + at + n, v->all + at + old, (v->count - at - old) * sizeof(*v->all));
	if (n)
		memcpy(v->all + at, with, n * sizeof(*with));
	v->count = v->count - old + n;
}

/* Where a range ends; no range wraps around. */
static uint64_t end_of(uint64_t start, uint64_t bytes)
{
	return start + bytes < start ? UINT64_MAX : start + bytes;
}

void intervals_visit(const struct intervals *v, uint64_t start, uint64_t bytes,
	intervals_gone *part, void *context)
{
	uint64_t end = end_of(start, bytes);

	for (size_t i = first_behind(v, start); i < v->count && v->all[i].start < end; i++)
		part(context, v->all[i].site,
			smaller(v->all[i].end, end) - larger(v->all[i].start, start));
}

int intervals_unmap(
	struct intervals *v, uint64_t start, uint64_t bytes, intervals_gone *gone, void *context)
{
	uint64_t end = end_of(start, bytes);
	size_t first = first_behind(v, start), last = first, n = 0;
	struct interval kept[2];

	while (last < v->count && v->all[last].start < end)
		last++;
	if (last == first || start >= end)
		return 0;
	if (reserve(v, 1)) /* one that loses its middle becomes two */
		return -ENOMEM;
	intervals_visit(v, start, bytes, gone, context);
	if (v->all[first].start < start)
		kept[n++] = (struct interval){ v->all[first].start, start, v->all[first].site };
	if (v->all[last - 1].end > end)
		kept[n++] = (struct interval){ end, v->all[last - 1].end, v->all[last - 1].site };
	splice(v, first, last - first, kept, n);
	return 0;
}

int intervals_map(struct intervals *v, uint64_t start, uint64_t bytes, uint32_t site,
	intervals_gone *gone, void *context)
{
	struct interval new = { start, end_of(start, bytes), site };
	size_t at;

	if (!bytes)
		return 0;
	if (reserve(v, 2)) /* one more for the interval that the new one cuts in two */
		return -ENOMEM;
	intervals_unmap(v, start, bytes, gone, context);
	at = first_behind(v, start);
	/* Neighbours of one site are one interval, as the kernel sees them: a heap grows by pages. */
	if (at && v->all[at - 1].end == start && v->all[at - 1].site == site) {
		v->all[at - 1].end = new.end;
		return 0;
	}
	splice(v, at, 0, &new, 1);
	return 0;
}

static void keep_quiet(void *context, uint32_t site, uint64_t bytes)
{
	(void)context;
	(void)site;
	(void)bytes;
}

/* The mapped parts of a range, copied. NULL: no memory. */
static struct interval *parts_of(
	const struct intervals *v, uint64_t start, uint64_t bytes, size_t *count)
{
	uint64_t end = end_of(start, bytes);
	size_t first = first_behind(v, start), last = first;
	struct interval *parts;

	while (last < v->count && v->all[last].start < end)
		last++;
	parts = calloc(last - first + 1, sizeof(*parts));
	for (size_t i = first; parts && i < last; i++)
		parts[i - first] = (struct interval){ larger(v->all[i].start, start),
			smaller(v->all[i].end, end), v->all[i].site };
	*count = last - first;
	return parts;
}

int intervals_move(struct intervals *v, uint64_t from, uint64_t old_bytes, uint64_t to,
	uint64_t bytes, uint32_t site, intervals_gone *gone, void *context)
{
	uint64_t moved = smaller(old_bytes, bytes);
	struct interval *parts CLEANUP_FREE = NULL;
	size_t count = 0;

	parts = parts_of(v, from, moved, &count);
	if (!parts || reserve(v, 2 * count + 8))
		return -ENOMEM;
	/* What is moved does not end: its site goes on at another place. */
	intervals_unmap(v, from, moved, keep_quiet, NULL);
	intervals_unmap(v, from + moved, old_bytes - moved, gone, context);
	intervals_unmap(v, to, bytes, gone, context);
	for (size_t i = 0; i < count; i++)
		intervals_map(v, parts[i].start - from + to, parts[i].end - parts[i].start,
			parts[i].site, keep_quiet, NULL);
	return intervals_map(v, to + moved, bytes - moved, site, keep_quiet, NULL);
}

const struct interval *intervals_find(const struct intervals *v, uint64_t address)
{
	size_t at = first_behind(v, address);

	return at < v->count && v->all[at].start <= address ? &v->all[at] : NULL;
}

void intervals_release(struct intervals *v)
{
	free(v->all);
	*v = (struct intervals){ 0 };
}
