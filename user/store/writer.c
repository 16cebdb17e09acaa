// SPDX-License-Identifier: GPL-2.0-or-later
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/err.h"
#include "dictionary.h"
#include "retention.h"
#include "rows.h"
#include "schema.h"

struct target {
	struct dictionary_target ids;
	struct buffer rows; /* struct site_row by the site's index, as committed */
	uint32_t snapshots;
	uint32_t keyframe;
	struct retention retention;
};

struct writer {
	struct sql sql;
	struct dictionary dictionary;
	struct dictionary_scope *scopes;
	uint32_t scope_count;
	struct target *targets;
	uint32_t target_count;
	uint32_t snapshots; /* committed */
	struct writer_options options;
	sqlite3_stmt *begin, *commit, *rollback, *snapshot, *loss, *change, *detail;
};

/* --- open -------------------------------------------------------------------------------------- */

static int create_schema(struct writer *w)
{
	/* Pages of a WAL are written twice: larger checkpoints write those that change often once. */
	static const char pragmas[] = "PRAGMA page_size=4096;PRAGMA journal_mode=WAL;"
				      "PRAGMA synchronous=NORMAL;PRAGMA wal_autocheckpoint=2000;"
				      "PRAGMA cache_size=-8192;PRAGMA temp_store=MEMORY;";
	char text[96];
	int error = sql_run(&w->sql, pragmas, "create");

	if (!error)
		error = sql_run(&w->sql, "BEGIN", "create");
	for (size_t i = 0; !error && i < schema_table_count; i++)
		error = sql_run(&w->sql, schema_tables[i].sql, "create");
	if (!error)
		error = sql_run(&w->sql, schema_extras, "create");
	snprintf(text, sizeof(text), "PRAGMA application_id=%d;PRAGMA user_version=%d;COMMIT",
		SCHEMA_APPLICATION_ID, SCHEMA_VERSION);
	return error ? error : sql_run(&w->sql, text, "create");
}

#define MARKS_8	 "?,?,?,?,?,?,?,?"
#define MARKS_16 MARKS_8 "," MARKS_8

static int prepare_all(struct writer *w)
{
	static const char snapshot[] =
		"INSERT INTO snapshot VALUES(" MARKS_16 "," MARKS_16 "," MARKS_8 ",?,?,?,?,?,?)";
	const struct {
		const char *text;
		sqlite3_stmt **statement;
	} all[] = {
		{ "BEGIN IMMEDIATE", &w->begin },
		{ "COMMIT", &w->commit },
		{ "ROLLBACK", &w->rollback },
		{ snapshot, &w->snapshot },
		{ "INSERT INTO loss VALUES(?,?,?,?)", &w->loss },
		{ "INSERT INTO change VALUES(" MARKS_8 ",?,?)", &w->change },
		{ "INSERT INTO change_detail VALUES(" MARKS_8 ",?,?,?,?)", &w->detail },
	};
	int error = 0;

	for (size_t i = 0; !error && i < ARRAY_SIZE(all); i++)
		error = sql_prepare(&w->sql, all[i].text, all[i].statement);
	return error;
}

static int create_file(const char *path)
{
	int fd CLEANUP_CLOSE = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0)
		return 0;
	if (errno == EEXIST)
		return err(-EEXIST, "%s is there already: a recording is never written over", path);
	return err(-EIO, "cannot create %s: %s", path, strerror(errno));
}

int writer_create(struct writer **writer, const char *path, const struct writer_options *options)
{
	struct writer *w = calloc(1, sizeof(*w));
	int error;

	if (!w)
		return err(-ENOMEM, "out of memory");
	error = create_file(path);
	if (error) {
		free(w);
		return error;
	}
	w->options = *options;
	w->sql.path = strdup(path);
	if (!w->sql.path)
		error = err(-ENOMEM, "out of memory");
	if (!error && sqlite3_open_v2(path, &w->sql.db, SQLITE_OPEN_READWRITE, NULL))
		error = sql_failed(&w->sql, "create");
	if (!error)
		error = create_schema(w);
	if (!error)
		error = prepare_all(w);
	if (error) {
		unlink(path);
		writer_close(w);
		return error;
	}
	*writer = w;
	return 0;
}

int writer_set_meta(struct writer *w, const char *key, const char *value)
{
	sqlite3_stmt *insert CLEANUP_STATEMENT = NULL;
	int at = 0,
	    error = sql_prepare(&w->sql, "INSERT OR REPLACE INTO meta VALUES(?,?)", &insert);

	if (error)
		return error;
	sql_bind_text(insert, &at, key);
	sql_bind_text(insert, &at, value);
	return sql_step_once(insert) ? sql_failed(&w->sql, "write") : 0;
}

