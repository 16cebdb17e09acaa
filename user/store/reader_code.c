// SPDX-License-Identifier: GPL-2.0-or-later
/* Stacks, frames and names. */
#include <errno.h>
#include <string.h>

#include "../base/err.h"
#include "reader_internal.h"

/* More than a kernel half has ever made, fewer than could fill memory by one stack. */
#define MAX_DEPTH 4096

static int no_memory(void)
{
	return err(-ENOMEM, "out of memory");
}

/* --- modules, frames, names: all of them, once ---------------------------------------------------- */

static int add_module(struct recording *r, sqlite3_stmt *q)
{
	const char *path = reader_text(r, q, 1), *build_id = reader_text(r, q, 2);
	struct code_module m = { path ? path : "", build_id ? build_id : "", reader_text(r, q, 3) };
	bool added;
	uint32_t *index = table_add(&r->module_index, (uint64_t)sqlite3_column_int64(q, 0), &added);

	if (!index)
		return no_memory();
	if (!added)
		return 0;
	*index = code_module_count(&r->code);
	buffer_append(&r->code.modules, &m, sizeof(m));
	return buffer_failed(&r->code.modules) ? no_memory() : 0;
}

static int add_mapping(struct recording *r, sqlite3_stmt *q)
{
	const uint32_t *target = table_find(&r->target_index, (uint64_t)sqlite3_column_int64(q, 0));
	const uint32_t *module = table_find(&r->module_index, (uint64_t)sqlite3_column_int64(q, 1));
	bool added;

	if (!target || !module)
		return reader_damaged(r, "a mapping of nothing");
	return table_add(&r->mappings, (uint64_t)*target << 32 | *module, &added) ? 0 : no_memory();
}

bool recording_maps(const struct recording *r, uint32_t target, uint32_t module)
{
	return table_find(&r->mappings, (uint64_t)target << 32 | module) != NULL;
}

static struct code_frame *frame_at(struct recording *r, uint32_t index)
{
	return &((struct code_frame *)(void *)r->code.frames.data)[index];
}

static int add_frame(struct recording *r, sqlite3_stmt *q)
{
	bool in_module = sqlite3_column_type(q, 1) != SQLITE_NULL, added;
	bool looked_up = sqlite3_column_type(q, 4) != SQLITE_NULL;
	const uint32_t *module = table_find(&r->module_index, (uint64_t)sqlite3_column_int64(q, 1));
	const char *kind = reader_text(r, q, 2);
	struct code_frame f = {
		.module = module && in_module ? *module : CODE_NONE,
		.kind = kind ? kind : "unknown",
		.address = (uint64_t)sqlite3_column_int64(q, looked_up ? 4 : 3),
		.function_offset = (uint64_t)sqlite3_column_int64(q, 5),
	};
	uint32_t *index = table_add(&r->frame_index, (uint64_t)sqlite3_column_int64(q, 0), &added);

	if (!index)
		return no_memory();
	if (in_module && !module)
		return reader_damaged(r, "a frame in no module");
	if (added) {
		*index = code_frame_count(&r->code);
		buffer_append(&r->code.frames, &f, sizeof(f));
	} else {
		*frame_at(r, *index) = f;
	}
	return buffer_failed(&r->code.frames) ? no_memory() : 0;
}

/* Ordered by frame and level: those of one frame lie together. */
static int add_name(struct recording *r, sqlite3_stmt *q)
{
	const uint32_t *index = table_find(&r->frame_index, (uint64_t)sqlite3_column_int64(q, 0));
	struct code_level level = {
		.function = reader_text(r, q, 1),
		.file = reader_text(r, q, 2),
		.line = (uint32_t)sqlite3_column_int64(q, 3),
	};
	struct code_frame *f;

	if (!index)
		return reader_damaged(r, "a name of no frame");
	f = frame_at(r, *index);
	if (!f->level_count++)
		f->first_level = (uint32_t)(r->code.levels.length / sizeof(level));
	buffer_append(&r->code.levels, &level, sizeof(level));
	return buffer_failed(&r->code.levels) ? no_memory() : 0;
}

/* Who has no name yet has one level that says nothing. */
static int add_nameless(struct recording *r)
{
	struct code_level none = { 0 };
	uint32_t at = (uint32_t)(r->code.levels.length / sizeof(none));

	buffer_append(&r->code.levels, &none, sizeof(none));
	for (uint32_t i = 0; i < code_frame_count(&r->code); i++) {
		struct code_frame *f = frame_at(r, i);

		if (f->level_count)
			continue;
		f->first_level = at;
		f->level_count = 1;
	}
	return buffer_failed(&r->code.levels) ? no_memory() : 0;
}

