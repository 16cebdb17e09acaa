// SPDX-License-Identifier: GPL-2.0-or-later
/* Figures of a snapshot: the keyframe before it, and what has changed since. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/err.h"
#include "reader_internal.h"
#include "rows.h"

static uint32_t site_count(const struct recording *r)
{
	return (uint32_t)(r->sites.length / sizeof(struct reader_site));
}

static struct reader_site *site_at(const struct recording *r, uint32_t index)
{
	return &((struct reader_site *)(void *)r->sites.data)[index];
}

static int add_stack(struct recording *r, sqlite3_stmt *q)
{
	int64_t id = sqlite3_column_int64(q, 0), flags = sqlite3_column_int64(q, 2);
	uint64_t hash = (uint64_t)sqlite3_column_int64(q, 1);
	struct code_stack stack = { .id = hash, .key = hash, .truncated = flags & 1 };
	bool added, loaded = false;
	uint32_t *index = table_add(&r->stack_index, (uint64_t)id, &added);

	if (!index)
		return err(-ENOMEM, "out of memory");
	*index = code_stack_count(&r->code);
	buffer_append(&r->code.stacks, &stack, sizeof(stack));
	buffer_append(&r->stack_loaded, &loaded, sizeof(loaded));
	r->last_stack = id;
	return buffer_failed(&r->code.stacks) || buffer_failed(&r->stack_loaded)
		       ? err(-ENOMEM, "out of memory")
		       : 0;
}

static int domain_of(const char *text)
{
	static const char *const names[] = { "heap", "mmap", "python" };

	for (size_t i = 0; text && i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i]))
			return (int)i;
	return -1;
}

static int add_site(struct recording *r, sqlite3_stmt *q)
{
	int64_t id = sqlite3_column_int64(q, 0), stack_id = sqlite3_column_int64(q, 2);
	const uint32_t *target = table_find(&r->target_index, (uint64_t)sqlite3_column_int64(q, 1));
	const uint32_t *stack = table_find(&r->stack_index, (uint64_t)stack_id);
	int domain = domain_of((const char *)sqlite3_column_text(q, 3));
	struct reader_site site = { .thread = (uint32_t)sqlite3_column_int64(q, 4),
		.domain = (uint8_t)domain };
	bool added;
	uint32_t *index;

	/* Stack 0: none was kept. */
	if (!target || (stack_id && !stack) || domain < 0)
		return reader_damaged(r, "a site of nothing");
	index = table_add(&r->site_index, (uint64_t)id, &added);
	if (!index)
		return err(-ENOMEM, "out of memory");
	site.target = *target;
	site.stack = stack ? *stack : CODE_NONE;
	*index = site_count(r);
	buffer_append(&r->sites, &site, sizeof(site));
	r->last_site = id;
	return buffer_failed(&r->sites) ? err(-ENOMEM, "out of memory") : 0;
}

static int read_dictionary(struct recording *r)
{
	int error = reader_each(r, "SELECT id, hash, flags FROM stack WHERE id>? ORDER BY id",
		r->last_stack, add_stack);

	return error ? error
		     : reader_each(r,
			       "SELECT id, target, stack, domain, thread FROM site WHERE id>? "
			       "ORDER BY id",
			       r->last_site, add_site);
}

static int add_integers(int64_t *sums, sqlite3_stmt *q, int first, int n)
{
	for (int i = 0; i < n; i++)
		if (__builtin_add_overflow(sums[i], sqlite3_column_int64(q, first + i), &sums[i]))
			return -EBADMSG;
	return 0;
}

static int add_change(struct site_row *row, sqlite3_stmt *q)
{
	return add_integers(row->change, q, 1, CHANGE_COLUMNS);
}

static int add_detail(struct site_row *row, sqlite3_stmt *q)
{
	for (int i = 0; i < DETAIL_VARIANCES; i++)
		row->variance[i] += sqlite3_column_double(q, 1 + DETAIL_INTEGERS + i);
	return add_integers(row->detail, q, 1, DETAIL_INTEGERS);
}

/* CROSS: the few snapshots outside, their rows inside. */
#define FROM_ROWS(table)                                                                           \
	" FROM snapshot b CROSS JOIN " table " c ON c.id BETWEEN b.id<<24 AND (b.id<<24)+16777215" \
	" WHERE b.target=?1 AND b.id BETWEEN ?2 AND ?3"
static const char changes[] =
	"SELECT c.id, c.alloc_count, c.alloc_bytes, c.live_count, c.live_bytes, c.aged_count, "
	"c.aged_bytes,"
	" c.temporary_count, c.temporary_bytes, c.oldest_ms" FROM_ROWS("change");
static const char details[] =
	"SELECT c.id, c.failed_count, missing_count, missing_bytes, alloc_count_variance,"
	" alloc_bytes_variance, free_count_variance, free_bytes_variance, live_count_variance,"
	" live_bytes_variance, aged_count_variance, aged_bytes_variance" FROM_ROWS("change_detail");

