/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builds the rows of an unwind table in the order of their addresses. */
#ifndef HEAPTAP_UNWIND_ROWS_H
#define HEAPTAP_UNWIND_ROWS_H

#include "unwind.h"

struct unwind_rows {
	uint64_t text_start;
	uint64_t text_end;
	uint64_t last; /* address of the last row */
	uint32_t *buckets;
	uint32_t bucket_count;
	uint32_t bucket; /* the one that is being filled */
	uint32_t rule;	 /* id of the rule in effect */
	struct buffer rows;
	struct buffer rules;
	uint64_t *known; /* open addressing: rule ids + 1 by rule */
	uint32_t *known_ids;
	uint32_t known_places;
	uint32_t too_many; /* rows whose rule found no id */
};

/* For addresses from start up to end. 0 or -ENOMEM; the caller calls unwind_rows_release() in any case. */
int unwind_rows_begin(struct unwind_rows *r, uint64_t start, uint64_t end);
/*
 * From this address on the rule is in effect, until the next. Addresses below the last one, and outside
 * of the text, change nothing.
 */
void unwind_rows_add(struct unwind_rows *r, uint64_t address, uint64_t rule);
/* Appends buckets, rows and rules behind the header in *out and fills its counts. 0 or -ENOMEM. */
int unwind_rows_finish(struct unwind_rows *r, struct buffer *out);
void unwind_rows_release(struct unwind_rows *r);

#endif
