// SPDX-License-Identifier: GPL-2.0-or-later
#include "sql.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/err.h"

static int errno_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

int sql_failed(const struct sql *s, const char *verb)
{
	int code = sqlite3_errcode(s->db), system = sqlite3_system_errno(s->db);
	int error = errno_of(code);

	/* SQLite says "disk I/O error" where a write found the disk full. */
	if ((code & 0xff) == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT))
		error = -ENOSPC;
	if (error == -ENOSPC)
		return err(error, "cannot %s %s: no space left on its file system", verb, s->path);
	if ((code & 0xff) == SQLITE_NOTADB)
		return err(error, "%s is not a recording", s->path);
	if (error == -EBADMSG)
		return err(error, "%s is damaged: %s", s->path, sqlite3_errmsg(s->db));
	return err(error ? error : -EIO, "cannot %s %s: %s%s%s", verb, s->path,
		sqlite3_errmsg(s->db), system ? ": " : "", system ? strerror(system) : "");
}

int sql_run(const struct sql *s, const char *text, const char *verb)
{
	return sqlite3_exec(s->db, text, NULL, NULL, NULL) ? sql_failed(s, verb) : 0;
}

int sql_prepare(const struct sql *s, const char *text, sqlite3_stmt **statement)
{
	return sqlite3_prepare_v2(s->db, text, -1, statement, NULL) ? sql_failed(s, "use") : 0;
}

int sql_step_once(sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);

	sqlite3_reset(statement);
	return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

void sql_close(struct sql *s)
{
	sqlite3_close(s->db);
	free(s->path);
	*s = (struct sql){ 0 };
}

void sql_bind_int(sqlite3_stmt *statement, int *at, int64_t value)
{
	sqlite3_bind_int64(statement, ++*at, value);
}

void sql_bind_known(sqlite3_stmt *statement, int *at, int64_t value)
{
	++*at;
	if (value < 0)
		sqlite3_bind_null(statement, *at);
	else
		sqlite3_bind_int64(statement, *at, value);
}

void sql_bind_real(sqlite3_stmt *statement, int *at, double value)
{
	sqlite3_bind_double(statement, ++*at, value);
}

void sql_bind_text(sqlite3_stmt *statement, int *at, const char *text)
{
	++*at;
	if (text)
		sqlite3_bind_text(statement, *at, text, -1, SQLITE_TRANSIENT);
	else
		sqlite3_bind_null(statement, *at);
}
