// SPDX-License-Identifier: GPL-2.0-or-later
#include "symbols.h"

#include <elfutils/libdw.h>
#include <errno.h>
#include <libiberty/demangle.h>
#include <string.h>

#include "../base/table.h"
#include "code.h"
#include "minidebug.h"
#include "path.h"
#include "sections.h"
#include "source.h"
#include "symtab.h"

enum text_kind { TEXT_NAME, TEXT_MANGLED, TEXT_PATH };

struct request {
	Elf *files[SYMBOLS_FILES + 1]; /* and what is packed in the module */
	struct buffer minidebug;
	Dwarf *dwarf, *supplementary;
	struct code code;
	size_t count; /* of addresses: sorted, each once */
	uint64_t *addresses;
	struct symtab_match *matches;
	struct source_place *places;
	struct buffer levels; /* struct source_level [] */
	struct table
		texts; /* where a text stands in the file, and its kind -> where in the answer */
	struct buffer *out;
};

static void end_request(struct request *r)
{
	dwarf_end(r->dwarf);
	dwarf_end(r->supplementary);
	for (size_t i = 0; i < ARRAY_SIZE(r->files); i++)
		elf_end(r->files[i]);
	buffer_release(&r->minidebug);
	free(r->addresses);
	free(r->matches);
	free(r->places);
	buffer_release(&r->levels);
	table_release(&r->texts);
}

/* --- files ----------------------------------------------------------------------------------- */

static void open_dwarf(struct request *r)
{
	Elf *elf = r->files[SYMBOLS_MODULE];

	if (!sections_have_dwarf(elf))
		elf = r->files[SYMBOLS_DEBUG];
	if (!elf)
		return;
	r->dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	if (!r->dwarf)
		return;
	if (r->files[SYMBOLS_SUPPLEMENTARY])
		r->supplementary =
			dwarf_begin_elf(r->files[SYMBOLS_SUPPLEMENTARY], DWARF_C_READ, NULL);
	/*
	 * Without one elfutils would open the name that the file holds, of a FIFO perhaps. -1 is
	 * its own mark of one that was looked for and not found (libdw/dwarf_getalt.c).
	 */
	dwarf_setalt(r->dwarf, r->supplementary ? r->supplementary : (Dwarf *)-1);
}

static int open_files(struct request *r, const int *files, size_t count)
{
	for (size_t i = 0; i < count && i < SYMBOLS_FILES; i++)
		r->files[i] = sections_open(files[i]);
	if (!r->files[SYMBOLS_MODULE])
		return -ENOEXEC;
	r->files[SYMBOLS_FILES] = minidebug_open(r->files[SYMBOLS_MODULE], &r->minidebug);
	code_open(&r->code, r->files[SYMBOLS_MODULE], files[SYMBOLS_MODULE]);
	open_dwarf(r);
	return 0;
}

/* --- the answer ------------------------------------------------------------------------------ */

/* C++ and Rust names as their programmers wrote them; others as they are. */
static char *demangled(const char *name)
{
	char *text = cplus_demangle(name, DMGL_PARAMS | DMGL_ANSI | DMGL_AUTO);

	return text ? text : strdup(name);
}

static char *joined(const char *directory, const char *file)
{
	char *path;

	if (!directory || *file == '/')
		path = strdup(file);
	else if (asprintf(&path, "%s/%s", directory, file) < 0)
		path = NULL;
	if (path)
		path_clean(path);
	return path;
}

/*
 * Each text of the files once: a demangled name costs more than all else of its frame. Where it
 * stands tells it from others; a file's is of one unit, so of one directory.
 */
static uint32_t add_text(
	struct request *r, const char *text, enum text_kind kind, const char *directory)
{
	char *copy CLEANUP_FREE = NULL;
	uint32_t *at;
	bool added;

