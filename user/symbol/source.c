// SPDX-License-Identifier: GPL-2.0-or-later
#include "source.h"

#include <dwarf.h>
#include <errno.h>
#include <string.h>

#include "../base/parse.h"
#include "symtab.h"

#define MAX_DEPTH  200	       /* of entries within entries */
#define MAX_LEVELS 64	       /* of functions inlined into each other */
#define BUDGET	   (1LL << 28) /* entries and matches: a file can be made to have no end of them */
#define NO_UNIT	   UINT32_MAX
#define NO_SCOPE   UINT32_MAX

/* A function, or one that was inlined into it or into another such. */
struct scope {
	Dwarf_Die die;
	uint32_t parent; /* NO_SCOPE: none, a real function */
	uint32_t depth;
	uint64_t start;
	const char *function;
	bool mangled;
};

/* The addresses of one unit. */
struct unit {
	Dwarf_Die *die;
	const uint64_t *addresses; /* sorted */
	size_t count;
	uint32_t *scope_of; /* an address: the deepest around it */
	struct buffer *scopes;
	int64_t *budget;
};

static struct scope *scope_at(const struct unit *u, uint32_t i)
{
	return (struct scope *)(void *)u->scopes->data + i;
}

/* The next range of an entry that may be code: what the linker dropped stands at address 0. */
static ptrdiff_t next_range(
	Dwarf_Die *die, ptrdiff_t offset, Dwarf_Addr *base, Dwarf_Addr *start, Dwarf_Addr *end)
{
	do
		offset = dwarf_ranges(die, offset, base, start, end);
	while (offset > 0 && (!*start || *end <= *start));
	return offset;
}

static bool covers_any(struct unit *u, Dwarf_Die *die)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t offset = 0;

	while ((offset = next_range(die, offset, &base, &start, &end)) > 0 && --*u->budget > 0) {
		size_t first = symtab_first(u->addresses, u->count, start);

		if (first < u->count && u->addresses[first] < end)
			return true;
	}
	return false;
}

/* Makes a scope the one of each address that it covers and no deeper one does. */
static void claim(struct unit *u, uint32_t scope)
{
	struct scope *s = scope_at(u, scope);
	Dwarf_Addr base, start, end;
	ptrdiff_t offset = 0;

	while ((offset = next_range(&s->die, offset, &base, &start, &end)) > 0) {
		size_t i = symtab_first(u->addresses, u->count, start);

		for (; i < u->count && u->addresses[i] < end && --*u->budget > 0; i++) {
			uint32_t *of = &u->scope_of[i];

			if (*of == NO_SCOPE || scope_at(u, *of)->depth < s->depth)
				*of = scope;
		}
	}
}

static int add_scope(struct unit *u, Dwarf_Die *die, uint32_t parent, uint32_t *scope)
{
	struct scope s = { .die = *die, .parent = parent };

	if (parent != NO_SCOPE)
		s.depth = scope_at(u, parent)->depth + 1;
	if (s.depth >= MAX_LEVELS - 1)
		return 0;
	if (dwarf_entrypc(die, &s.start))
		s.start = 0;
	*scope = (uint32_t)(u->scopes->length / sizeof(s));
	buffer_append(u->scopes, &s, sizeof(s));
	if (buffer_failed(u->scopes))
		return -ENOMEM;
	claim(u, *scope);
	return 0;
}

static int visit_children(struct unit *u, Dwarf_Die *die, uint32_t scope, unsigned int depth);

