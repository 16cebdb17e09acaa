// SPDX-License-Identifier: GPL-2.0-or-later
/* Source files with the bytes of each line beside it, as far as the files are on this machine. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/units.h"
#include "../base/utf8.h"
#include "report.h"

#define MAX_SOURCE_BYTES (16 << 20)
#define CONTEXT_LINES	 3
#define TAB_WIDTH	 4

struct file {
	const char *path;
	uint64_t bytes, total; /* of its lines: direct callers, and with what they call */
	uint32_t first, count; /* of the lines */
};

struct line {
	const char *path;
	const struct group *group;
};

static int by_place(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	return order ? order
	       : x->group->place->line < y->group->place->line
		       ? -1
		       : x->group->place->line > y->group->place->line;
}

static int by_bytes(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	if (x->total != y->total)
		return x->total > y->total ? -1 : 1;
	return x->first < y->first ? -1 : 1; /* in the order of their names */
}

/* A path is the recording's word: only a plain file is read, and nothing waits for one that is not. */
static int read_source(const char *path, struct buffer *text)
{
	int fd CLEANUP_CLOSE = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return -ENOENT;
	return buffer_read_fd(text, fd, MAX_SOURCE_BYTES);
}

static void source_line(const struct source_report *r, const struct line *l, uint32_t number,
	const char *text, size_t length, struct buffer *out)
{
	enum metric m = view_metric(r->view);
	char self[UNITS_TEXT] = "", total[UNITS_TEXT] = "", copy[512];

	if (l) {
		if (metric_bytes(m, &l->group->self))
			format_bytes(self, metric_bytes(m, &l->group->self));
		format_bytes(total, l->group->total_bytes);
	}
	snprintf(copy, sizeof(copy), "%.*s", (int)(length < 500 ? length : 500), text);
	buffer_format(out, "  %9s  %9s  %6u  ", self, total, number);
	for (char *c = copy; *c; c++) {
		char one[2] = { *c, 0 };

		if (*c == '\t')
			buffer_format(out, "%*s", TAB_WIDTH, "");
		else if ((unsigned char)*c < 0x80)
			utf8_append_printable(out, one);
		else
			buffer_append(out, c, 1);
	}
	buffer_text(out, "\n");
}

static bool is_near(const struct line *lines, uint32_t count, uint32_t number)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t line = lines[i].group->place->line;

		if (number + CONTEXT_LINES >= line && number <= line + CONTEXT_LINES)
			return true;
	}
	return false;
}

static void file_text(const struct source_report *r, const struct file *f, const struct line *lines,
	struct stream *out)
{
	struct buffer text CLEANUP_BUFFER = { 0 };
	char bytes[UNITS_TEXT], total[UNITS_TEXT];
	uint32_t number = 1, at = 0;
	bool gap = false;

	utf8_append_printable(&out->text, f->path);
	buffer_format(&out->text, ": %s, with callees up to %s", format_bytes(bytes, f->bytes),
		format_bytes(total, f->total));
	if (read_source(f->path, &text)) {
		buffer_text(&out->text, "; the file is not here\n");
		for (uint32_t i = 0; i < f->count; i++)
			source_line(r, &lines[i], lines[i].group->place->line, "", 0, &out->text);
		buffer_text(&out->text, "\n");
		return;
	}
	buffer_text(&out->text, "\n");
	for (const char *p = buffer_string(&text); *p; number++) {
		const char *end = strchrnul(p, '\n');
		const struct line *l = NULL;

		while (at < f->count && lines[at].group->place->line < number)
			at++;
		if (at < f->count && lines[at].group->place->line == number)
			l = &lines[at];
		if (is_near(lines, f->count, number)) {
			if (gap)
				buffer_text(&out->text, "                                ...\n");
			source_line(r, l, number, p, (size_t)(end - p), &out->text);
			gap = false;
		} else {
			gap = number > 1;
		}
		stream_relieve(out);
		p = *end ? end + 1 : end;
	}
	buffer_text(&out->text, "\n");
}

static uint32_t gather(
	const struct source_report *r, struct line *lines, struct file *files, uint32_t *line_count)
{
	enum metric m = view_metric(r->view);
	uint32_t count = 0, n = 0;

	for (uint32_t i = 0; i < r->grouping->count; i++) {
		const struct group *g = &r->grouping->groups[i];

		if (g->place && g->place->file && g->place->line && g->total_bytes)
			lines[n++] = (struct line){ g->place->file, g };
	}
	if (n)
		qsort(lines, n, sizeof(*lines), by_place);
	for (uint32_t i = 0; i < n; i++) {
		struct file *f = count ? &files[count - 1] : NULL;

		if (!f || strcmp(f->path, lines[i].path) != 0) {
			f = &files[count++];
			*f = (struct file){ .path = lines[i].path, .first = i };
		}
		f->count++;
		f->bytes += metric_bytes(m, &lines[i].group->self);
		if (lines[i].group->total_bytes > f->total)
			f->total = lines[i].group->total_bytes;
	}
	if (count)
		qsort(files, count, sizeof(*files), by_bytes);
	*line_count = n;
	return count;
}

void source_render_text(
	const struct source_report *r, const struct report_style *style, struct stream *out)
{
	struct line *lines CLEANUP_FREE = calloc(r->grouping->count + 1UL, sizeof(*lines));
	struct file *files CLEANUP_FREE = calloc(r->grouping->count + 1UL, sizeof(*files));
	uint32_t count, line_count;
	char a[UNITS_TEXT], b[UNITS_TEXT];

	if (!lines || !files) {
		out->text.failed = true;
		return;
	}
	count = gather(r, lines, files, &line_count);
	heap_heading_text(r->heap, style, &out->text);
	buffer_format(&out->text,
		"  %s by source line: %s lines of %s files\n\n%s       SELF    CALLEES    LINE%s\n",
		view_name(r->view), format_count(a, line_count), format_count(b, count),
		style->color ? "\033[1m" : "", style->color ? "\033[0m" : "");
	for (uint32_t i = 0; i < shown_rows(count, r->top) && files[i].path; i++)
		file_text(r, &files[i], &lines[files[i].first], out);
	stream_flush(out);
}
