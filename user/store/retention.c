// SPDX-License-Identifier: GPL-2.0-or-later
#include "retention.h"

#include "../base/err.h"

#define ROWS_OF_1   "id BETWEEN ?1<<24 AND (?1<<24)+16777215"
#define SUM(column) #column "=" #column "+excluded." #column

/* To be dropped: oldest last, so that each is added to one that stays. */
static const char select_droppable[] =
	"SELECT id FROM snapshot s WHERE target=?1 AND elapsed_ns>=?2 AND elapsed_ns<?3 AND "
	"keyframe<>id"
	" AND (kind='interval' OR kind='peak' AND EXISTS"
	"   (SELECT 1 FROM snapshot n WHERE n.target=?1 AND n.id>s.id AND n.kind='peak'))"
	" AND id<(SELECT max(id) FROM snapshot WHERE target=?1 AND elapsed_ns>=?2 AND "
	"elapsed_ns<?3)"
	" ORDER BY id DESC";
static const char select_next[] =
	"SELECT id, keyframe=id FROM snapshot WHERE target=?1 AND id>?2 ORDER BY id LIMIT 1";
static const char merge_change[] =
	"INSERT INTO change SELECT ?2<<24|site, alloc_count, alloc_bytes, live_count, live_bytes, "
	"aged_count,"
	" aged_bytes, temporary_count, temporary_bytes, oldest_ms FROM change WHERE " ROWS_OF_1
	" ON CONFLICT DO UPDATE SET " SUM(alloc_count) "," SUM(alloc_bytes) "," SUM(live_count) "," SUM(live_bytes) "," SUM(
		aged_count) "," SUM(aged_bytes) "," SUM(temporary_count) "," SUM(temporary_bytes) "," SUM(oldest_ms);
static const char merge_detail[] =
	"INSERT INTO change_detail SELECT ?2<<24|site, failed_count, missing_count, missing_bytes,"
	" alloc_count_variance, alloc_bytes_variance, free_count_variance, free_bytes_variance,"
	" live_count_variance, live_bytes_variance, aged_count_variance, aged_bytes_variance"
	" FROM change_detail WHERE " ROWS_OF_1
	" ON CONFLICT DO UPDATE SET " SUM(failed_count) "," SUM(missing_count) "," SUM(missing_bytes) "," SUM(alloc_count_variance) "," SUM(alloc_bytes_variance) "," SUM(
		free_count_variance) "," SUM(free_bytes_variance) "," SUM(live_count_variance) "," SUM(live_bytes_variance) "," SUM(aged_count_variance) "," SUM(aged_bytes_variance);
static const char *const deletions[] = { "DELETE FROM change WHERE " ROWS_OF_1,
	"DELETE FROM change_detail WHERE " ROWS_OF_1, "DELETE FROM loss WHERE snapshot=?1",
	"DELETE FROM snapshot WHERE id=?1" };

static int run(struct sql *sql, const char *text, int64_t a, int64_t b)
{
	sqlite3_stmt *q CLEANUP_STATEMENT = NULL;
	int code = sqlite3_prepare_v2(sql->db, text, -1, &q, NULL);

	if (code)
		return code;
	if (sqlite3_bind_parameter_count(q) > 0)
		sqlite3_bind_int64(q, 1, a);
	if (sqlite3_bind_parameter_count(q) > 1)
		sqlite3_bind_int64(q, 2, b);
	return sql_step_once(q);
}

static int drop(struct sql *sql, uint32_t target, int64_t id)
{
	sqlite3_stmt *next CLEANUP_STATEMENT = NULL;
	int code = sqlite3_prepare_v2(sql->db, select_next, -1, &next, NULL);

	if (code)
		return code;
	sqlite3_bind_int64(next, 1, target);
	sqlite3_bind_int64(next, 2, id);
	code = sqlite3_step(next);
	if (code != SQLITE_ROW)
		return code == SQLITE_DONE ? SQLITE_OK : code;
	code = SQLITE_OK;
	if (!sqlite3_column_int(next, 1)) {
		code = run(sql, merge_change, id, sqlite3_column_int64(next, 0));
		if (!code)
			code = run(sql, merge_detail, id, sqlite3_column_int64(next, 0));
	}
	for (size_t i = 0; !code && i < ARRAY_SIZE(deletions); i++)
		code = run(sql, deletions[i], id, 0);
	return code;
}

/* What a query of a target and two numbers names, the newest first. */
static int drop_all(struct sql *sql, const char *query, uint32_t target, int64_t from, int64_t to)
{
	sqlite3_stmt *droppable CLEANUP_STATEMENT = NULL;
	int code = sqlite3_prepare_v2(sql->db, query, -1, &droppable, NULL);

	if (code)
		return code;
	sqlite3_bind_int64(droppable, 1, target);
	sqlite3_bind_int64(droppable, 2, from);
	sqlite3_bind_int64(droppable, 3, to);
	while ((code = sqlite3_step(droppable)) == SQLITE_ROW) {
		code = drop(sql, target, sqlite3_column_int64(droppable, 0));
		if (code)
			return code;
	}
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* COMMIT, or after a failure ROLLBACK and a message. */
static int finish(struct sql *sql, int code)
{
	int error;

	if (!code)
		code = run(sql, "COMMIT", 0, 0);
	if (!code)
		return 0;
	error = sql_failed(sql, "thin");
	if (!sqlite3_get_autocommit(sql->db))
		sqlite3_exec(sql->db, "ROLLBACK", NULL, NULL, NULL);
	return error;
}

int retention_supersede_peaks(
	const struct retention *r, struct sql *sql, uint32_t target, uint32_t newest)
{
	static const char earlier[] = "SELECT id FROM snapshot WHERE target=?1 AND id>=?2 AND id<?3"
				      " AND kind='peak' AND keyframe<>id ORDER BY id DESC";
	int code;

	if (r->full_ns == UINT64_MAX)
		return 0;
	code = run(sql, "BEGIN IMMEDIATE", 0, 0);
	if (!code)
		code = drop_all(sql, earlier, target, r->last_peak, newest);
	return finish(sql, code);
}

int retention_apply(struct retention *r, struct sql *sql, uint32_t target, uint64_t now_ns)
{
	uint64_t from = r->next_ns;
	int code, error;

	if (r->full_ns == UINT64_MAX || now_ns < r->full_ns ||
		now_ns - r->full_ns < from + r->thin_ns)
		return 0;
	code = run(sql, "BEGIN IMMEDIATE", 0, 0);
	while (!code && from + r->thin_ns <= now_ns - r->full_ns) {
		code = drop_all(
			sql, select_droppable, target, (int64_t)from, (int64_t)(from + r->thin_ns));
		from += r->thin_ns;
	}
	error = finish(sql, code);
	if (!error)
		r->next_ns = from;
	return error;
}
