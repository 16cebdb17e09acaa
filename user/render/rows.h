/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A list of like things, for people and for programs from the same cells: a text table, or a JSON array of objects.
 */
#ifndef HEAPTAP_ROWS_H
#define HEAPTAP_ROWS_H

#include <stdint.h>

#include "json.h"

enum column_kind {
	COLUMN_TEXT,	/* left-aligned */
	COLUMN_LIST,	/* text joined by "+"; an array in JSON */
	COLUMN_NUMBER,	/* right-aligned, like all below; negative: not known */
	COLUMN_BYTES,	/* */
	COLUMN_SECONDS, /* */
	COLUMN_BOOL,	/* JSON only */
	COLUMN_BELOW,	/* text on a line of its own below the row, where there is any */
};

struct column {
	const char *title; /* NULL: not in the text table */
	const char *key;   /* NULL: not in JSON */
	enum column_kind kind;
};

struct cell {
	const char *text; /* not owned; NULL: not known */
	double number;	  /* of the other kinds */
};

struct rows {
	const struct column *columns;
	uint32_t column_count;
	struct buffer cells; /* struct cell, row after row */
};

/* The next row's cells, zeroed, to be filled in the columns' order; NULL: no memory. */
struct cell *rows_add(struct rows *r);
/* What is not known is "-". A heading, then a line a row. */
void rows_render_text(const struct rows *r, bool color, struct buffer *out);
/* What is not known is null. */
void rows_render_json(const struct rows *r, const char *key, struct json *j);
void rows_release(struct rows *r);

#endif
