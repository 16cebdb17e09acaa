// SPDX-License-Identifier: GPL-2.0-or-later
#include "symbolizer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/err.h"
#include "../base/strings.h"
#include "../base/table.h"
#include "../target/rooted.h"
#include "debugfile.h"
#include "perfmap.h"
#include "symbols.h"

#define MAX_TEXT 65536U /* bytes of a name; longer ones are no help */

struct known_module {
	char *path; /* NULL: not set */
	int files[SYMBOLS_FILES];
	bool searched; /* for its separate files */
};

/* The JIT's own names of raw frames, by a process. */
struct jit {
	uint32_t slot;
	pid_t pid;
	uint32_t turn; /* of the slot: which process has it */
	int root;      /* of the process; -1: none */
	struct perfmap_owner owner;
	struct stat seen;     /* the map as it was read last */
	uint32_t version;     /* one more each time that it has changed */
	struct table unnamed; /* raw frame -> the version that did not name it */
};

struct place {
	uint64_t address;
	uint64_t function_offset;
	uint32_t first_level;
	uint32_t level_count;
	bool jit;
};

struct symbolizer {
	struct strings texts;
	struct table by_frame; /* frame -> index of places */
	struct buffer places;  /* struct place [] */
	struct buffer levels;  /* struct symbol_level [] */
	struct known_module *modules;
	uint32_t module_count;
	struct debugfile_finder finder;
	struct jit *jits; /* the first is of all slots that have none of their own */
	uint32_t jit_count;
	uint32_t turns;
	atomic_bool cancelled;
};

struct symbolizer *symbolizer_new(void)
{
	struct symbolizer *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->jits = calloc(1, sizeof(*s->jits));
	if (!s->jits || debugfile_open(&s->finder, 0, &s->cancelled)) {
		free(s->jits);
		free(s);
		return NULL;
	}
	s->jits[0].root = -1;
	s->jit_count = 1;
	return s;
}

static void close_module(struct known_module *m)
{
	for (size_t i = 0; i < SYMBOLS_FILES; i++)
		cleanup_close(&m->files[i]);
	free(m->path);
}

void symbolizer_free(struct symbolizer *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->module_count; i++)
		close_module(&s->modules[i]);
	free(s->modules);
	debugfile_close(&s->finder);
	for (uint32_t i = 0; i < s->jit_count; i++) {
		cleanup_close(&s->jits[i].root);
		table_release(&s->jits[i].unnamed);
	}
	free(s->jits);
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

static void own_jit(struct symbolizer *s, struct jit *jit, pid_t pid)
{
	cleanup_close(&jit->root);
	jit->root = rooted_directory(pid);
	jit->owner = perfmap_owner_of(pid);
	jit->pid = pid;
	jit->turn = s->turns++;
	jit->version++; /* what had no name may have one now */
}

int symbolizer_set_process(struct symbolizer *s, pid_t pid)
{
	struct debugfile_finder finder;
	int error = debugfile_open(&finder, pid, &s->cancelled);

	if (error)
		return error;
	debugfile_close(&s->finder);
	s->finder = finder;
	own_jit(s, &s->jits[0], pid);
	return 0;
}

/* NULL: none has that slot. */
static struct jit *jit_of_slot(const struct symbolizer *s, uint32_t slot)
{
	for (uint32_t i = 1; i < s->jit_count; i++)
		if (s->jits[i].slot == slot)
			return &s->jits[i];
	return NULL;
}

int symbolizer_set_owner(struct symbolizer *s, uint32_t slot, pid_t pid)
{
	struct jit *jit = jit_of_slot(s, slot), *all;

	if (!jit) {
		all = realloc(s->jits, (s->jit_count + 1UL) * sizeof(*all));
		if (!all)
			return -ENOMEM;
		s->jits = all;
		jit = &all[s->jit_count++];
		*jit = (struct jit){ .slot = slot, .root = -1 };
	}
	if (jit->pid != pid)
		own_jit(s, jit, pid);
	return 0;
}

