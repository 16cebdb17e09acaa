/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tables change and change_detail hold of a site. Differences are small numbers, which SQLite keeps in few
 * bytes; a keyframe every KEYFRAME_EVERY snapshots of a target bounds how many a reader adds up.
 */
#ifndef HEAPTAP_STORE_ROWS_H
#define HEAPTAP_STORE_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "../model/profile.h"

#define KEYFRAME_EVERY 64

/*
 * The key of both is snapshot << SITE_BITS | site: in a table by rowid what is appended fills pages to the brim,
 * 12 % more than under a key of two columns.
 */
#define SITE_BITS 24
#define SITE_MAX  ((1U << SITE_BITS) - 1)

/* In the order of the columns. */
enum change_column {
	CHANGE_ALLOC_COUNT,
	CHANGE_ALLOC_BYTES,
	CHANGE_LIVE_COUNT,
	CHANGE_LIVE_BYTES,
	CHANGE_AGED_COUNT,
	CHANGE_AGED_BYTES,
	CHANGE_TEMPORARY_COUNT,
	CHANGE_TEMPORARY_BYTES,
	CHANGE_OLDEST_MS, /* 0: no block is live */
	CHANGE_COLUMNS
};
enum detail_column {
	DETAIL_FAILED_COUNT,
	DETAIL_MISSING_COUNT,
	DETAIL_MISSING_BYTES,
	DETAIL_INTEGERS,
};
#define DETAIL_VARIANCES 8

/* Zero: a site of which nothing is known. */
struct site_row {
	int64_t change[CHANGE_COLUMNS];
	int64_t detail[DETAIL_INTEGERS];
	double variance[DETAIL_VARIANCES]; /* in the order of struct variances */
};

/*
 * elapsed_ns: since counting began. before: the site's row of the snapshot before, which tells whether the oldest
 * block can be the same one.
 */
void site_row_from(struct site_row *row, const struct site_figures *f, const struct variances *v,
	uint64_t elapsed_ns, const struct site_row *before);
bool site_row_equal(const struct site_row *a, const struct site_row *b);
/* *row - *base; false: it is zero in this part. */
bool site_row_change(
	const struct site_row *row, const struct site_row *base, int64_t change[CHANGE_COLUMNS]);
bool site_row_detail(const struct site_row *row, const struct site_row *base,
	int64_t detail[DETAIL_INTEGERS], double variance[DETAIL_VARIANCES]);
/* Back to figures, of stack, domain and thread unset. -EBADMSG: they are not possible. */
int site_row_to(const struct site_row *row, uint64_t elapsed_ns, struct site_figures *f,
	struct variances *v);

#endif