/* --- targets ------------------------------------------------------------------------------------ */

int writer_add_scope(struct writer *w, uint32_t *scope)
{
	struct dictionary_scope *all = realloc(w->scopes, (w->scope_count + 1) * sizeof(*all));

	if (!all)
		return err(-ENOMEM, "out of memory");
	w->scopes = all;
	all[w->scope_count] = (struct dictionary_scope){ .id = w->scope_count };
	*scope = w->scope_count++;
	return 0;
}

int writer_add_target(struct writer *w, const struct target_facts *f, uint32_t *target)
{
	sqlite3_stmt *insert CLEANUP_STATEMENT = NULL;
	struct target *all = realloc(w->targets, (w->target_count + 1) * sizeof(*all));
	int at = 0, error;

	if (!all)
		return err(-ENOMEM, "out of memory");
	w->targets = all;
	error = sql_prepare(
		&w->sql, "INSERT INTO target VALUES(?,?,?,?,?,?,?,?,?,?,?,NULL,NULL)", &insert);
	if (error)
		return error;
	sql_bind_int(insert, &at, w->target_count + 1);
	sql_bind_int(insert, &at, f->process->pid);
	sql_bind_text(insert, &at, f->process->comm);
	sql_bind_text(insert, &at, f->process->exe);
	sql_bind_text(insert, &at, f->process->cgroup);
	sql_bind_int(insert, &at, (int64_t)f->process->start_realtime_ns);
	sql_bind_int(insert, &at, (int64_t)f->armed_realtime_ns);
	sql_bind_text(insert, &at, f->mode);
	sql_bind_text(insert, &at, f->mode_why);
	sql_bind_text(insert, &at, f->link);
	sql_bind_text(insert, &at, f->label);
	if (sql_step_once(insert))
		return sql_failed(&w->sql, "write");
	all[w->target_count] = (struct target){
		.ids = { .id = w->target_count + 1, .scope = f->scope },
		.retention = { w->options.full_ns, w->options.thin_ns, 0, 0 },
	};
	*target = w->target_count++;
	return 0;
}

int writer_end_target(
	struct writer *w, uint32_t target, const char *why, uint64_t ended_realtime_ns)
{
	sqlite3_stmt *update CLEANUP_STATEMENT = NULL;
	int at = 0, error = sql_prepare(
			    &w->sql, "UPDATE target SET ended=?, ended_ns=? WHERE id=?", &update);

	if (error)
		return error;
	sql_bind_text(update, &at, why);
	sql_bind_int(update, &at, (int64_t)ended_realtime_ns);
	sql_bind_int(update, &at, w->targets[target].ids.id);
	return sql_step_once(update) ? sql_failed(&w->sql, "write") : 0;
}

int writer_add_profile(struct writer *w, uint32_t scope, const struct profile *tail)
{
	return dictionary_add_profile(&w->dictionary, &w->scopes[scope], tail);
}

int writer_add_mapping(struct writer *w, uint32_t target, uint32_t module)
{
	const struct dictionary_target *t = &w->targets[target].ids;

	return dictionary_add_mapping(&w->dictionary, t, &w->scopes[t->scope], module);
}

int writer_add_names(struct writer *w, uint32_t scope, const struct names *names)
{
	return dictionary_add_names(&w->dictionary, &w->scopes[scope], names);
}

/* --- snapshots ---------------------------------------------------------------------------------- */

static void bind_totals(sqlite3_stmt *q, int *at, const struct snapshot *s)
{
	const struct totals *t = &s->totals;

	sql_bind_int(q, at, (int64_t)t->alloc_count);
	sql_bind_int(q, at, (int64_t)t->alloc_bytes);
	sql_bind_int(q, at, (int64_t)t->free_count);
	sql_bind_int(q, at, (int64_t)t->free_bytes);
	sql_bind_int(q, at, (int64_t)t->live_count);
	sql_bind_int(q, at, (int64_t)t->live_bytes);
	sql_bind_int(q, at, (int64_t)t->aged_count);
	sql_bind_int(q, at, (int64_t)t->aged_bytes);
	sql_bind_int(q, at, (int64_t)t->lost_count);
	sql_bind_int(q, at, (int64_t)t->lost_bytes);
	sql_bind_int(q, at, (int64_t)t->peak_live_bytes);
	sql_bind_known(q, at, s->sampled ? -1 : (int64_t)t->failed_count);
	sql_bind_known(q, at, s->sampled || s->filtered ? -1 : (int64_t)t->untracked_frees);
	sql_bind_int(q, at, (int64_t)t->in_flight);
	sql_bind_int(q, at, (int64_t)t->truncated_count);
	sql_bind_known(q, at, s->sampled || s->filtered ? -1 : (int64_t)s->events);
	sql_bind_int(q, at, (int64_t)s->skew);
	sql_bind_int(q, at, (int64_t)s->missed_events);
	sql_bind_int(q, at, s->removed_probes);
	sql_bind_int(q, at, (int64_t)s->abandoned_calls);
}

