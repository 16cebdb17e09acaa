// SPDX-License-Identifier: GPL-2.0-or-later
#include "symtab.h"

#include <errno.h>
#include <gelf.h>
#include <string.h>

#include "../base/parse.h"

#define MAX_NESTED 64 /* symbols looked through for one that covers an address */

struct candidate {
	uint64_t start, end;
	unsigned int rank;
	const char *name;
};

struct search {
	const uint64_t *addresses;
	size_t count;
	struct buffer covering; /* struct candidate []: those with a size around an address */
	struct candidate *bare; /* an address: the nearest before it without a size */
	uint64_t *floor; /* an address: where the last function that ends before it does so */
};

size_t symtab_first(const uint64_t *addresses, size_t count, uint64_t address)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (addresses[middle] < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Of several names of one function the one that its users know: public, without underscores. */
static unsigned int rank_of(const GElf_Sym *symbol, const char *name)
{
	unsigned int binding = GELF_ST_BIND(symbol->st_info), underscores = 0;

	while (name[underscores] == '_' && underscores < 255)
		underscores++;
	return (binding == STB_GLOBAL || binding == STB_GNU_UNIQUE ? 2U
		       : binding == STB_WEAK			   ? 1U
								   : 0U)
		       << 8 |
	       (255 - underscores);
}

static int better(const struct candidate *a, const struct candidate *b)
{
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int order = better(x, y);

	return order ? order : strcmp(y->name, x->name);
}

static void add_sized(struct search *s, const struct candidate *c)
{
	size_t first = symtab_first(s->addresses, s->count, c->start), behind;

	if (first < s->count && s->addresses[first] < c->end)
		buffer_append(&s->covering, c, sizeof(*c));
	behind = symtab_first(s->addresses, s->count, c->end);
	if (behind < s->count && s->floor[behind] < c->end)
		s->floor[behind] = c->end;
}

static void add_bare(struct search *s, const struct candidate *c)
{
	size_t first = symtab_first(s->addresses, s->count, c->start);

	if (first < s->count && (!s->bare[first].name || better(&s->bare[first], c) < 0))
		s->bare[first] = *c;
}

/* A symbol without a size may reach to the end of its section. */
static uint64_t section_end(Elf *elf, size_t index)
{
	Elf_Scn *section = elf_getscn(elf, index);
	GElf_Shdr header;

	if (!section || !gelf_getshdr(section, &header) || !(header.sh_flags & SHF_EXECINSTR))
		return 0;
	return header.sh_addr + header.sh_size;
}

static void add_symbol(struct search *s, Elf *elf, size_t names, const GElf_Sym *symbol)
{
	unsigned int type = GELF_ST_TYPE(symbol->st_info);
	struct candidate c = { .start = symbol->st_value };

	if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS ||
		(type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE))
		return;
	if (c.start > s->addresses[s->count - 1] || symbol->st_size > UINT64_MAX - c.start)
		return;
	c.end = symbol->st_size ? c.start + symbol->st_size : section_end(elf, symbol->st_shndx);
	if (c.end <= c.start)
		return;
	c.name = elf_strptr(elf, names, symbol->st_name);
	/* "$x" and the like mark code and data for disassemblers. */
	if (!c.name || !*c.name || *c.name == '$')
		return;
	c.rank = rank_of(symbol, c.name);
	if (symbol->st_size)
		add_sized(s, &c);
	else
		add_bare(s, &c);
}

static void add_table(struct search *s, Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t entry = gelf_fsize(elf, ELF_T_SYM, 1, EV_CURRENT);
	size_t count = data && entry ? data->d_size / entry : 0;

	for (size_t i = 0; i < count && i < INT32_MAX; i++) {
		GElf_Sym symbol;

		if (!gelf_getsym(data, (int)i, &symbol))
			break;
		add_symbol(s, elf, header->sh_link, &symbol);
	}
}

static void add_file(struct search *s, Elf *elf)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;

		parse_progress();
		if (gelf_getshdr(section, &header) &&
			(header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM))
			add_table(s, elf, section, &header);
	}
}

static const struct candidate *innermost(const struct search *s, uint64_t address)
{
	const struct candidate *all = (const void *)s->covering.data;
	size_t low = 0, high = s->covering.length / sizeof(*all);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (all[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = 0; i < MAX_NESTED && i < low; i++)
		if (address < all[low - 1 - i].end)
			return &all[low - 1 - i];
	return NULL;
}

static void decide(struct search *s, struct symtab_match *matches)
{
	struct candidate bare = { 0 };
	uint64_t floor = 0;

	if (s->covering.length)
		qsort(s->covering.data, s->covering.length / sizeof(struct candidate),
			sizeof(struct candidate), compare);
	for (size_t i = 0; i < s->count; i++) {
		const struct candidate *c = innermost(s, s->addresses[i]);

		if (s->bare[i].name)
			bare = s->bare[i];
		if (s->floor[i] > floor)
			floor = s->floor[i];
		if (!c && bare.name && s->addresses[i] < bare.end && bare.start >= floor)
			c = &bare;
		matches[i] =
			c ? (struct symtab_match){ c->name, c->start } : (struct symtab_match){ 0 };
	}
}

int symtab_find(Elf *const *files, size_t file_count, const uint64_t *addresses, size_t count,
	struct symtab_match *matches)
{
	struct candidate *bare CLEANUP_FREE = calloc(count + 1, sizeof(*bare));
	uint64_t *floor CLEANUP_FREE = calloc(count + 1, sizeof(*floor));
	struct search s = { addresses, count, { 0 }, bare, floor };
	int error;

	if (!bare || !floor)
		return -ENOMEM;
	for (size_t i = 0; i < file_count && count; i++)
		if (files[i])
			add_file(&s, files[i]);
	error = buffer_failed(&s.covering);
	if (!error)
		decide(&s, matches);
	buffer_release(&s.covering);
	return error;
}
