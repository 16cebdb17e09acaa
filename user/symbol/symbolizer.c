// SPDX-License-Identifier: GPL-2.0-or-later
#include "symbolizer.h"

#include <errno.h>
#include <string.h>

#include "../base/err.h"
#include "../base/table.h"
#include "symbols.h"

struct symbolizer {
	struct table by_frame; /* frame -> index of symbols */
	struct buffer symbols; /* struct symbol [] */
	struct buffer
		*texts; /* answers of the parser, one a request: their texts stay where they are */
	size_t text_count;
};

struct symbolizer *symbolizer_new(void)
{
	return calloc(1, sizeof(struct symbolizer));
}

void symbolizer_free(struct symbolizer *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->text_count; i++)
		buffer_release(&s->texts[i]);
	free(s->texts);
	buffer_release(&s->symbols);
	table_release(&s->by_frame);
	free(s);
}

static bool is_native(uint64_t frame)
{
	enum ht_frame_tag tag = ht_frame_tag(frame);

	return tag == HT_FRAME_CALL || tag == HT_FRAME_PC;
}

static int remember(struct symbolizer *s, uint64_t frame, const struct symbol *symbol)
{
	bool added;
	uint32_t *index = table_add(&s->by_frame, frame, &added);

	if (!index)
		return -ENOMEM;
	if (added) {
		*index = (uint32_t)(s->symbols.length / sizeof(*symbol));
		buffer_append(&s->symbols, symbol, sizeof(*symbol));
	}
	return buffer_failed(&s->symbols);
}

static const char *text_at(const struct buffer *answer, uint32_t at)
{
	return at < answer->length ? (const char *)answer->data + at : NULL;
}

static int remember_answers(
	struct symbolizer *s, const uint64_t *frames, size_t count, const struct buffer *answer)
{
	const struct symbols_answer *answers = (const void *)answer->data;

	for (size_t i = 0; i < count; i++) {
		struct symbol symbol = { .address = ht_frame_offset(frames[i]) };

		if (answers && answer->length >= (i + 1) * sizeof(*answers))
			symbol = (struct symbol){
				.function = text_at(answer, answers[i].function),
				.file = text_at(answer, answers[i].file),
				.line = answers[i].line,
				.address = answers[i].address,
				.function_offset = answers[i].function_offset,
			};
		if (remember(s, frames[i], &symbol))
			return -ENOMEM;
	}
	return 0;
}

static int add_module_frames(
	struct symbolizer *s, const struct module *module, const uint64_t *frames, size_t count)
{
	struct buffer in CLEANUP_BUFFER = { 0 };
	struct buffer *texts = realloc(s->texts, (s->text_count + 1) * sizeof(*texts));
	struct buffer *answer;

	if (!texts)
		return -ENOMEM;
	s->texts = texts;
	answer = &texts[s->text_count++];
	*answer = (struct buffer){ 0 };
	for (size_t i = 0; i < count; i++) {
		struct symbols_query *q = buffer_extend(&in, sizeof(*q));

		if (!q)
			return -ENOMEM;
		q->address = ht_frame_offset(frames[i]);
		q->is_call = ht_frame_tag(frames[i]) == HT_FRAME_CALL;
	}
	if (module->fd < 0 || parse_file(&symbols_parser, module->fd, &in, answer))
		debug("no names of %s: its frames show as offsets", module->path);
	return remember_answers(s, frames, count, answer);
}

static int compare_frames(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int symbolizer_add(
	struct symbolizer *s, const struct image *image, const uint64_t *frames, size_t count)
{
	uint64_t *new CLEANUP_FREE = calloc(count + 1, sizeof(*new));
	size_t n = 0, unique = 0;

	if (!new)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (is_native(frames[i]) && !table_find(&s->by_frame, frames[i]))
			new[n++] = frames[i];
	qsort(new, n, sizeof(*new), compare_frames);
	for (size_t i = 0; i < n; i++)
		if (!i || new[i] != new[i - 1])
			new[unique++] = new[i];
	/* Sorted, the frames of one module stand together. */
	for (size_t first = 0, end; first < unique; first = end) {
		uint32_t module = ht_frame_module(new[first]);

		for (end = first; end < unique && ht_frame_module(new[end]) == module; end++)
			;
		if (module < image->module_count &&
			add_module_frames(s, &image->modules[module], new + first, end - first))
			return -ENOMEM;
	}
	return 0;
}

struct symbol symbolizer_find(const struct symbolizer *s, uint64_t frame)
{
	const uint32_t *index = is_native(frame) ? table_find(&s->by_frame, frame) : NULL;
	struct symbol unknown = { 0 };

	if (index)
		return ((const struct symbol *)(const void *)s->symbols.data)[*index];
	if (ht_frame_tag(frame) == HT_FRAME_RAW)
		unknown.address = ht_frame_raw_address(frame);
	else if (is_native(frame))
		unknown.address = ht_frame_offset(frame);
	return unknown;
}
