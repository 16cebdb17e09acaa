// SPDX-License-Identifier: GPL-2.0-or-later
#include "symbolizer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#include "../base/err.h"
#include "../base/strings.h"
#include "../base/table.h"
#include "symbols.h"

#define MAX_TEXT 65536U /* bytes of a name; longer ones are no help */

struct known_module {
	char *path; /* NULL: not set */
	int fd;
};

struct place {
	uint64_t address;
	uint64_t function_offset;
	uint32_t first_level;
	uint32_t level_count;
};

struct symbolizer {
	struct strings texts;
	struct table by_frame; /* frame -> index of places */
	struct buffer places;  /* struct place [] */
	struct buffer levels;  /* struct symbol_level [] */
	struct known_module *modules;
	uint32_t module_count;
	atomic_bool cancelled;
};

struct symbolizer *symbolizer_new(void)
{
	return calloc(1, sizeof(struct symbolizer));
}

void symbolizer_free(struct symbolizer *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->module_count; i++) {
		cleanup_close(&s->modules[i].fd);
		free(s->modules[i].path);
	}
	free(s->modules);
	strings_release(&s->texts);
	buffer_release(&s->places);
	buffer_release(&s->levels);
	table_release(&s->by_frame);
	free(s);
}

void symbolizer_cancel(struct symbolizer *s)
{
	atomic_store(&s->cancelled, true);
}

/* --- modules --------------------------------------------------------------------------------- */

void symbolizer_set_process(struct symbolizer *s, pid_t pid)
{
	(void)s;
	(void)pid;
}

int symbolizer_set_module(struct symbolizer *s, uint32_t id, const char *path, int fd)
{
	struct known_module m = { .fd = -1 };

	while (s->module_count <= id) {
		struct known_module *modules =
			realloc(s->modules, (s->module_count + 1UL) * sizeof(*modules));

		if (!modules)
			return -ENOMEM;
		s->modules = modules;
		modules[s->module_count++] = m;
	}
	if (fd >= 0) {
		m.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (m.fd < 0)
			return -errno;
	}
	m.path = strdup(path);
	if (!m.path) {
		cleanup_close(&m.fd);
		return -ENOMEM;
	}
	s->modules[id] = m;
	return 0;
}

uint32_t symbolizer_module_count(const struct symbolizer *s)
{
	return s->module_count;
}

/* --- answers --------------------------------------------------------------------------------- */

/* An answer comes from a parser that a file may have taken over: believed only within its bounds. */
static int read_text(
	struct symbolizer *s, const struct buffer *answer, uint32_t at, const char **text)
{
	const char *start;
	size_t rest, length;

	*text = NULL;
	if (at >= answer->length)
		return 0;
	start = (const char *)answer->data + at;
	rest = answer->length - at;
	length = strnlen(start, rest < MAX_TEXT ? rest : MAX_TEXT);
	if (!length || length == rest || length == MAX_TEXT)
		return 0;
	*text = strings_intern(&s->texts, start, length);
	return *text ? 0 : -ENOMEM;
}

static int add_level(struct symbolizer *s, const struct buffer *answer, uint32_t at, bool inlined)
{
	struct symbols_level from;
	struct symbol_level level = { .inlined = inlined };

	memcpy(&from, answer->data + at, sizeof(from));
	if (read_text(s, answer, from.function, &level.function) ||
		read_text(s, answer, from.file, &level.file))
		return -ENOMEM;
	level.line = level.file ? from.line : 0;
	buffer_append(&s->levels, &level, sizeof(level));
	return buffer_failed(&s->levels);
}

static int add_levels(struct symbolizer *s, const struct buffer *answer,
	const struct symbols_answer *a, struct place *place)
{
	size_t bytes = a->level_count * sizeof(struct symbols_level);

	if (a->level_count > SYMBOLS_MAX_LEVELS || bytes > answer->length ||
		a->levels > answer->length - bytes)
		return 0;
	for (uint32_t i = 0; i < a->level_count; i++)
		if (add_level(s, answer, a->levels + i * (uint32_t)sizeof(struct symbols_level),
			    i + 1 < a->level_count))
			return -ENOMEM;
	place->level_count = a->level_count;
	place->address = a->address;
	place->function_offset = a->function_offset;
	return 0;
}