static struct jit *jit_of_frame(const struct symbolizer *s, uint64_t frame)
{
	struct jit *jit = jit_of_slot(s, ht_frame_raw_slot(frame));

	return jit ? jit : &s->jits[0];
}

/* Names of raw frames are of the process that has the slot now. */
static uint64_t key_of(const struct symbolizer *s, uint64_t frame)
{
	if (ht_frame_tag(frame) != HT_FRAME_RAW)
		return frame;
	return hash_mix(frame, jit_of_frame(s, frame)->turn);
}

int symbolizer_set_module(struct symbolizer *s, uint32_t id, const char *path, int fd)
{
	struct known_module m = { .files = { -1, -1, -1 } };

	while (s->module_count <= id) {
		struct known_module *modules =
			realloc(s->modules, (s->module_count + 1UL) * sizeof(*modules));

		if (!modules)
			return -ENOMEM;
		s->modules = modules;
		modules[s->module_count++] = m;
	}
	if (fd >= 0) {
		m.files[SYMBOLS_MODULE] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (m.files[SYMBOLS_MODULE] < 0)
			return -errno;
	}
	m.path = strdup(path);
	if (!m.path) {
		close_module(&m);
		return -ENOMEM;
	}
	close_module(&s->modules[id]);
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
	index = table_add(&s->by_frame, key_of(s, frame), &added);
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

/* --- modules' frames ------------------------------------------------------------------------- */

static bool is_native(uint64_t frame)
{
	enum ht_frame_tag tag = ht_frame_tag(frame);

	return tag == HT_FRAME_CALL || tag == HT_FRAME_PC;
}

/* Once a frame asks for it: most modules of a process allocate nothing. */
static void find_debug_files(struct symbolizer *s, struct known_module *m)
{
	struct debugfiles found;

	if (m->searched)
		return;
	found = debugfile_find(&s->finder, m->files[SYMBOLS_MODULE], m->path);
	m->files[SYMBOLS_DEBUG] = found.debug;
	m->files[SYMBOLS_SUPPLEMENTARY] = found.supplementary;
	m->searched = true;
}

static int add_module_frames(
	struct symbolizer *s, struct known_module *m, const uint64_t *frames, size_t count)
{
	struct buffer in CLEANUP_BUFFER = { 0 }, answer CLEANUP_BUFFER = { 0 };

	for (size_t i = 0; i < count; i++) {
		struct symbols_query q = {
			.address = ht_frame_offset(frames[i]),
			.is_call = ht_frame_tag(frames[i]) == HT_FRAME_CALL,
		};

		buffer_append(&in, &q, sizeof(q));
	}
	if (buffer_failed(&in))
		return -ENOMEM;
	find_debug_files(s, m);
	if (m->files[SYMBOLS_MODULE] < 0 ||
		parse_request(&symbols_parser, m->files, SYMBOLS_FILES, &in, &answer))
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

static bool has_module(const struct symbolizer *s, uint64_t frame)
{
	uint32_t module = ht_frame_module(frame);

	return is_native(frame) && module < s->module_count && s->modules[module].path;
}

/* Those of modules (or the raw ones) that were not looked up before, sorted, each once. */
static size_t select_new(
	const struct symbolizer *s, bool raw, const uint64_t *frames, size_t count, uint64_t *new)
{
	size_t n = 0, unique = 0;

	for (size_t i = 0; i < count; i++) {
		bool wanted =
			raw ? ht_frame_tag(frames[i]) == HT_FRAME_RAW : has_module(s, frames[i]);

		if (wanted && !table_find(&s->by_frame, key_of(s, frames[i])))
			new[n++] = frames[i];
	}
	qsort(new, n, sizeof(*new), compare_frames);
	for (size_t i = 0; i < n; i++)
		if (!i || new[i] != new[i - 1])
			new[unique++] = new[i];
	return unique;
}

static int add_native(struct symbolizer *s, const uint64_t *new, size_t n)
{
	size_t end;

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

/* --- raw frames ------------------------------------------------------------------------------ */

static bool is_same_map(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Those that this version of the map was not asked for yet, in place. */
static size_t drop_unnamed(struct jit *j, uint64_t *frames, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const uint32_t *version = table_find(&j->unnamed, frames[i]);

		if (!version || *version != j->version)
			frames[n++] = frames[i];
	}
	return n;
}

static int remember_jit(struct symbolizer *s, struct jit *jit, uint64_t frame,
	const struct buffer *answer, size_t i)
{
	struct perfmap_answer a = { 0 };
	struct symbol_level level = { 0 };
	struct place place = {
		.address = ht_frame_raw_address(frame),
		.first_level = (uint32_t)(s->levels.length / sizeof(level)),
		.level_count = 1,
		.jit = true,
	};
	uint32_t *version;
	bool added;

	if (answer->length / sizeof(a) > i)
		memcpy(&a, answer->data + i * sizeof(a), sizeof(a));
	if (!a.name_length || a.name_length > MAX_TEXT || a.name > answer->length ||
		a.name_length > answer->length - a.name) {
		version = table_add(&jit->unnamed, frame, &added);
		if (version)
			*version = jit->version;
		return version ? 0 : -ENOMEM;
	}
	level.function =
		strings_intern(&s->texts, (const char *)answer->data + a.name, a.name_length);
	place.function_offset = place.address - a.start;
	buffer_append(&s->levels, &level, sizeof(level));
	if (!level.function || buffer_failed(&s->levels))
		return -ENOMEM;
	return remember(s, frame, &place);
}

/* Code made at run time moves, but a frame was seen not long before its name is asked for first. */
static int add_raw_of(struct symbolizer *s, struct jit *jit, uint64_t *frames, size_t count)
{
	struct buffer in CLEANUP_BUFFER = { 0 }, answer CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = count ? perfmap_open(jit->root, &jit->owner) : -1;
	struct stat now;

	if (fd < 0 || fstat(fd, &now))
		return 0;
	if (!jit->version || !is_same_map(&now, &jit->seen))
		jit->version++;
	jit->seen = now;
	count = drop_unnamed(jit, frames, count);
	for (size_t i = 0; i < count; i++) {
		uint64_t address = ht_frame_raw_address(frames[i]);

		buffer_append(&in, &address, sizeof(address));
	}
	if (buffer_failed(&in))
		return -ENOMEM;
	if (count && parse_file(&perfmap_parser, fd, &in, &answer))
		debug("no names of JIT code: its map cannot be read");
	for (size_t i = 0; i < count; i++)
		if (remember_jit(s, jit, frames[i], &answer, i))
			return -ENOMEM;
	return 0;
}

/* Sorted, they are together by slot, and in each by address. */
static int add_raw(struct symbolizer *s, uint64_t *frames, size_t count)
{
	size_t n;
	int error = 0;

	for (size_t i = 0; !error && i < count; i += n) {
		uint32_t slot = ht_frame_raw_slot(frames[i]);

		for (n = 1; i + n < count && ht_frame_raw_slot(frames[i + n]) == slot;)
			n++;
		error = add_raw_of(s, jit_of_frame(s, frames[i]), frames + i, n);
	}
	return error;
}

int symbolizer_add(struct symbolizer *s, const uint64_t *frames, size_t count)
{
	uint64_t *new CLEANUP_FREE = calloc(count + 1, sizeof(*new));
	int error;

	if (!new)
		return -ENOMEM;
	error = add_native(s, new, select_new(s, false, frames, count, new));
	return error ? error : add_raw(s, new, select_new(s, true, frames, count, new));
}

struct symbol symbolizer_find(const struct symbolizer *s, uint64_t frame)
{
	static const struct symbol_level unknown;
	const uint32_t *index = table_find(&s->by_frame, key_of(s, frame));
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
	symbol.jit = p->jit;
	if (p->level_count) {
		symbol.levels =
			(const struct symbol_level *)(const void *)s->levels.data + p->first_level;
		symbol.level_count = p->level_count;
	}
	return symbol;
}
