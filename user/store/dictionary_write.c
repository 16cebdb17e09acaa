// SPDX-License-Identifier: GPL-2.0-or-later
/* A dictionary into its tables. */
#include "dictionary_internal.h"

static int write_strings(struct dictionary *d, sqlite3_stmt *insert)
{
	if (d->string_ids.count == d->written.strings)
		return SQLITE_OK;
	for (size_t i = 0; i < d->string_ids.capacity; i++) {
		const struct table_entry *e = &d->string_ids.entries[i];
		int at = 0, code;

		if (!e->used || e->value <= d->written.strings)
			continue;
		sql_bind_int(insert, &at, e->value);
		sql_bind_text(insert, &at, (const char *)(uintptr_t)e->key);
		code = sql_step_once(insert);
		if (code)
			return code;
	}
	return SQLITE_OK;
}

static int write_modules(struct dictionary *d, sqlite3_stmt *insert)
{
	for (uint32_t i = d->written.modules; i < COUNT(d->modules, struct dictionary_module);
		i++) {
		const struct dictionary_module *m = &ITEM(d->modules, struct dictionary_module, i);
		int at = 0, code;

		sql_bind_int(insert, &at, i + 1);
		sql_bind_text(insert, &at, m->path);
		sql_bind_text(insert, &at, m->build_id);
		sql_bind_text(insert, &at, m->allocator);
		code = sql_step_once(insert);
		if (code)
			return code;
	}
	return SQLITE_OK;
}

static int write_target_modules(struct dictionary *d, sqlite3_stmt *insert)
{
	for (uint32_t i = d->written.target_modules;
		i < COUNT(d->target_modules, struct dictionary_pair); i++) {
		const struct dictionary_pair *p =
			&ITEM(d->target_modules, struct dictionary_pair, i);
		int at = 0, code;

		sql_bind_int(insert, &at, p->target);
		sql_bind_int(insert, &at, p->module);
		code = sql_step_once(insert);
		if (code)
			return code;
	}
	return SQLITE_OK;
}

static const char *kind_of(uint64_t frame)
{
	switch (ht_frame_tag(frame)) {
	case HT_FRAME_CALL:
	case HT_FRAME_PC:
		return "native";
	case HT_FRAME_PYTHON:
		return "python";
	case HT_FRAME_KERNEL:
		return "kernel";
	default:
		return "unknown";
	}
}

static int write_frames(struct dictionary *d, sqlite3_stmt *insert)
{
	for (uint32_t i = d->written.frames; i < COUNT(d->frames, uint64_t); i++) {
		uint64_t frame = ITEM(d->frames, uint64_t, i);
		bool module = dictionary_in_module(frame) && ht_frame_module(frame);
		int at = 0, code;

		sql_bind_int(insert, &at, i + 1);
		sql_bind_known(insert, &at, module ? (int64_t)ht_frame_module(frame) : -1);
		sql_bind_text(insert, &at, kind_of(frame));
		sql_bind_int(insert, &at,
			(int64_t)(ht_frame_tag(frame) == HT_FRAME_RAW ? ht_frame_raw_address(frame)
								      : ht_frame_offset(frame)));
		code = sql_step_once(insert);
		if (code)
			return code;
	}
	return SQLITE_OK;
}

static int write_stacks(struct dictionary *d, sqlite3_stmt *insert)
{
	for (uint32_t i = d->written.stacks; i < COUNT(d->stacks, struct dictionary_stack); i++) {
		const struct dictionary_stack *s = &ITEM(d->stacks, struct dictionary_stack, i);
		int at = 0, code;

		sql_bind_int(insert, &at, i + 1);
		sql_bind_int(insert, &at, (int64_t)s->hash);
		sql_bind_int(insert, &at, s->flags);
		code = sql_step_once(insert);
		if (code)
			return code;
	}
	return SQLITE_OK;
}

static int write_stack_frames(struct dictionary *d, sqlite3_stmt *insert)
{
	for (uint32_t i = d->written.stacks; i < COUNT(d->stacks, struct dictionary_stack); i++) {
		const struct dictionary_stack *s = &ITEM(d->stacks, struct dictionary_stack, i);

		for (uint32_t depth = 0; depth < s->count; depth++) {
			int at = 0, code;

			sql_bind_int(insert, &at, i + 1);
			sql_bind_int(insert, &at, depth);
			sql_bind_int(
				insert, &at, ITEM(d->stack_frames, uint32_t, s->first + depth));
			code = sql_step_once(insert);
			if (code)
				return code;
		}
	}
	return SQLITE_OK;
}

