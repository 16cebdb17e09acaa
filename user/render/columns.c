// SPDX-License-Identifier: GPL-2.0-or-later
#include "columns.h"

#include <string.h>

#include "../model/places.h"
#include "frames.h"

static const char *keep(const struct filler *f, struct buffer *text)
{
	const char *kept = buffer_string(text);

	return strings_intern(f->texts, kept, strlen(kept));
}

static void fill_id(const struct filler *f, struct listing_cell *cell)
{
	if (f->group->stack != CODE_NONE)
		cell_number(cell, (int64_t)code_stack(f->code, f->group->stack)->id);
}

static void fill_domain(const struct filler *f, struct listing_cell *cell)
{
	static const char *const names[] = { "heap", "mmap", "python" };

	cell_text(cell, f->group->domain < ARRAY_SIZE(names) ? names[f->group->domain] : NULL);
}

static void fill_thread(const struct filler *f, struct listing_cell *cell)
{
	/* 0: threads were not told apart. */
	if (f->group->thread)
		cell_number(cell, f->group->thread);
}

static void fill_function(const struct filler *f, struct listing_cell *cell)
{
	struct buffer text CLEANUP_BUFFER = { 0 };
	const struct place *p = f->group->place;

	if (!p)
		return;
	frame_name(p->function, p->address, p->module, &text);
	cell_text(cell, keep(f, &text));
}

/* Where no line is known, the function stands for it. */
static void fill_where(const struct filler *f, struct listing_cell *cell)
{
	struct buffer text CLEANUP_BUFFER = { 0 };
	const struct place *p = f->group->place;

	if (!p)
		return;
	if (p->file)
		buffer_format(&text, "%s:%u", p->file, p->line);
	else
		frame_name(p->function, p->address, p->module, &text);
	cell_text(cell, keep(f, &text));
}

static void fill_file(const struct filler *f, struct listing_cell *cell)
{
	cell_text(cell, f->group->place ? f->group->place->file : NULL);
}

/* A file that is not known is all code of a module without lines. */
static void fill_file_or_module(const struct filler *f, struct listing_cell *cell)
{
	struct buffer text CLEANUP_BUFFER = { 0 };
	const struct place *p = f->group->place;

	if (!p)
		return;
	if (p->file)
		buffer_text(&text, p->file);
	else
		buffer_format(&text, "no lines, in %s",
			p->module ? place_base_name(p->module) : "no file");
	cell_text(cell, keep(f, &text));
}

static void fill_line(const struct filler *f, struct listing_cell *cell)
{
	if (f->group->place && f->group->place->line)
		cell_number(cell, f->group->place->line);
}

static void fill_module(const struct filler *f, struct listing_cell *cell)
{
	cell_text(cell, f->group->place ? f->group->place->module : NULL);
}

static void fill_frames(const struct filler *f, struct listing_cell *cell)
{
	if (f->group->stack == CODE_NONE)
		return;
	cell_number(cell, f->other ? ~(int64_t)f->group->stack : (int64_t)f->group->stack);
}

/* clang-format off */
const struct name_column name_columns[] = {
	{ { NULL, "id", LISTING_HEX, IN_DATA, false }, BY(BY_STACK), fill_id },
	{ { NULL, "domain", LISTING_TEXT, IN_DATA, false }, BY(BY_STACK), fill_domain },
	{ { "THREAD", "thread", LISTING_COUNT, EVERYWHERE, false }, BY(BY_THREAD), fill_thread },
	{ { "FUNCTION", "function", LISTING_TEXT, EVERYWHERE, false }, BY(BY_FUNCTION), fill_function },
	{ { "LINE", NULL, LISTING_TEXT, IN_TABLE, false }, BY(BY_LINE), fill_where },
	{ { "FILE", NULL, LISTING_TEXT, IN_TABLE, false }, BY(BY_FILE), fill_file_or_module },
	{ { NULL, "file", LISTING_TEXT, IN_DATA, false }, BY(BY_LINE) | BY(BY_FILE), fill_file },
	{ { NULL, "line", LISTING_COUNT, IN_DATA, false }, BY(BY_LINE), fill_line },
	{ { NULL, "function", LISTING_TEXT, IN_DATA, false }, BY(BY_LINE), fill_function },
	{ { "MODULE", "module", LISTING_TEXT, EVERYWHERE, false }, BY(BY_FUNCTION) | BY(BY_MODULE), fill_module },
	{ { NULL, "module", LISTING_TEXT, IN_DATA, false }, BY(BY_LINE) | BY(BY_FILE), fill_module },
	{ { NULL, "frames", LISTING_FRAMES, EVERYWHERE, false }, BY(BY_STACK), fill_frames },
};
/* clang-format on */
const size_t name_column_count = ARRAY_SIZE(name_columns);
