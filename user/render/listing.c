// SPDX-License-Identifier: GPL-2.0-or-later
#include "listing.h"

#include <math.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/units.h"
#include "../base/utf8.h"
#include "frames.h"

#define GAP 2

struct listing_cell *listing_add(struct listing *l)
{
	return buffer_extend(&l->cells, l->column_count * sizeof(struct listing_cell));
}

void listing_release(struct listing *l)
{
	buffer_release(&l->cells);
}

static const struct listing_cell *row_at(const struct listing *l, size_t row)
{
	return (const struct listing_cell *)(void *)l->cells.data + row * l->column_count;
}

static size_t row_count(const struct listing *l)
{
	return l->cells.length / sizeof(struct listing_cell) / l->column_count;
}

static const struct code *code_of(const struct listing *l, const struct listing_cell *c)
{
	return c->number < 0 ? l->other : l->code;
}

static uint32_t stack_of(const struct listing_cell *c)
{
	return !c->known ? CODE_NONE : (uint32_t)(c->number < 0 ? ~c->number : c->number);
}

/* --- table ------------------------------------------------------------------------------------- */

static void sized(const struct listing_column *column, int64_t number, struct buffer *out)
{
	char text[UNITS_TEXT];
	uint64_t magnitude = number < 0 ? -(uint64_t)number : (uint64_t)number;

	if (number < 0 || (column->sign && number > 0))
		buffer_text(out, number < 0 ? "-" : "+");
	buffer_text(out, column->kind == LISTING_BYTES ? format_bytes(text, magnitude)
						       : format_count(text, magnitude));
}

static void table_cell(
	const struct listing_column *column, const struct listing_cell *cell, struct buffer *out)
{
	char text[UNITS_TEXT], time[CLOCK_TEXT];

	if (!cell->known) {
		buffer_text(out, "-");
		return;
	}
	switch (column->kind) {
	case LISTING_TEXT:
		utf8_append_printable(out, cell->text);
		break;
	case LISTING_COUNT:
	case LISTING_BYTES:
		sized(column, cell->number, out);
		break;
	case LISTING_SHARE:
		buffer_format(out, column->sign ? "%+.1f %%" : "%.1f %%", 100 * cell->real);
		break;
	case LISTING_SECONDS:
		buffer_text(out, format_duration(text, cell->real));
		break;
	case LISTING_TIME:
		buffer_text(out, clock_format(time, (uint64_t)cell->number));
		break;
	case LISTING_HEX:
		buffer_format(out, "%#llx", (unsigned long long)cell->number);
		break;
	case LISTING_BOOL:
		buffer_text(out, cell->number ? "yes" : "no");
		break;
	case LISTING_FRAMES:
		break;
	}
}

/* Characters, each taken for one place on the screen. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

static bool on_line(const struct listing_column *c)
{
	return c->where & IN_TABLE && c->kind != LISTING_FRAMES;
}

static void measure(const struct listing *l, size_t widths[LISTING_MAX_COLUMNS])
{
	struct buffer text CLEANUP_BUFFER = { 0 };

	for (uint32_t c = 0; c < l->column_count; c++) {
		if (!on_line(&l->columns[c]))
			continue;
		widths[c] = strlen(l->columns[c].title);
		for (size_t row = 0; row < row_count(l); row++) {
			size_t width;

			buffer_clear(&text);
			table_cell(&l->columns[c], &row_at(l, row)[c], &text);
			width = width_of(buffer_string(&text));
			if (width > widths[c])
				widths[c] = width;
		}
	}
}

static bool to_the_left(enum listing_kind kind)
{
	return kind == LISTING_TEXT || kind == LISTING_TIME || kind == LISTING_BOOL;
}

/* row NULL: the heading. A line ends with its last text: no blanks behind it. */
static void table_line(const struct listing *l, const size_t *widths,
	const struct listing_cell *row, struct buffer *out)
{
	struct buffer text CLEANUP_BUFFER = { 0 };
	size_t pending = GAP;

	for (uint32_t c = 0; c < l->column_count; c++) {
		const struct listing_column *column = &l->columns[c];
		size_t fill;

		if (!on_line(column))
			continue;
		buffer_clear(&text);
		if (row)
			table_cell(column, &row[c], &text);
		else
			buffer_text(&text, column->title);
		fill = widths[c] - width_of(buffer_string(&text));
		if (!to_the_left(column->kind))
			pending += fill;
		buffer_format(out, "%*s%s", (int)pending, "", buffer_string(&text));
		pending = GAP + (to_the_left(column->kind) ? fill : 0);
	}
}

void listing_render_table(
	const struct listing *l, bool color, bool full_paths, struct stream *stream)
{
	struct buffer *out = &stream->text;
	size_t widths[LISTING_MAX_COLUMNS] = { 0 };

	if (l->column_count > LISTING_MAX_COLUMNS)
		return;
	measure(l, widths);
	buffer_text(out, color ? "\033[1m" : "");
	table_line(l, widths, NULL, out);
	buffer_text(out, color ? "\033[0m\n" : "\n");
	for (size_t row = 0; row < row_count(l); row++) {
		table_line(l, widths, row_at(l, row), out);
		buffer_text(out, "\n");
		for (uint32_t c = 0; c < l->column_count; c++)
			if (l->columns[c].kind == LISTING_FRAMES && l->columns[c].where & IN_TABLE)
				frames_text(code_of(l, &row_at(l, row)[c]),
					stack_of(&row_at(l, row)[c]), full_paths, out);
		stream_relieve(stream);
	}
}

