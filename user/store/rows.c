// SPDX-License-Identifier: GPL-2.0-or-later
#include "rows.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"

/* Births are known to 1/16 s, and reckoned from ages that are. */
#define BIRTH_SLACK_MS 200

_Static_assert(sizeof(struct variances) == DETAIL_VARIANCES * sizeof(double), "one column each");

static int64_t oldest_ms(const struct site_figures *f, uint64_t elapsed_ns, int64_t before)
{
	int64_t born = (int64_t)(elapsed_ns / NS_PER_MS) - llround(f->oldest_s * 1000);

	if (!f->live_count)
		return 0;
	if (before && llabs(born - before) <= BIRTH_SLACK_MS)
		return before;
	return born > 0 ? born : 1;
}

void site_row_from(struct site_row *row, const struct site_figures *f, const struct variances *v,
	uint64_t elapsed_ns, const struct site_row *before)
{
	int64_t *c = row->change, *d = row->detail;

	c[CHANGE_ALLOC_COUNT] = (int64_t)f->alloc_count;
	c[CHANGE_ALLOC_BYTES] = (int64_t)f->alloc_bytes;
	c[CHANGE_LIVE_COUNT] = (int64_t)f->live_count;
	c[CHANGE_LIVE_BYTES] = (int64_t)f->live_bytes;
	c[CHANGE_AGED_COUNT] = (int64_t)f->aged_count;
	c[CHANGE_AGED_BYTES] = (int64_t)f->aged_bytes;
	c[CHANGE_TEMPORARY_COUNT] = (int64_t)f->temporary_count;
	c[CHANGE_TEMPORARY_BYTES] = (int64_t)f->temporary_bytes;
	c[CHANGE_OLDEST_MS] = oldest_ms(f, elapsed_ns, before->change[CHANGE_OLDEST_MS]);
	d[DETAIL_FAILED_COUNT] = (int64_t)f->failed_count;
	d[DETAIL_MISSING_COUNT] = (int64_t)(f->alloc_count - f->free_count - f->live_count);
	d[DETAIL_MISSING_BYTES] = (int64_t)(f->alloc_bytes - f->free_bytes - f->live_bytes);
	memcpy(row->variance, v, sizeof(row->variance));
}

bool site_row_equal(const struct site_row *a, const struct site_row *b)
{
	uint64_t other = 0;
	bool same = true;

	for (int i = 0; i < CHANGE_COLUMNS; i++)
		other |= (uint64_t)(a->change[i] ^ b->change[i]);
	for (int i = 0; i < DETAIL_INTEGERS; i++)
		other |= (uint64_t)(a->detail[i] ^ b->detail[i]);
	for (int i = 0; i < DETAIL_VARIANCES; i++)
		same &= a->variance[i] <= b->variance[i] && a->variance[i] >= b->variance[i];
	return same && !other;
}

bool site_row_change(
	const struct site_row *row, const struct site_row *base, int64_t change[CHANGE_COLUMNS])
{
	int64_t any = 0;

	for (int i = 0; i < CHANGE_COLUMNS; i++) {
		change[i] = row->change[i] - base->change[i];
		any |= change[i];
	}
	return any != 0;
}

bool site_row_detail(const struct site_row *row, const struct site_row *base,
	int64_t detail[DETAIL_INTEGERS], double variance[DETAIL_VARIANCES])
{
	bool any = false;

	for (int i = 0; i < DETAIL_INTEGERS; i++) {
		detail[i] = row->detail[i] - base->detail[i];
		any |= detail[i] != 0;
	}
	for (int i = 0; i < DETAIL_VARIANCES; i++) {
		variance[i] = row->variance[i] - base->variance[i];
		any |= variance[i] < 0 || variance[i] > 0;
	}
	return any;
}

int site_row_to(const struct site_row *row, uint64_t elapsed_ns, struct site_figures *f,
	struct variances *v)
{
	const int64_t *c = row->change, *d = row->detail;
	int64_t elapsed_ms = (int64_t)(elapsed_ns / NS_PER_MS), freed[2];

	for (int i = 0; i < CHANGE_COLUMNS; i++)
		if (c[i] < 0)
			return -EBADMSG;
	if (d[DETAIL_FAILED_COUNT] < 0 ||
		__builtin_sub_overflow(c[CHANGE_ALLOC_COUNT] - c[CHANGE_LIVE_COUNT],
			d[DETAIL_MISSING_COUNT], &freed[0]) ||
		__builtin_sub_overflow(c[CHANGE_ALLOC_BYTES] - c[CHANGE_LIVE_BYTES],
			d[DETAIL_MISSING_BYTES], &freed[1]) ||
		freed[0] < 0 || freed[1] < 0)
		return -EBADMSG;
	*f = (struct site_figures){
		.alloc_count = (uint64_t)c[CHANGE_ALLOC_COUNT],
		.alloc_bytes = (uint64_t)c[CHANGE_ALLOC_BYTES],
		.free_count = (uint64_t)freed[0],
		.free_bytes = (uint64_t)freed[1],
		.live_count = (uint64_t)c[CHANGE_LIVE_COUNT],
		.live_bytes = (uint64_t)c[CHANGE_LIVE_BYTES],
		.aged_count = (uint64_t)c[CHANGE_AGED_COUNT],
		.aged_bytes = (uint64_t)c[CHANGE_AGED_BYTES],
		.temporary_count = (uint64_t)c[CHANGE_TEMPORARY_COUNT],
		.temporary_bytes = (uint64_t)c[CHANGE_TEMPORARY_BYTES],
		.failed_count = (uint64_t)d[DETAIL_FAILED_COUNT],
	};
	if (c[CHANGE_OLDEST_MS] && c[CHANGE_OLDEST_MS] <= elapsed_ms)
		f->oldest_s = (double)(elapsed_ms - c[CHANGE_OLDEST_MS]) / 1000;
	for (int i = 0; i < DETAIL_VARIANCES; i++)
		((double *)v)[i] =
			row->variance[i] > 0 && isfinite(row->variance[i]) ? row->variance[i] : 0;
	return 0;
}