static void bind_usage(sqlite3_stmt *q, int *at, const struct usage *u)
{
	sql_bind_known(q, at, u->rss);
	sql_bind_known(q, at, u->rss_anon);
	sql_bind_known(q, at, u->rss_file);
	sql_bind_known(q, at, u->rss_shmem);
	sql_bind_known(q, at, u->pss);
	sql_bind_known(q, at, u->swap);
	sql_bind_known(q, at, u->cgroup_usage);
	sql_bind_known(q, at, u->cgroup_limit);
	sql_bind_known(q, at, u->minor_faults);
	sql_bind_known(q, at, u->major_faults);
	sql_bind_known(q, at, u->cpu_ms);
	sql_bind_known(q, at, u->threads);
	sql_bind_known(q, at, u->mem_total);
	sql_bind_known(q, at, u->mem_available);
	if (u->host_cpu < 0)
		sql_bind_known(q, at, -1);
	else
		sql_bind_real(q, at, u->host_cpu);
}

static int write_snapshot(struct writer *w, const struct target *t, uint32_t id, uint32_t keyframe,
	const struct snapshot *s, const struct moment *m)
{
	sqlite3_stmt *q = w->snapshot;
	int at = 0;

	sql_bind_int(q, &at, id);
	sql_bind_int(q, &at, t->ids.id);
	sql_bind_int(q, &at, keyframe);
	sql_bind_text(q, &at, snapshot_kind_name(m->kind));
	sql_bind_text(q, &at, m->label);
	sql_bind_int(q, &at, (int64_t)s->realtime_ns);
	sql_bind_int(q, &at, (int64_t)m->elapsed_ns);
	sql_bind_int(q, &at, (int64_t)(s->min_age_s * 1e9));
	sql_bind_int(q, &at, s->sampled);
	sql_bind_int(q, &at, (int64_t)s->rules.sample_bytes);
	sql_bind_int(q, &at, s->filtered);
	bind_totals(q, &at, s);
	bind_usage(q, &at, &m->usage);
	return sql_step_once(q);
}

static int write_losses(struct writer *w, uint32_t id, const char *kind, const char *const *reasons,
	const uint64_t *counts, int n)
{
	for (int i = 0; i < n; i++) {
		int at = 0, code;

		if (!counts[i])
			continue;
		sql_bind_int(w->loss, &at, id);
		sql_bind_text(w->loss, &at, kind);
		sql_bind_text(w->loss, &at, reasons[i]);
		sql_bind_int(w->loss, &at, (int64_t)counts[i]);
		code = sql_step_once(w->loss);
		if (code)
			return code;
	}
	return SQLITE_OK;
}

static int write_health(struct writer *w, uint32_t id, const struct snapshot *s)
{
#define KEY(name, key, what, remedy) key,
	static const char *const lost[] = { HT_LOST(KEY) };
	static const char *const unattributed[] = { HT_UNATTRIBUTED(KEY) };
	static const char *const unwind[] = { HT_UNWIND(KEY) };
#undef KEY
	int code = write_losses(w, id, "lost", lost, s->lost, HT_LOST_REASONS);

	if (!code)
		code = write_losses(w, id, "unattributed", unattributed, s->unattributed,
			HT_UNATTRIBUTED_REASONS);
	return code ? code : write_losses(w, id, "unwind", unwind, s->unwind, HT_UNWIND_REASONS);
}

static int write_row(struct writer *w, uint32_t id, uint32_t site, const struct site_row *row,
	const struct site_row *base)
{
	int64_t key = (int64_t)((uint64_t)id << SITE_BITS | site);
	int64_t change[CHANGE_COLUMNS], detail[DETAIL_INTEGERS];
	double variance[DETAIL_VARIANCES];
	int at = 0, code = SQLITE_OK;

	if (site_row_change(row, base, change)) {
		sql_bind_int(w->change, &at, key);
		for (int i = 0; i < CHANGE_COLUMNS; i++)
			sql_bind_int(w->change, &at, change[i]);
		code = sql_step_once(w->change);
	}
	if (code || !site_row_detail(row, base, detail, variance))
		return code;
	at = 0;
	sql_bind_int(w->detail, &at, key);
	for (int i = 0; i < DETAIL_INTEGERS; i++)
		sql_bind_int(w->detail, &at, detail[i]);
	for (int i = 0; i < DETAIL_VARIANCES; i++)
		sql_bind_real(w->detail, &at, variance[i]);
	return sql_step_once(w->detail);
}