/* --- JSON --------------------------------------------------------------------------------------- */

static void json_cell(const struct listing *l, const struct listing_column *column,
	const struct listing_cell *cell, struct json *j)
{
	char time[CLOCK_TEXT];

	if (!cell->known && column->kind != LISTING_FRAMES) {
		json_null(j, column->key);
		return;
	}
	switch (column->kind) {
	case LISTING_TEXT:
		json_string(j, column->key, cell->text);
		break;
	case LISTING_COUNT:
	case LISTING_BYTES:
		json_int(j, column->key, cell->number);
		break;
	case LISTING_SHARE:
	case LISTING_SECONDS:
		json_double(j, column->key, cell->real, column->kind == LISTING_SHARE ? 6 : 3);
		break;
	case LISTING_TIME:
		json_string(j, column->key, clock_format(time, (uint64_t)cell->number));
		break;
	case LISTING_HEX:
		json_hex(j, column->key, (uint64_t)cell->number);
		break;
	case LISTING_BOOL:
		json_bool(j, column->key, cell->number != 0);
		break;
	case LISTING_FRAMES:
		frames_json(code_of(l, cell), stack_of(cell), j);
		break;
	}
}

static void json_row(const struct listing *l, size_t row, struct json *j)
{
	json_open(j, NULL, '{');
	for (uint32_t c = 0; c < l->column_count; c++)
		if (l->columns[c].where & IN_JSON)
			json_cell(l, &l->columns[c], &row_at(l, row)[c], j);
	json_close(j, '}');
}

void listing_render_json(
	const struct listing *l, const char *key, struct json *j, struct stream *out)
{
	json_open(j, key, '[');
	for (size_t row = 0; row < row_count(l); row++) {
		json_row(l, row, j);
		stream_relieve(out);
	}
	json_close(j, ']');
}

void listing_render_lines(const struct listing *l, struct stream *out)
{
	for (size_t row = 0; row < row_count(l); row++) {
		struct json j = { .out = &out->text };

		json_row(l, row, &j);
		buffer_text(&out->text, "\n");
		stream_relieve(out);
	}
}

/* --- CSV ---------------------------------------------------------------------------------------- */

static void quoted(const char *text, struct buffer *out)
{
	if (!strpbrk(text, "\",\r\n") && *text != ' ') {
		buffer_text(out, text);
		return;
	}
	buffer_text(out, "\"");
	for (; *text; text++) {
		if (*text == '"')
			buffer_text(out, "\"");
		buffer_append(out, text, 1);
	}
	buffer_text(out, "\"");
}

/* What is not known is empty. */
static void csv_cell(const struct listing *l, const struct listing_column *column,
	const struct listing_cell *cell, struct buffer *out)
{
	struct buffer text CLEANUP_BUFFER = { 0 };
	char time[CLOCK_TEXT];

	if (!cell->known && column->kind != LISTING_FRAMES)
		return;
	switch (column->kind) {
	case LISTING_TEXT:
		utf8_append_printable(&text, cell->text);
		quoted(buffer_string(&text), out);
		break;
	case LISTING_COUNT:
	case LISTING_BYTES:
	case LISTING_BOOL:
		buffer_format(out, "%lld", (long long)cell->number);
		break;
	case LISTING_SHARE:
	case LISTING_SECONDS:
		buffer_format(out, column->kind == LISTING_SHARE ? "%.6f" : "%.3f", cell->real);
		break;
	case LISTING_TIME:
		buffer_text(out, clock_format(time, (uint64_t)cell->number));
		break;
	case LISTING_HEX:
		buffer_format(out, "0x%016llx", (unsigned long long)cell->number);
		break;
	case LISTING_FRAMES:
		frames_folded(code_of(l, cell), stack_of(cell), &text);
		quoted(buffer_string(&text), out);
		break;
	}
}

static void csv_row(const struct listing *l, const struct listing_cell *row, struct buffer *out)
{
	bool first = true;

	for (uint32_t c = 0; c < l->column_count; c++) {
		if (!(l->columns[c].where & IN_CSV))
			continue;
		if (!first)
			buffer_text(out, ",");
		first = false;
		if (row)
			csv_cell(l, &l->columns[c], &row[c], out);
		else
			buffer_text(out,
				l->columns[c].kind == LISTING_FRAMES ? "stack" : l->columns[c].key);
	}
	buffer_text(out, "\r\n");
}

void listing_render_csv(const struct listing *l, struct stream *out)
{
	csv_row(l, NULL, &out->text);
	for (size_t row = 0; row < row_count(l); row++) {
		csv_row(l, row_at(l, row), &out->text);
		stream_relieve(out);
	}
}
