/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A list of like things as a table for people, and for programs as JSON objects or CSV, from the same cells: what
 * differs between the forms is said by the columns.
 */
#ifndef HEAPTAP_LISTING_H
#define HEAPTAP_LISTING_H

#include "../model/code.h"
#include "json.h"
#include "stream.h"

enum listing_kind {
	LISTING_TEXT,  /* text */
	LISTING_COUNT, /* number; with a sign in a table where the column says so */
	LISTING_BYTES,
	LISTING_SHARE,	 /* real, 0 to 1 */
	LISTING_SECONDS, /* real */
	LISTING_HEX,	 /* number */
	LISTING_TIME,	 /* number: ns since 1970 */
	LISTING_BOOL,
	LISTING_FRAMES, /* number: a stack; lines below the row, an array "frames" in JSON, one text in CSV */
};

/* Where a column is shown. */
#define IN_TABLE   1U
#define IN_JSON	   2U /* and JSON lines */
#define IN_CSV	   4U
#define IN_DATA	   (IN_JSON | IN_CSV)
#define EVERYWHERE (IN_TABLE | IN_DATA)

struct listing_column {
	const char *title; /* of the table */
	const char *key;   /* of JSON and CSV */
	enum listing_kind kind;
	uint8_t where;
	bool sign; /* "+" before what grew */
};

struct listing_cell {
	bool known;
	const char *text; /* not owned */
	int64_t number;
	double real;
};

#define LISTING_MAX_COLUMNS 48
struct listing {
	struct listing_column columns[LISTING_MAX_COLUMNS];
	uint32_t column_count;
	const struct code *code;  /* of the stacks */
	const struct code *other; /* of those whose number is negative: ~number is a stack of it */
	struct buffer cells;	  /* struct listing_cell, row after row */
};

/* The next row, nothing of it known; NULL: no memory. */
struct listing_cell *listing_add(struct listing *l);
void listing_render_table(const struct listing *l, bool color, bool full_paths, struct stream *out);
/* An array under a key; j writes to the stream's text. */
void listing_render_json(
	const struct listing *l, const char *key, struct json *j, struct stream *out);
/* An object a line. */
void listing_render_lines(const struct listing *l, struct stream *out);
/* RFC 4180, with a heading. */
void listing_render_csv(const struct listing *l, struct stream *out);
void listing_release(struct listing *l);

/* Cells. */
static inline void cell_number(struct listing_cell *c, int64_t number)
{
	*c = (struct listing_cell){ .known = true, .number = number };
}
static inline void cell_real(struct listing_cell *c, double real)
{
	*c = (struct listing_cell){ .known = true, .real = real };
}
static inline void cell_text(struct listing_cell *c, const char *text)
{
	*c = (struct listing_cell){ .known = text != NULL, .text = text };
}

#endif