static int write_site(struct dictionary *d, sqlite3_stmt *insert, uint32_t id)
{
	static const char *const domains[] = { "heap", "mmap", "python" };
	const struct dictionary_site *s = &ITEM(d->sites, struct dictionary_site, id - 1);
	int at = 0;

	sql_bind_int(insert, &at, id);
	sql_bind_int(insert, &at, s->target);
	sql_bind_int(insert, &at, s->stack);
	sql_bind_text(insert, &at, s->domain < ARRAY_SIZE(domains) ? domains[s->domain] : NULL);
	sql_bind_int(insert, &at, s->thread);
	return sql_step_once(insert);
}

static int write_sites(struct dictionary *d, sqlite3_stmt *insert)
{
	int code = SQLITE_OK;

	for (uint32_t i = 0; !code && i < COUNT(d->moved_sites, uint32_t); i++)
		code = write_site(d, insert, ITEM(d->moved_sites, uint32_t, i));
	for (uint32_t i = d->written.sites; !code && i < COUNT(d->sites, struct dictionary_site);
		i++)
		code = write_site(d, insert, i + 1);
	return code;
}

static int write_names(struct dictionary *d, sqlite3_stmt *insert)
{
	for (uint32_t i = 0; i < COUNT(d->names, struct dictionary_name); i++) {
		const struct dictionary_name *n = &ITEM(d->names, struct dictionary_name, i);
		int at = 0, code;

		sql_bind_int(insert, &at, n->frame);
		sql_bind_int(insert, &at, n->level);
		sql_bind_known(insert, &at, n->function ? (int64_t)n->function : -1);
		sql_bind_known(insert, &at, n->file ? (int64_t)n->file : -1);
		sql_bind_known(insert, &at, n->line ? (int64_t)n->line : -1);
		code = sql_step_once(insert);
		if (code)
			return code;
	}
	return SQLITE_OK;
}

static int write_instructions(struct dictionary *d, sqlite3_stmt *update)
{
	for (uint32_t i = 0; i < COUNT(d->names, struct dictionary_name); i++) {
		const struct dictionary_name *n = &ITEM(d->names, struct dictionary_name, i);
		int at = 0, code;

		if (n->level)
			continue;
		sql_bind_int(update, &at, (int64_t)n->instruction);
		sql_bind_int(update, &at, (int64_t)n->function_offset);
		sql_bind_text(update, &at, n->jit ? "jit" : NULL);
		sql_bind_int(update, &at, n->frame);
		code = sql_step_once(update);
		if (code)
			return code;
	}
	return SQLITE_OK;
}

static const struct {
	const char *sql;
	int (*run)(struct dictionary *d, sqlite3_stmt *statement);
} steps[] = {
	{ "INSERT INTO string VALUES(?,?)", write_strings },
	{ "INSERT INTO module VALUES(?,?,?,?)", write_modules },
	{ "INSERT OR IGNORE INTO target_module VALUES(?,?)", write_target_modules },
	{ "INSERT INTO frame VALUES(?,?,?,?,NULL,NULL)", write_frames },
	{ "INSERT INTO stack VALUES(?,?,?)", write_stacks },
	{ "INSERT INTO stack_frame VALUES(?,?,?)", write_stack_frames },
	{ "INSERT OR REPLACE INTO site VALUES(?,?,?,?,?)", write_sites },
	{ "INSERT OR REPLACE INTO name VALUES(?,?,?,?,?)", write_names },
	{ "UPDATE frame SET instruction=?, function_offset=?, kind=coalesce(?, kind) WHERE id=?",
		write_instructions },
};

int dictionary_write(struct dictionary *d, struct sql *sql)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		sqlite3_stmt *statement CLEANUP_STATEMENT = NULL;
		int code = sqlite3_prepare_v2(sql->db, steps[i].sql, -1, &statement, NULL);

		if (!code)
			code = steps[i].run(d, statement);
		if (code)
			return code;
	}
	return SQLITE_OK;
}

bool dictionary_has_news(const struct dictionary *d)
{
	return d->names.length || d->moved_sites.length ||
	       d->written.modules < COUNT(d->modules, struct dictionary_module) ||
	       d->written.target_modules < COUNT(d->target_modules, struct dictionary_pair) ||
	       d->written.stacks < COUNT(d->stacks, struct dictionary_stack) ||
	       d->written.sites < COUNT(d->sites, struct dictionary_site);
}

void dictionary_written(struct dictionary *d)
{
	d->written = (struct dictionary_counts){
		.strings = (uint32_t)d->string_ids.count,
		.modules = COUNT(d->modules, struct dictionary_module),
		.target_modules = COUNT(d->target_modules, struct dictionary_pair),
		.frames = COUNT(d->frames, uint64_t),
		.stacks = COUNT(d->stacks, struct dictionary_stack),
		.sites = COUNT(d->sites, struct dictionary_site),
	};
	buffer_clear(&d->names);
	buffer_clear(&d->moved_sites);
}