	if (!text)
		return SYMBOLS_NO_TEXT;
	at = table_add(&r->texts, (uint64_t)(uintptr_t)text * 4 + kind, &added);
	if (!at) {
		r->out->failed = true;
		return SYMBOLS_NO_TEXT;
	}
	if (!added)
		return *at;
	*at = r->out->length < SYMBOLS_NO_TEXT ? (uint32_t)r->out->length : SYMBOLS_NO_TEXT;
	copy = kind == TEXT_MANGLED ? demangled(text)
	       : kind == TEXT_PATH  ? joined(directory, text)
				    : strdup(text);
	if (copy)
		buffer_append(r->out, copy, strlen(copy) + 1);
	r->out->failed |= !copy;
	return *at;
}

static uint32_t add_function(struct request *r, const struct source_level *level)
{
	return add_text(r, level->function, level->mangled ? TEXT_MANGLED : TEXT_NAME, NULL);
}

/*
 * The levels of one address. The real function is named by its symbol, which tells clones and cold
 * parts apart, and by DWARF where there is none.
 */
static void answer_levels(struct request *r, size_t i, struct symbols_answer *a)
{
	const struct source_place *place = &r->places[i];
	const struct source_level *from =
		(const struct source_level *)(const void *)r->levels.data + place->first_level;
	struct symbols_level levels[SYMBOLS_MAX_LEVELS];
	uint32_t n = place->level_count, last;

	if (n > SYMBOLS_MAX_LEVELS)
		n = SYMBOLS_MAX_LEVELS;
	levels[0] = (struct symbols_level){ SYMBOLS_NO_TEXT, SYMBOLS_NO_TEXT, 0 };
	for (uint32_t k = 0; k < n; k++)
		levels[k] = (struct symbols_level){
			add_function(r, &from[k]),
			add_text(r, from[k].file, TEXT_PATH, from[k].directory),
			from[k].line,
		};
	last = n ? n - 1 : 0;
	if (r->matches[i].name)
		levels[last].function = add_text(r, r->matches[i].name, TEXT_MANGLED, NULL);
	a->levels = (uint32_t)r->out->length;
	a->level_count = last + 1;
	buffer_append(r->out, levels, a->level_count * sizeof(*levels));
}

static void answer_query(struct request *r, const struct symbols_query *query, size_t index)
{
	size_t i = symtab_first(r->addresses, r->count, query->address);
	uint64_t start = r->matches[i].name ? r->matches[i].start : r->places[i].start;
	struct symbols_answer a = { .address = query->address };

	if (query->is_call)
		a.address = code_call_before(&r->code, query->address + 1, start);
	if (start)
		a.function_offset = a.address - start;
	answer_levels(r, i, &a);
	if (!buffer_failed(r->out))
		memcpy(r->out->data + index * sizeof(a), &a, sizeof(a));
}

static int compare_addresses(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int sort_addresses(struct request *r, const struct symbols_query *queries, size_t count)
{
	r->addresses = calloc(count + 1, sizeof(*r->addresses));
	r->matches = calloc(count + 1, sizeof(*r->matches));
	r->places = calloc(count + 1, sizeof(*r->places));
	if (!r->addresses || !r->matches || !r->places)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		r->addresses[i] = queries[i].address;
	qsort(r->addresses, count, sizeof(*r->addresses), compare_addresses);
	for (size_t i = 0; i < count; i++)
		if (!i || r->addresses[i] != r->addresses[i - 1])
			r->addresses[r->count++] = r->addresses[i];
	return 0;
}

static int symbols_parse(
	const int *files, size_t file_count, const struct buffer *in, struct buffer *out)
{
	const struct symbols_query *queries = (const void *)in->data;
	size_t count = in->length / sizeof(*queries);
	struct request r CLEANUP(end_request) = { .out = out };
	int error = open_files(&r, files, file_count);

	if (!error)
		error = sort_addresses(&r, queries, count);
	if (!error)
		error = symtab_find(r.files, ARRAY_SIZE(r.files), r.addresses, r.count, r.matches);
	if (!error && r.dwarf)
		error = source_find(r.dwarf, r.addresses, r.count, r.places, &r.levels);
	if (error)
		return error;
	if (!buffer_extend(out, count * sizeof(struct symbols_answer)))
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		answer_query(&r, &queries[i], i);
		parse_progress();
	}
	return buffer_failed(out);
}

const struct parser symbols_parser = { "symbols", symbols_parse };