static const struct site_row no_row;

/* The rows of all sites that changed, or, in a keyframe, that have anything; `fresh`: what they come to. */
static int write_rows(struct writer *w, struct target *t, uint32_t id, bool keyframe,
	const struct snapshot *s, const struct moment *m, struct site_row *fresh)
{
	const struct site_row *known = (const struct site_row *)(void *)t->rows.data;
	uint32_t known_count = (uint32_t)(t->rows.length / sizeof(*known));

	for (uint32_t i = 0; i < s->site_count; i++) {
		const struct site_row *before = i < known_count ? &known[i] : &no_row;
		uint32_t site;
		int code;

		site_row_from(&fresh[i], &s->sites[i],
			&snapshot_estimates(s, &s->sites[i])->variance, m->elapsed_ns, before);
		if (site_row_equal(&fresh[i], keyframe ? &no_row : before))
			continue;
		site = dictionary_site(
			&w->dictionary, &t->ids, &w->scopes[t->ids.scope], i, &s->sites[i]);
		if (!site)
			return SQLITE_NOMEM;
		code = write_row(w, id, site, &fresh[i], keyframe ? &no_row : before);
		if (code)
			return code;
	}
	return SQLITE_OK;
}

static int commit(struct writer *w, int code)
{
	int error;

	if (!code && dictionary_has_news(&w->dictionary))
		code = dictionary_write(&w->dictionary, &w->sql);
	if (!code)
		code = sql_step_once(w->commit);
	if (!code) {
		dictionary_written(&w->dictionary);
		return 0;
	}
	error = sql_failed(&w->sql, "write");
	if (!sqlite3_get_autocommit(w->sql.db))
		sql_step_once(w->rollback);
	return error;
}

int writer_flush(struct writer *w)
{
	if (!dictionary_has_news(&w->dictionary))
		return 0;
	return commit(w, sql_step_once(w->begin));
}

int writer_add_snapshot(struct writer *w, uint32_t target, const struct snapshot *s,
	const struct moment *m, uint32_t *id)
{
	struct target *t = &w->targets[target];
	bool keyframe = t->snapshots % KEYFRAME_EVERY == 0;
	uint32_t number = w->snapshots + 1, base = keyframe ? number : t->keyframe;
	struct site_row *fresh CLEANUP_FREE = calloc(s->site_count + 1UL, sizeof(*fresh));
	int code, error;

	if (!fresh)
		return err(-ENOMEM, "out of memory");
	code = sql_step_once(w->begin);
	if (!code)
		code = write_snapshot(w, t, number, base, s, m);
	if (!code)
		code = write_health(w, number, s);
	if (!code)
		code = write_rows(w, t, number, keyframe, s, m, fresh);
	error = commit(w, code);
	if (error)
		return error;
	w->snapshots = number;
	t->snapshots++;
	t->keyframe = base;
	buffer_clear(&t->rows);
	buffer_append(&t->rows, fresh, s->site_count * sizeof(*fresh));
	*id = number;
	if (t->rows.failed)
		return err(-ENOMEM, "out of memory");
	if (m->kind == SNAPSHOT_PEAK) {
		error = retention_supersede_peaks(&t->retention, &w->sql, t->ids.id, number);
		if (error)
			return error;
		t->retention.last_peak = number;
	}
	return retention_apply(&t->retention, &w->sql, t->ids.id, m->elapsed_ns);
}

/* --- close -------------------------------------------------------------------------------------- */

int writer_close(struct writer *w)
{
	sqlite3_stmt *all[] = { w->begin, w->commit, w->rollback, w->snapshot, w->loss, w->change,
		w->detail };
	int error = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		sqlite3_finalize(all[i]);
	/* Without readers this folds the log into the file; with them the last one to leave does. */
	if (w->sql.db && sqlite3_exec(w->sql.db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL))
		debug("%s keeps its log: %s", w->sql.path, sqlite3_errmsg(w->sql.db));
	sql_close(&w->sql);
	for (uint32_t i = 0; i < w->target_count; i++) {
		dictionary_target_release(&w->targets[i].ids);
		buffer_release(&w->targets[i].rows);
	}
	free(w->targets);
	for (uint32_t i = 0; i < w->scope_count; i++)
		dictionary_scope_release(&w->scopes[i]);
	free(w->scopes);
	dictionary_release(&w->dictionary);
	free(w);
	return error;
}
