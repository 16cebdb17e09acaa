/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files that read a recording share. */
#ifndef HEAPTAP_READER_INTERNAL_H
#define HEAPTAP_READER_INTERNAL_H

#include "../base/table.h"
#include "reader.h"
#include "sql.h"

struct recording {
	struct sql sql;
	int64_t data_version;
	struct buffer targets;	 /* struct recorded_target */
	struct buffer snapshots; /* struct recorded_snapshot */
	struct buffer sites;	 /* struct reader_site */
	struct code code;
	struct buffer stack_loaded;    /* bool by stack: its frames are there */
	int64_t last_site, last_stack; /* ids read so far */
	/* From ids in the file to indices. */
	struct table mappings; /* target << 32 | module */
	struct table target_index, site_index, stack_index, frame_index, module_index;
};

struct reader_site {
	uint32_t target, stack; /* indices */
	uint32_t thread;
	uint8_t domain;
};

/* -EBADMSG after a message. */
int reader_damaged(const struct recording *r, const char *what);
/* Interned in the code's texts; NULL: NULL in the file. */
const char *reader_text(struct recording *r, sqlite3_stmt *q, int column);
/* Calls row() for each row of a query, whose only parameter, if any, is `from`. */
int reader_each(struct recording *r, const char *text, int64_t from,
	int (*row)(struct recording *r, sqlite3_stmt *q));

#endif