/* One entry of a unit or a function, and what is in it. */
static int visit_entry(struct unit *u, Dwarf_Die *die, uint32_t scope, unsigned int depth)
{
	int error;

	switch (dwarf_tag(die)) {
	case DW_TAG_namespace:
	case DW_TAG_module:
		break;
	case DW_TAG_lexical_block:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
	case DW_TAG_with_stmt:
		if (dwarf_hasattr(die, DW_AT_low_pc) || dwarf_hasattr(die, DW_AT_ranges))
			if (!covers_any(u, die))
				return 0;
		break;
	case DW_TAG_subprogram:
		scope = NO_SCOPE;
		/* fall through */
	case DW_TAG_inlined_subroutine:
		if (!covers_any(u, die))
			return 0;
		error = add_scope(u, die, scope, &scope);
		if (error)
			return error;
		break;
	default:
		return 0;
	}
	return visit_children(u, die, scope, depth + 1);
}

static int visit_children(struct unit *u, Dwarf_Die *die, uint32_t scope, unsigned int depth)
{
	Dwarf_Die child;
	int result;

	if (depth > MAX_DEPTH || !dwarf_haschildren(die))
		return 0;
	for (result = dwarf_child(die, &child); !result && --*u->budget > 0;
		result = dwarf_siblingof(&child, &child)) {
		int error = visit_entry(u, &child, scope, depth);

		if (error)
			return error;
	}
	return 0;
}

/* --- names ----------------------------------------------------------------------------------- */

static void name_scope(struct scope *s)
{
	Dwarf_Attribute attribute;

	if (s->function)
		return;
	if (dwarf_attr_integrate(&s->die, DW_AT_linkage_name, &attribute) ||
		dwarf_attr_integrate(&s->die, DW_AT_MIPS_linkage_name, &attribute))
		s->function = dwarf_formstring(&attribute);
	s->mangled = s->function != NULL;
	if (!s->function)
		s->function = dwarf_diename(&s->die);
	if (!s->function)
		s->function = "";
}

static uint32_t number_of(Dwarf_Die *die, unsigned int name)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;

	if (!dwarf_attr(die, name, &attribute) || dwarf_formudata(&attribute, &value) ||
		value > UINT32_MAX)
		return 0;
	return (uint32_t)value;
}

static const char *compilation_directory(Dwarf_Die *unit)
{
	Dwarf_Attribute attribute;

	return dwarf_attr(unit, DW_AT_comp_dir, &attribute) ? dwarf_formstring(&attribute) : NULL;
}

/* Where the next level calls the function that was inlined into it. */
static void call_site(struct unit *u, Dwarf_Die *inlined, struct source_level *level)
{
	uint32_t file = number_of(inlined, DW_AT_call_file);
	Dwarf_Files *files;
	size_t count;

	level->file = NULL;
	level->line = number_of(inlined, DW_AT_call_line);
	if (!dwarf_getsrcfiles(u->die, &files, &count) && file < count)
		level->file = dwarf_filesrc(files, file, NULL, NULL);
}

static void line_of(struct unit *u, uint64_t address, struct source_level *level)
{
	Dwarf_Line *line = dwarf_getsrc_die(u->die, address);
	int number;

	if (!line || dwarf_lineno(line, &number) || number <= 0)
		return;
	level->file = dwarf_linesrc(line, NULL, NULL);
	level->line = (uint32_t)number;
}

/* The levels of one address, innermost first. */
static int add_levels(struct unit *u, size_t i, struct source_place *place, struct buffer *levels)
{
	struct source_level level = { .directory = compilation_directory(u->die) };
	uint32_t next = u->scope_of[i];

	place->first_level = (uint32_t)(levels->length / sizeof(level));
	line_of(u, u->addresses[i], &level);
	do {
		struct scope *s = next == NO_SCOPE ? NULL : scope_at(u, next);

		level.function = NULL;
		if (s) {
			name_scope(s);
			level.function = *s->function ? s->function : NULL;
			level.mangled = s->mangled;
			place->start = s->start;
			next = s->parent;
		}
		buffer_append(levels, &level, sizeof(level));
		place->level_count++;
		if (s && next != NO_SCOPE)
			call_site(u, &s->die, &level);
	} while (next != NO_SCOPE);
	return buffer_failed(levels);
}

/* --- units ----------------------------------------------------------------------------------- */