static int remember(struct symbolizer *s, uint64_t frame, const struct place *place)
{
	uint32_t *index;
	bool added;

	buffer_append(&s->places, place, sizeof(*place));
	if (buffer_failed(&s->places))
		return -ENOMEM;
	index = table_add(&s->by_frame, frame, &added);
	if (!index)
		return -ENOMEM;
	*index = (uint32_t)(s->places.length / sizeof(*place)) - 1;
	return 0;
}

/* The i-th answer, or unknown when there is none. */
static int remember_answer(
	struct symbolizer *s, uint64_t frame, const struct buffer *answer, size_t i)
{
	struct place place = {
		.address = ht_frame_offset(frame),
		.first_level = (uint32_t)(s->levels.length / sizeof(struct symbol_level)),
	};
	struct symbols_answer a;

	if (answer->length / sizeof(a) > i) {
		memcpy(&a, answer->data + i * sizeof(a), sizeof(a));
		if (add_levels(s, answer, &a, &place))
			return -ENOMEM;
	}
	return remember(s, frame, &place);
}

/* --- looking up ------------------------------------------------------------------------------ */

static bool is_native(uint64_t frame)
{
	enum ht_frame_tag tag = ht_frame_tag(frame);

	return tag == HT_FRAME_CALL || tag == HT_FRAME_PC;
}

static int add_module_frames(
	struct symbolizer *s, struct known_module *m, const uint64_t *frames, size_t count)
{
	struct buffer in CLEANUP_BUFFER = { 0 }, answer CLEANUP_BUFFER = { 0 };
	const int files[SYMBOLS_FILES] = { m->fd, -1, -1 };

	for (size_t i = 0; i < count; i++) {
		struct symbols_query q = {
			.address = ht_frame_offset(frames[i]),
			.is_call = ht_frame_tag(frames[i]) == HT_FRAME_CALL,
		};

		buffer_append(&in, &q, sizeof(q));
	}
	if (buffer_failed(&in))
		return -ENOMEM;
	if (m->fd < 0 || parse_request(&symbols_parser, files, SYMBOLS_FILES, &in, &answer))
		debug("no names of %s: its frames show as offsets", m->path);
	for (size_t i = 0; i < count; i++)
		if (remember_answer(s, frames[i], &answer, i))
			return -ENOMEM;
	return 0;
}

static int compare_frames(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Those of known modules that were not looked up before, sorted, each once. */
static size_t select_new(
	const struct symbolizer *s, const uint64_t *frames, size_t count, uint64_t *new)
{
	size_t n = 0, unique = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t module = ht_frame_module(frames[i]);

		if (is_native(frames[i]) && module < s->module_count && s->modules[module].path &&
			!table_find(&s->by_frame, frames[i]))
			new[n++] = frames[i];
	}
	qsort(new, n, sizeof(*new), compare_frames);
	for (size_t i = 0; i < n; i++)
		if (!i || new[i] != new[i - 1])
			new[unique++] = new[i];
	return unique;
}

int symbolizer_add(struct symbolizer *s, const uint64_t *frames, size_t count)
{
	uint64_t *new CLEANUP_FREE = calloc(count + 1, sizeof(*new));
	size_t n, end;

	if (!new)
		return -ENOMEM;
	n = select_new(s, frames, count, new);
	/* Sorted, the frames of one tag and module stand together. */
	for (size_t first = 0; first < n; first = end) {
		uint64_t module = new[first] >> HT_FRAME_OFFSET_BITS;

		for (end = first; end < n && new[end] >> HT_FRAME_OFFSET_BITS == module; end++)
			;
		if (atomic_load(&s->cancelled))
			return -ECANCELED;
		if (add_module_frames(
			    s, &s->modules[ht_frame_module(new[first])], new + first, end - first))
			return -ENOMEM;
	}
	return 0;
}

struct symbol symbolizer_find(const struct symbolizer *s, uint64_t frame)
{
	static const struct symbol_level unknown;
	const uint32_t *index = table_find(&s->by_frame, frame);
	struct symbol symbol = { .levels = &unknown, .level_count = 1 };
	const struct place *p;

	if (ht_frame_tag(frame) == HT_FRAME_RAW)
		symbol.address = ht_frame_raw_address(frame);
	else if (is_native(frame))
		symbol.address = ht_frame_offset(frame);
	if (!index)
		return symbol;
	p = (const struct place *)(const void *)s->places.data + *index;
	symbol.address = p->address;
	symbol.function_offset = p->function_offset;
	if (p->level_count) {
		symbol.levels =
			(const struct symbol_level *)(const void *)s->levels.data + p->first_level;
		symbol.level_count = p->level_count;
	}
	return symbol;
}
