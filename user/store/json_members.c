// SPDX-License-Identifier: GPL-2.0-or-later
#include "json_members.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"
#include "sql.h"

static void close_database(sqlite3 **db)
{
	sqlite3_close(*db);
}

static int member(sqlite3_stmt *q, const char *key, char value[JSON_MEMBER_BYTES])
{
	char path[64];
	const char *text;

	snprintf(path, sizeof(path), "$.%s", key);
	sqlite3_reset(q);
	sqlite3_bind_text(q, 2, path, -1, SQLITE_TRANSIENT);
	/* Not JSON at all is an error of the function. */
	if (sqlite3_step(q) != SQLITE_ROW || sqlite3_column_type(q, 0) == SQLITE_NULL)
		return -EBADMSG;
	text = (const char *)sqlite3_column_text(q, 1);
	if (text && strlen(text) >= JSON_MEMBER_BYTES)
		return -EOVERFLOW;
	snprintf(value, JSON_MEMBER_BYTES, "%s", text ? text : "");
	return 0;
}

int json_members(const void *json, size_t length, const char *const *keys, size_t count,
	char (*values)[JSON_MEMBER_BYTES])
{
	sqlite3 *db CLEANUP(close_database) = NULL;
	sqlite3_stmt *q CLEANUP_STATEMENT = NULL;
	int error = 0;

	if (sqlite3_open(":memory:", &db) ||
		sqlite3_prepare_v2(db,
			"SELECT nullif(json_type(?1)='object', 0), json_extract(?1, ?2)", -1, &q,
			NULL))
		return -ENOMEM;
	sqlite3_bind_text(q, 1, json, (int)length, SQLITE_STATIC);
	for (size_t i = 0; !error && i < count; i++)
		error = member(q, keys[i], values[i]);
	return error;
}