/* Which unit an address belongs to: by the units' own ranges, since clang writes no .debug_aranges. */
static int find_units(Dwarf *dwarf, const uint64_t *addresses, size_t count, uint32_t *unit_of,
	struct buffer *units, int64_t *budget)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;

	while (!dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &die, NULL) && --*budget > 0) {
		uint32_t index = (uint32_t)(units->length / sizeof(die));
		Dwarf_Addr base, start, end;
		ptrdiff_t offset = 0;
		bool any = false;

		while ((offset = next_range(&die, offset, &base, &start, &end)) > 0 &&
			--*budget > 0) {
			size_t i = symtab_first(addresses, count, start);

			for (; i < count && addresses[i] < end && --*budget > 0; i++) {
				any |= unit_of[i] == NO_UNIT;
				if (unit_of[i] == NO_UNIT)
					unit_of[i] = index;
			}
		}
		parse_progress();
		if (any)
			buffer_append(units, &die, sizeof(die));
	}
	return buffer_failed(units);
}

static int compare_words(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

struct work {
	uint64_t *order;     /* unit : 32 | index of the address : 32, sorted */
	uint64_t *addresses; /* of one unit */
	uint32_t *scope_of;
	struct buffer scopes;
	int64_t budget;
};

/* order[first] to order[end] are one unit's. */
static int read_unit(struct work *w, Dwarf_Die *die, const uint64_t *addresses, size_t first,
	size_t end, struct source_place *places, struct buffer *levels)
{
	struct unit u = { die, w->addresses, end - first, w->scope_of, &w->scopes, &w->budget };
	int error;

	parse_progress();
	buffer_clear(&w->scopes);
	for (size_t i = 0; i < u.count; i++) {
		w->addresses[i] = addresses[(uint32_t)w->order[first + i]];
		w->scope_of[i] = NO_SCOPE;
	}
	error = visit_children(&u, die, NO_SCOPE, 0);
	for (size_t i = 0; i < u.count && !error; i++)
		error = add_levels(&u, i, &places[(uint32_t)w->order[first + i]], levels);
	return error;
}

static int read_units(struct work *w, Dwarf *dwarf, const uint64_t *addresses, size_t count,
	struct source_place *places, struct buffer *levels)
{
	struct buffer units CLEANUP_BUFFER = { 0 };
	size_t n = 0, end;
	int error;

	for (size_t i = 0; i < count; i++)
		w->scope_of[i] = NO_UNIT;
	error = find_units(dwarf, addresses, count, w->scope_of, &units, &w->budget);
	for (size_t i = 0; i < count; i++)
		if (w->scope_of[i] != NO_UNIT)
			w->order[n++] = (uint64_t)w->scope_of[i] << 32 | i;
	qsort(w->order, n, sizeof(*w->order), compare_words);
	for (size_t first = 0; first < n && !error; first = end) {
		uint64_t unit = w->order[first] >> 32;

		for (end = first; end < n && w->order[end] >> 32 == unit; end++)
			;
		error = read_unit(w, (Dwarf_Die *)(void *)units.data + unit, addresses, first, end,
			places, levels);
	}
	return error;
}

int source_find(Dwarf *dwarf, const uint64_t *addresses, size_t count, struct source_place *places,
	struct buffer *levels)
{
	uint64_t *order CLEANUP_FREE = calloc(count + 1, sizeof(*order));
	uint64_t *own CLEANUP_FREE = calloc(count + 1, sizeof(*own));
	uint32_t *scope_of CLEANUP_FREE = calloc(count + 1, sizeof(*scope_of));
	struct work w = { order, own, scope_of, { 0 }, BUDGET };
	int error;

	memset(places, 0, count * sizeof(*places));
	if (!order || !own || !scope_of)
		return -ENOMEM;
	error = read_units(&w, dwarf, addresses, count, places, levels);
	buffer_release(&w.scopes);
	return error;
}