static int read_names(struct recording *r)
{
	int error = reader_each(
		r, "SELECT id, path, build_id, allocator FROM module ORDER BY id", 0, add_module);

	if (!error)
		error = reader_each(r, "SELECT target, module FROM target_module", 0, add_mapping);
	if (!error)
		error = reader_each(r,
			"SELECT id, module, kind, address, instruction, function_offset FROM frame"
			" ORDER BY id",
			0, add_frame);
	buffer_clear(&r->code.levels);
	if (!error)
		error = reader_each(r,
			"SELECT n.frame, f.text, i.text, n.line FROM name n"
			" LEFT JOIN string f ON f.id=n.function LEFT JOIN string i ON i.id=n.file"
			" ORDER BY n.frame, n.level",
			0, add_name);
	return error ? error : add_nameless(r);
}

/* --- stacks ------------------------------------------------------------------------------------- */

static bool *loaded(struct recording *r, uint32_t stack)
{
	return &((bool *)(void *)r->stack_loaded.data)[stack];
}

/* What makes stacks of code without a file comparable: their names, for addresses differ in every run. */
static void make_key(struct recording *r, struct code_stack *s)
{
	for (uint32_t i = 0; i < s->frame_count; i++) {
		const struct code_frame *f = code_stack_frame(&r->code, s, i);
		const char *name = code_level(&r->code, f->first_level)->function;

		if (f->module == CODE_NONE && name)
			s->key = hash_bytes(s->key, name, strlen(name));
		else if (f->module == CODE_NONE)
			s->key = hash_mix(s->key, f->address);
	}
}

static int add_stack_frame(struct recording *r, sqlite3_stmt *q)
{
	const uint32_t *stack = table_find(&r->stack_index, (uint64_t)sqlite3_column_int64(q, 0));
	const uint32_t *frame = table_find(&r->frame_index, (uint64_t)sqlite3_column_int64(q, 2));
	uint32_t at = (uint32_t)(r->code.stack_frames.length / sizeof(*frame));
	struct code_stack *s;

	if (!stack || !frame)
		return reader_damaged(r, "a stack of nothing");
	if (*loaded(r, *stack))
		return 0;
	s = code_stack(&r->code, *stack);
	if (!s->frame_count)
		s->first_frame = at;
	if (sqlite3_column_int64(q, 1) != s->frame_count || s->frame_count >= MAX_DEPTH ||
		at != s->first_frame + s->frame_count)
		return reader_damaged(r, "a stack with a gap");
	s->frame_count++;
	buffer_append(&r->code.stack_frames, frame, sizeof(*frame));
	return buffer_failed(&r->code.stack_frames) ? no_memory() : 0;
}

static void finish(struct recording *r, uint32_t stack)
{
	if (*loaded(r, stack))
		return;
	*loaded(r, stack) = true;
	make_key(r, code_stack(&r->code, stack));
}

static int read_all_stacks(struct recording *r)
{
	int error =
		reader_each(r, "SELECT stack, depth, frame FROM stack_frame ORDER BY stack, depth",
			0, add_stack_frame);

	for (uint32_t i = 0; !error && i < code_stack_count(&r->code); i++)
		finish(r, i);
	return error;
}

static int read_some_stacks(struct recording *r, const uint32_t *wanted, uint32_t count)
{
	sqlite3_stmt *q CLEANUP_STATEMENT = NULL;
	int code = SQLITE_DONE, error = 0;

	if (sqlite3_prepare_v2(r->sql.db,
		    "SELECT stack, depth, frame FROM stack_frame WHERE stack=? ORDER BY depth", -1,
		    &q, NULL))
		return sql_failed(&r->sql, "read");
	for (size_t i = 0; i < r->stack_index.capacity; i++) {
		const struct table_entry *e = &r->stack_index.entries[i];
		bool is_wanted = false;

		for (uint32_t w = 0; e->used && w < count; w++)
			is_wanted |= wanted[w] == e->value;
		if (!is_wanted || *loaded(r, e->value))
			continue;
		sqlite3_bind_int64(q, 1, (int64_t)e->key);
		while (!error && (code = sqlite3_step(q)) == SQLITE_ROW)
			error = add_stack_frame(r, q);
		sqlite3_reset(q);
		if (error)
			return error;
		if (code != SQLITE_DONE)
			return sql_failed(&r->sql, "read");
		finish(r, e->value);
	}
	return 0;
}

/* A few are looked up one by one; many are read in one go. */
#define FEW 64

int recording_read_stacks(struct recording *r, const uint32_t *wanted, uint32_t count)
{
	int error = sql_run(&r->sql, "BEGIN", "read");

	if (error)
		return error;
	error = read_names(r);
	if (!error)
		error = wanted && count <= FEW ? read_some_stacks(r, wanted, count)
					       : read_all_stacks(r);
	sqlite3_exec(r->sql.db, "COMMIT", NULL, NULL, NULL);
	return error;
}
