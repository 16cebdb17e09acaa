// SPDX-License-Identifier: GPL-2.0-or-later
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/err.h"
#include "../base/progress.h"
#include "../base/table.h"
#include "reader_internal.h"
#include "schema.h"

/* Texts are names and paths: a megabyte is none. */
#define MAX_TEXT_BYTES (1 << 20)
#define MAX_SQL_BYTES  (1 << 16)

/* --- open -------------------------------------------------------------------------------------- */

int reader_damaged(const struct recording *r, const char *what)
{
	return err(-EBADMSG, "%s is damaged: %s", r->sql.path, what);
}

const char *reader_text(struct recording *r, sqlite3_stmt *q, int column)
{
	const char *text = (const char *)sqlite3_column_text(q, column);

	/* Up to the first NUL, whatever SQLite says of the length. */
	return text ? strings_intern(&r->code.texts, text, strlen(text)) : NULL;
}

static int single_number(struct recording *r, const char *text, int64_t *value)
{
	sqlite3_stmt *q CLEANUP_STATEMENT = NULL;

	if (sqlite3_prepare_v2(r->sql.db, text, -1, &q, NULL) || sqlite3_step(q) != SQLITE_ROW)
		return sql_failed(&r->sql, "read");
	*value = sqlite3_column_int64(q, 0);
	return 0;
}

static int check_table(struct recording *r, const struct schema_table *table)
{
	sqlite3_stmt *q CLEANUP_STATEMENT = NULL;
	const char *text;
	int code;

	if (sqlite3_prepare_v2(r->sql.db,
		    "SELECT sql FROM sqlite_schema WHERE type='table' AND name=?", -1, &q, NULL))
		return sql_failed(&r->sql, "read");
	sqlite3_bind_text(q, 1, table->name, -1, SQLITE_STATIC);
	code = sqlite3_step(q);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return sql_failed(&r->sql, "read");
	text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
	if (!text || strcmp(text, table->sql) != 0)
		return err(-EBADMSG, "%s is damaged: its table %s is not as heaptap makes it",
			r->sql.path, table->name);
	return 0;
}

static int check_schema(struct recording *r)
{
	int64_t id = 0, version = 0;
	int error = single_number(r, "PRAGMA application_id", &id);

	if (!error && id != SCHEMA_APPLICATION_ID)
		return err(-EBADMSG, "%s is not a recording of heaptap", r->sql.path);
	if (!error)
		error = single_number(r, "PRAGMA user_version", &version);
	if (!error && version > SCHEMA_VERSION)
		return err(-EBADMSG,
			"%s has schema %lld, and this heaptap reads up to %d: read it with a newer "
			"one",
			r->sql.path, (long long)version, SCHEMA_VERSION);
	if (!error && version < 1)
		return reader_damaged(r, "it has no schema");
	for (size_t i = 0; !error && i < schema_table_count; i++)
		error = check_table(r, &schema_tables[i]);
	return error;
}

/* SQLite calls it while it works; 0: go on. */
static int tick(void *context)
{
	(void)context;
	progress_tick();
	return 0;
}

#define STEPS_A_TICK 10000

static void defend(sqlite3 *db)
{
	sqlite3_progress_handler(db, STEPS_A_TICK, tick, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, MAX_TEXT_BYTES);
	sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, MAX_SQL_BYTES);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_limit(db, SQLITE_LIMIT_WORKER_THREADS, 0);
	/* A file that shrinks must not kill us: not mapped. */
	sqlite3_exec(db,
		"PRAGMA query_only=1;PRAGMA cell_size_check=1;PRAGMA mmap_size=0;PRAGMA "
		"cache_size=-16384;"
		"PRAGMA temp_store=MEMORY",
		NULL, NULL, NULL);
	sqlite3_busy_timeout(db, 2000);
}

/* Percent-encodes a path for a file: URI. */
static void append_uri(struct buffer *b, const char *path)
{
	buffer_text(b, "file:");
	for (; *path; path++) {
		if (strchr("%?#", *path))
			buffer_format(b, "%%%02x", (unsigned char)*path);
		else
			buffer_append(b, path, 1);
	}
}

/*
 * The log of a recording that was not closed needs files beside it. Where none can be made, what is in the file
 * itself can still be read.
 */