static int add_rows(struct recording *r, const struct recorded_snapshot *at, const char *text,
	int (*add)(struct site_row *row, sqlite3_stmt *q), struct site_row *rows)
{
	sqlite3_stmt *q CLEANUP_STATEMENT = NULL;
	int code;

	if (sqlite3_prepare_v2(r->sql.db, text, -1, &q, NULL))
		return sql_failed(&r->sql, "read");
	sqlite3_bind_int64(q, 1, recording_target(r, at->target)->id);
	sqlite3_bind_int64(q, 2, at->keyframe);
	sqlite3_bind_int64(q, 3, at->id);
	while ((code = sqlite3_step(q)) == SQLITE_ROW) {
		const uint32_t *site =
			table_find(&r->site_index, (uint64_t)sqlite3_column_int64(q, 0) & SITE_MAX);

		if (!site || site_at(r, *site)->target != at->target || add(&rows[*site], q))
			return reader_damaged(r, "a change of nothing");
	}
	return code == SQLITE_DONE ? 0 : sql_failed(&r->sql, "read");
}

static int to_figures(struct recording *r, const struct recorded_snapshot *at,
	const struct site_row *rows, struct snapshot *s)
{
	static const struct site_row none;

	if (snapshot_reserve(s, site_count(r), s->sampled))
		return err(-ENOMEM, "out of memory");
	s->site_count = 0;
	for (uint32_t i = 0; i < site_count(r); i++) {
		const struct reader_site *site = site_at(r, i);
		struct site_figures *f = &s->sites[s->site_count];
		struct variances variances;

		if (site_row_equal(&rows[i], &none))
			continue;
		if (site_row_to(&rows[i], at->moment.elapsed_ns, f, &variances))
			return reader_damaged(r, "figures that cannot be");
		if (s->estimates)
			s->estimates[s->site_count].variance = variances;
		f->stack = site->stack;
		f->thread = site->thread;
		f->domain = site->domain;
		s->site_count++;
	}
	return 0;
}

/* --- losses ------------------------------------------------------------------------------------- */

struct reasons {
	const char *kind;
	const char *const *names;
	int count;
	uint64_t *values;
};

static void set_loss(const struct reasons *r, const char *reason, int64_t count)
{
	for (int i = 0; i < r->count; i++)
		if (count > 0 && !strcmp(r->names[i], reason))
			r->values[i] = (uint64_t)count;
}

static int read_losses(struct recording *r, uint32_t id, struct snapshot *s)
{
#define KEY(name, key, what, remedy) key,
	static const char *const lost[] = { HT_LOST(KEY) };
	static const char *const unattributed[] = { HT_UNATTRIBUTED(KEY) };
	static const char *const unwind[] = { HT_UNWIND(KEY) };
#undef KEY
	const struct reasons all[] = {
		{ "lost", lost, HT_LOST_REASONS, s->lost },
		{ "unattributed", unattributed, HT_UNATTRIBUTED_REASONS, s->unattributed },
		{ "unwind", unwind, HT_UNWIND_REASONS, s->unwind },
	};
	sqlite3_stmt *q CLEANUP_STATEMENT = NULL;
	int code;

	if (sqlite3_prepare_v2(r->sql.db, "SELECT kind, reason, count FROM loss WHERE snapshot=?",
		    -1, &q, NULL))
		return sql_failed(&r->sql, "read");
	sqlite3_bind_int64(q, 1, id);
	while ((code = sqlite3_step(q)) == SQLITE_ROW) {
		const char *kind = (const char *)sqlite3_column_text(q, 0),
			   *reason = (const char *)sqlite3_column_text(q, 1);

		for (size_t i = 0; kind && reason && i < ARRAY_SIZE(all); i++)
			if (!strcmp(all[i].kind, kind))
				set_loss(&all[i], reason, sqlite3_column_int64(q, 2));
	}
	return code == SQLITE_DONE ? 0 : sql_failed(&r->sql, "read");
}

static int read_all(struct recording *r, const struct recorded_snapshot *at, struct snapshot *s)
{
	struct site_row *rows CLEANUP_FREE = NULL;
	int error = read_dictionary(r);

	if (error)
		return error;
	rows = calloc(site_count(r) + 1UL, sizeof(*rows));
	if (!rows)
		return err(-ENOMEM, "out of memory");
	error = add_rows(r, at, changes, add_change, rows);
	if (!error)
		error = add_rows(r, at, details, add_detail, rows);
	if (!error)
		error = to_figures(r, at, rows, s);
	return error ? error : read_losses(r, at->id, s);
}

int recording_read_sites(
	struct recording *r, const struct recorded_snapshot *at, struct snapshot *figures)
{
	struct snapshot s = at->figures;
	int error = sql_run(&r->sql, "BEGIN", "read");

	if (error)
		return error;
	error = read_all(r, at, &s);
	sqlite3_exec(r->sql.db, "COMMIT", NULL, NULL, NULL);
	if (error) {
		snapshot_release(&s);
		return error;
	}
	*figures = s;
	return 0;
}
