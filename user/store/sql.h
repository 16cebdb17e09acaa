/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SQLite as this folder uses it: 0 or -errno with one message that names the file. Inside store/ only. */
#ifndef HEAPTAP_SQL_H
#define HEAPTAP_SQL_H

#include <sqlite3.h>
#include <stdint.h>

#include "../base/cleanup.h"

struct sql {
	sqlite3 *db;
	char *path;
};

/* Says what went wrong: "cannot VERB PATH: ...". -ENOSPC, -EBADMSG (not a sound file) or -EIO. */
int sql_failed(const struct sql *s, const char *verb);
/* For statements without parameters and rows. */
int sql_run(const struct sql *s, const char *text, const char *verb);
/* *statement is to be finalized by the caller. */
int sql_prepare(const struct sql *s, const char *text, sqlite3_stmt **statement);
/* Runs a statement that yields no row, and makes it ready for the next. SQLite's code, no message. */
int sql_step_once(sqlite3_stmt *statement);
void sql_close(struct sql *s);

/* Binding in order: the next parameter is *at + 1. */
void sql_bind_int(sqlite3_stmt *statement, int *at, int64_t value);
void sql_bind_known(sqlite3_stmt *statement, int *at, int64_t value); /* negative: NULL */
void sql_bind_real(sqlite3_stmt *statement, int *at, double value);
void sql_bind_text(sqlite3_stmt *statement, int *at, const char *text); /* NULL: NULL */

static inline void cleanup_statement(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}
#define CLEANUP_STATEMENT CLEANUP(cleanup_statement)

#endif
