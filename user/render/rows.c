// SPDX-License-Identifier: GPL-2.0-or-later
#include "rows.h"

#include <stdio.h>
#include <string.h>

#include "../base/units.h"
#include "../base/utf8.h"

#define MAX_COLUMNS 24
#define GAP	    2

static const struct cell *row_at(const struct rows *r, size_t row)
{
	return (const struct cell *)(void *)r->cells.data + row * r->column_count;
}

static size_t row_count(const struct rows *r)
{
	return r->column_count ? r->cells.length / sizeof(struct cell) / r->column_count : 0;
}

struct cell *rows_add(struct rows *r)
{
	return buffer_extend(&r->cells, r->column_count * sizeof(struct cell));
}

/* --- text ------------------------------------------------------------------------------------ */

static bool is_text(enum column_kind kind)
{
	return kind == COLUMN_TEXT || kind == COLUMN_LIST;
}

static void cell_text(const struct column *column, const struct cell *cell, struct buffer *out)
{
	char text[UNITS_TEXT];

	if (is_text(column->kind) || column->kind == COLUMN_BELOW)
		utf8_append_printable(out, cell->text && cell->text[0] ? cell->text : "-");
	else if (cell->number < 0)
		buffer_text(out, "-");
	else if (column->kind == COLUMN_BYTES)
		buffer_text(out, format_bytes(text, (uint64_t)cell->number));
	else if (column->kind == COLUMN_SECONDS)
		buffer_text(out, format_duration(text, cell->number));
	else
		buffer_format(out, "%.0f", cell->number);
}

/* Characters, each taken for one place on the screen. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

static void measure(const struct rows *r, size_t widths[MAX_COLUMNS])
{
	struct buffer text CLEANUP_BUFFER = { 0 };

	for (uint32_t c = 0; c < r->column_count; c++)
		widths[c] = r->columns[c].title ? strlen(r->columns[c].title) : 0;
	for (size_t row = 0; row < row_count(r); row++) {
		for (uint32_t c = 0; c < r->column_count; c++) {
			size_t width;

			buffer_clear(&text);
			cell_text(&r->columns[c], &row_at(r, row)[c], &text);
			width = width_of(buffer_string(&text));
			if (width > widths[c])
				widths[c] = width;
		}
	}
}

static bool on_line(const struct column *c)
{
	return c->title && c->kind != COLUMN_BELOW && c->kind != COLUMN_BOOL;
}

/* A line ends with its last text: no blanks behind it. */
static void add_line(const struct rows *r, const size_t *widths, const struct cell *row,
	const char *paint, struct buffer *out)
{
	struct buffer text CLEANUP_BUFFER = { 0 };
	size_t pending = 0;

	buffer_text(out, paint);
	for (uint32_t c = 0; c < r->column_count; c++) {
		const struct column *column = &r->columns[c];
		size_t fill;

		if (!on_line(column))
			continue;
		buffer_clear(&text);
		if (row)
			cell_text(column, &row[c], &text);
		else
			buffer_text(&text, column->title);
		fill = widths[c] - width_of(buffer_string(&text));
		if (!is_text(column->kind))
			pending += fill;
		buffer_format(out, "%*s%s", (int)pending, "", buffer_string(&text));
		pending = GAP + (is_text(column->kind) ? fill : 0);
	}
	buffer_text(out, paint[0] ? "\033[0m\n" : "\n");
}

static void add_below(const struct rows *r, const struct cell *row, struct buffer *out)
{
	for (uint32_t c = 0; c < r->column_count; c++) {
		if (r->columns[c].kind != COLUMN_BELOW || !row[c].text || !row[c].text[0])
			continue;
		buffer_format(out, "    %s: ", r->columns[c].title);
		utf8_append_printable(out, row[c].text);
		buffer_text(out, "\n");
	}
}

void rows_render_text(const struct rows *r, bool color, struct buffer *out)
{
	size_t widths[MAX_COLUMNS] = { 0 };

	if (r->column_count > MAX_COLUMNS)
		return;
	measure(r, widths);
	add_line(r, widths, NULL, color ? "\033[1m" : "", out);
	for (size_t row = 0; row < row_count(r); row++) {
		add_line(r, widths, row_at(r, row), "", out);
		add_below(r, row_at(r, row), out);
	}
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void json_list(struct json *j, const char *key, const char *joined)
{
	char word[256];

	json_open(j, key, '[');
	while (joined && *joined) {
		const char *end = strchrnul(joined, '+');

		snprintf(word, sizeof(word), "%.*s", (int)(end - joined), joined);
		json_string(j, NULL, word);
		joined = *end ? end + 1 : end;
	}
	json_close(j, ']');
}

static void json_cell(struct json *j, const struct column *column, const struct cell *cell)
{
	if (column->kind == COLUMN_LIST && cell->text)
		json_list(j, column->key, cell->text);
	else if (is_text(column->kind) || column->kind == COLUMN_BELOW)
		json_string(j, column->key, cell->text);
	else if (column->kind == COLUMN_BOOL)
		json_bool(j, column->key, cell->number != 0);
	else if (cell->number < 0)
		json_null(j, column->key);
	else
		json_double(j, column->key, cell->number,
			column->kind == COLUMN_SECONDS ||
					cell->number != (double)(uint64_t)cell->number
				? 3
				: 0);
}

void rows_render_json(const struct rows *r, const char *key, struct json *j)
{
	json_open(j, key, '[');
	for (size_t row = 0; row < row_count(r); row++) {
		json_open(j, NULL, '{');
		for (uint32_t c = 0; c < r->column_count; c++)
			if (r->columns[c].key)
				json_cell(j, &r->columns[c], &row_at(r, row)[c]);
		json_close(j, '}');
	}
	json_close(j, ']');
}

void rows_release(struct rows *r)
{
	buffer_release(&r->cells);
}