static int open_database(struct recording *r, bool immutable)
{
	struct buffer uri CLEANUP_BUFFER = { 0 };

	append_uri(&uri, r->sql.path);
	buffer_text(&uri, immutable ? "?immutable=1" : "?mode=ro");
	sqlite3_close(r->sql.db);
	r->sql.db = NULL;
	return sqlite3_open_v2(
		buffer_string(&uri), &r->sql.db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
}

static int open_file(struct recording *r)
{
	struct stat st;
	int code;

	/* SQLite says "unable to open database file" of all of these. */
	if (stat(r->sql.path, &st))
		return err(errno == EACCES ? -EACCES : -EIO, "cannot read %s: %s", r->sql.path,
			strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err(-EBADMSG, "%s is not a recording: it is no regular file", r->sql.path);
	if (access(r->sql.path, R_OK))
		return err(-EACCES, "cannot read %s: %s", r->sql.path, strerror(errno));
	if (!st.st_size)
		return err(-EBADMSG, "%s is not a recording: it is empty", r->sql.path);
	code = open_database(r, false);
	if (!code) {
		defend(r->sql.db);
		code = sqlite3_exec(r->sql.db, "SELECT 1 FROM sqlite_schema", NULL, NULL, NULL);
	}
	if ((code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_READONLY) {
		warn("%s cannot be read along with its log: what was written last may be missing",
			r->sql.path);
		code = open_database(r, true);
		if (!code)
			defend(r->sql.db);
	}
	return code ? sql_failed(&r->sql, "read") : 0;
}

int recording_open(struct recording **recording, const char *path)
{
	struct recording *r = calloc(1, sizeof(*r));
	int error;

	if (!r)
		return err(-ENOMEM, "out of memory");
	r->sql.path = strdup(path);
	error = r->sql.path ? open_file(r) : err(-ENOMEM, "out of memory");
	if (!error)
		error = check_schema(r);
	if (!error)
		error = recording_refresh(r);
	if (error) {
		recording_close(r);
		return error;
	}
	*recording = r;
	return 0;
}

void recording_close(struct recording *r)
{
	if (!r)
		return;
	sql_close(&r->sql);
	code_release(&r->code);
	table_release(&r->target_index);
	table_release(&r->mappings);
	table_release(&r->site_index);
	table_release(&r->stack_index);
	table_release(&r->frame_index);
	table_release(&r->module_index);
	buffer_release(&r->targets);
	buffer_release(&r->snapshots);
	buffer_release(&r->sites);
	buffer_release(&r->stack_loaded);
	free(r);
}

const char *recording_path(const struct recording *r)
{
	return r->sql.path;
}

const struct code *recording_code(const struct recording *r)
{
	return &r->code;
}

const char *recording_meta(const struct recording *r, const char *key)
{
	sqlite3_stmt *q CLEANUP_STATEMENT = NULL;

	if (sqlite3_prepare_v2(r->sql.db, "SELECT value FROM meta WHERE key=?", -1, &q, NULL))
		return NULL;
	sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
	if (sqlite3_step(q) != SQLITE_ROW)
		return NULL;
	return reader_text((struct recording *)r, q, 0);
}

/* --- targets and snapshots ---------------------------------------------------------------------- */

uint32_t recording_target_count(const struct recording *r)
{
	return (uint32_t)(r->targets.length / sizeof(struct recorded_target));
}

const struct recorded_target *recording_target(const struct recording *r, uint32_t index)
{
	return &((const struct recorded_target *)(const void *)r->targets.data)[index];
}

uint32_t recording_snapshot_count(const struct recording *r)
{
	return (uint32_t)(r->snapshots.length / sizeof(struct recorded_snapshot));
}

const struct recorded_snapshot *recording_snapshot(const struct recording *r, uint32_t index)
{
	return &((const struct recorded_snapshot *)(const void *)r->snapshots.data)[index];
}

static int add_target(struct recording *r, sqlite3_stmt *q)
{
	struct recorded_target t = {
		.id = (uint32_t)sqlite3_column_int64(q, 0),
		.process = { .pid = sqlite3_column_int(q, 1),
			.pidfd = -1,
			.start_realtime_ns = (uint64_t)sqlite3_column_int64(q, 5) },
		.armed_realtime_ns = (uint64_t)sqlite3_column_int64(q, 6),
		.mode = reader_text(r, q, 7),
		.mode_why = reader_text(r, q, 8),
		.link = reader_text(r, q, 9),
		.label = reader_text(r, q, 10),
		.ended = reader_text(r, q, 11),
	};
	const char *comm = reader_text(r, q, 2), *exe = reader_text(r, q, 3),
		   *cgroup = reader_text(r, q, 4);
	bool added;
	uint32_t *index = table_add(&r->target_index, (uint64_t)sqlite3_column_int64(q, 0), &added);

	/* Texts are the recording's: nothing of this is ever closed. */
	t.process.exe = (char *)(uintptr_t)(exe ? exe : "");
	t.process.cgroup = (char *)(uintptr_t)(cgroup ? cgroup : "");
	snprintf(t.process.comm, sizeof(t.process.comm), "%s", comm ? comm : "");
	if (!index)
		return err(-ENOMEM, "out of memory");
	if (added) {
		*index = recording_target_count(r);
		buffer_append(&r->targets, &t, sizeof(t));
	} else {
		((struct recorded_target *)(void *)r->targets.data)[*index] = t;
	}
	return 0;
}

int reader_each(struct recording *r, const char *text, int64_t from,
	int (*row)(struct recording *r, sqlite3_stmt *q))
{
	sqlite3_stmt *q CLEANUP_STATEMENT = NULL;
	int code, error;

	if (sqlite3_prepare_v2(r->sql.db, text, -1, &q, NULL))
		return sql_failed(&r->sql, "read");
	if (sqlite3_bind_parameter_count(q))
		sqlite3_bind_int64(q, 1, from);
	while ((code = sqlite3_step(q)) == SQLITE_ROW) {
		error = row(r, q);
		if (error)
			return error;
	}
	return code == SQLITE_DONE ? 0 : sql_failed(&r->sql, "read");
}

static enum snapshot_kind kind_of(const char *text)
{
	for (int k = 0; text && k < SNAPSHOT_KIND_COUNT; k++)
		if (!strcmp(text, snapshot_kind_name((enum snapshot_kind)k)))
			return (enum snapshot_kind)k;
	return SNAPSHOT_KIND_COUNT;
}

/* Columns in order; NULL is -1 where known() is asked. */
struct columns {
	sqlite3_stmt *q;
	int next;
	bool negative;
};

static uint64_t number(struct columns *c)
{
	int64_t value = sqlite3_column_int64(c->q, c->next++);

	c->negative |= value < 0;
	return (uint64_t)value;
}

static int64_t known(struct columns *c)
{
	bool null = sqlite3_column_type(c->q, c->next) == SQLITE_NULL;
	int64_t value = sqlite3_column_int64(c->q, c->next++);

	c->negative |= value < 0;
	return null ? -1 : value;
}

static void read_totals(struct columns *c, struct snapshot *s)
{
	struct totals *t = &s->totals;

	t->alloc_count = number(c);
	t->alloc_bytes = number(c);
	t->free_count = number(c);
	t->free_bytes = number(c);
	t->live_count = number(c);
	t->live_bytes = number(c);
	t->aged_count = number(c);
	t->aged_bytes = number(c);
	t->lost_count = number(c);
	t->lost_bytes = number(c);
	t->peak_live_bytes = number(c);
	t->failed_count = number(c);
	t->untracked_frees = number(c);
	t->in_flight = number(c);
	t->truncated_count = number(c);
	s->events = number(c);
	s->skew = number(c);
	s->missed_events = number(c);
	s->removed_probes = (uint32_t)number(c);
	s->abandoned_calls = number(c);
}

static void read_usage(struct columns *c, struct usage *u)
{
	u->rss = known(c);
	u->rss_anon = known(c);
	u->rss_file = known(c);
	u->rss_shmem = known(c);
	u->pss = known(c);
	u->swap = known(c);
	u->cgroup_usage = known(c);
	u->cgroup_limit = known(c);
	u->minor_faults = known(c);
	u->major_faults = known(c);
	u->cpu_ms = known(c);
	u->threads = known(c);
	u->mem_total = known(c);
	u->mem_available = known(c);
	u->host_cpu = sqlite3_column_type(c->q, c->next) == SQLITE_NULL
			      ? -1
			      : sqlite3_column_double(c->q, c->next);
	if (!isfinite(u->host_cpu))
		u->host_cpu = -1;
}

static int add_snapshot(struct recording *r, sqlite3_stmt *q)
{
	int64_t id = sqlite3_column_int64(q, 0), keyframe = sqlite3_column_int64(q, 2);
	const uint32_t *target = table_find(&r->target_index, (uint64_t)sqlite3_column_int64(q, 1));
	struct columns c = { .q = q, .next = 5 };
	struct recorded_snapshot s = { .moment = {
					       .kind = kind_of(
						       (const char *)sqlite3_column_text(q, 3)),
					       .label = reader_text(r, q, 4),
				       } };

	if (id < 1 || id > UINT32_MAX || keyframe < 1 || keyframe > id || !target ||
		s.moment.kind == SNAPSHOT_KIND_COUNT)
		return reader_damaged(r, "a snapshot that is none");
	s.id = (uint32_t)id;
	s.keyframe = (uint32_t)keyframe;
	s.target = *target;
	s.figures.realtime_ns = number(&c);
	s.moment.elapsed_ns = number(&c);
	s.figures.min_age_s = (double)number(&c) / 1e9;
	s.figures.sampled = number(&c) != 0;
	s.figures.rules.sample = s.figures.sampled;
	s.figures.rules.sample_bytes = number(&c);
	s.figures.filtered = number(&c) != 0;
	read_totals(&c, &s.figures);
	read_usage(&c, &s.moment.usage);
	if (c.negative)
		return reader_damaged(r, "a snapshot with a negative figure");
	buffer_append(&r->snapshots, &s, sizeof(s));
	return buffer_failed(&r->snapshots) ? err(-ENOMEM, "out of memory") : 0;
}

bool recording_has_grown(struct recording *r)
{
	int64_t version = 0;

	return !single_number(r, "PRAGMA data_version", &version) && version != r->data_version;
}

int recording_refresh(struct recording *r)
{
	uint32_t count = recording_snapshot_count(r);
	int64_t last = count ? recording_snapshot(r, count - 1)->id : 0;
	int error = single_number(r, "PRAGMA data_version", &r->data_version);

	/* One view of the file for both. */
	if (!error)
		error = sql_run(&r->sql, "BEGIN", "read");
	if (error)
		return error;
	error = reader_each(r, "SELECT * FROM target ORDER BY id", 0, add_target);
	if (!error)
		error = reader_each(
			r, "SELECT * FROM snapshot WHERE id>? ORDER BY id", last, add_snapshot);
	sqlite3_exec(r->sql.db, "COMMIT", NULL, NULL, NULL);
	return error;
}
