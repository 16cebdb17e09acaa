// SPDX-License-Identifier: GPL-2.0-or-later
#include "cfi.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>

#define REMEMBERED_MAX 16 /* nested remember_state; compilers use one */

/* --- addresses -------------------------------------------------------------------------------- */

bool cfi_address(struct bytes *b, uint8_t encoding, uint8_t size, uint64_t here, uint64_t *value)
{
	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
		*value = bytes_uint(b, size);
		break;
	case DW_EH_PE_uleb128:
		*value = bytes_uleb(b);
		break;
	case DW_EH_PE_udata2:
		*value = bytes_uint(b, 2);
		break;
	case DW_EH_PE_udata4:
		*value = bytes_uint(b, 4);
		break;
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		*value = bytes_uint(b, 8);
		break;
	case DW_EH_PE_sleb128:
		*value = (uint64_t)bytes_sleb(b);
		break;
	case DW_EH_PE_sdata2:
		*value = (uint64_t)(int16_t)bytes_uint(b, 2);
		break;
	case DW_EH_PE_sdata4:
		*value = (uint64_t)(int32_t)bytes_uint(b, 4);
		break;
	default:
		return false;
	}
	switch (encoding & 0xf0) {
	case 0:
		return !b->bad;
	case DW_EH_PE_pcrel:
		*value += here;
		return !b->bad;
	default: /* relative to text or data, indirect: no linker for x86-64 writes them here */
		return false;
	}
}

/* --- entries ----------------------------------------------------------------------------------- */

static struct cfi_cie *cie_at(const struct cfi *cfi, uint32_t index)
{
	return (struct cfi_cie *)(void *)cfi->cies.data + index;
}

static bool run(const struct cfi *cfi, const struct cfi_cie *cie, struct bytes program,
	struct cfi_state *state, uint64_t start, struct unwind_rows *rows, uint64_t end);

/* "zRS" and the like: what a letter says is either needed here or skipped by the length that z gives. */
static bool read_augmentation(struct cfi_cie *cie, const char *letters, struct bytes *b)
{
	struct bytes data;
	uint64_t length, ignored;

	if (!*letters)
		return true;
	if (*letters != 'z')
		return false;
	cie->augmented = true;
	length = bytes_uleb(b);
	data.at = bytes_skip(b, length);
	if (!data.at)
		return false;
	data.end = data.at + length;
	data.bad = false;
	for (letters++; *letters; letters++) {
		switch (*letters) {
		case 'R':
			cie->encoding = bytes_u8(&data);
			break;
		case 'L':
			bytes_u8(&data);
			break;
		case 'P': { /* only its size matters: the personality may be an indirect pointer */
			uint8_t encoding = bytes_u8(&data);

			if (encoding != DW_EH_PE_omit &&
				!cfi_address(&data, encoding & 0x0f, cie->addresses, 0, &ignored))
				return false;
			break;
		}
		case 'S':
		case 'B':
			break;
		default: /* unknown, and so what follows: R comes before it, or is not there */
			return true;
		}
	}
	return !data.bad;
}

static bool read_cie(const struct cfi *cfi, struct cfi_cie *cie, struct bytes b)
{
	uint8_t version = bytes_u8(&b);
	const char *letters = (const char *)b.at;
	const uint8_t *nul = memchr(b.at, 0, bytes_left(&b));

	cie->encoding = DW_EH_PE_absptr;
	cie->addresses = 8;
	if (!nul || (version != 1 && version != 3 && version != 4))
		return false;
	b.at = nul + 1;
	if (version == 4) {
		cie->addresses = bytes_u8(&b);
		if (bytes_u8(&b) || cie->addresses > 8) /* segments: not on this machine */
			return false;
	}
	cie->code_align = bytes_uleb(&b);
	cie->data_align = bytes_sleb(&b);
	cie->ra = (uint32_t)(version == 1 ? bytes_u8(&b) : bytes_uleb(&b));
	if (!read_augmentation(cie, letters, &b) || b.bad || cie->ra != CFI_RA)
		return false;
	return run(cfi, cie, b, &cie->initial, 0, NULL, 0);
}

/* An entry's extent: after its length, and the offset of the field that tells its kind. */
struct entry {
	struct bytes b; /* behind that field */
	uint64_t at;	/* of the entry */
	uint64_t id_at;
	uint64_t id;
};

/* False at the end. */
static bool next_entry(const struct cfi_section *s, uint64_t *at, struct entry *e)
{
	struct bytes b = { .at = s->data + *at, .end = s->data + s->length };
	uint64_t length = bytes_uint(&b, 4);
	size_t id_bytes = 4;

	if (length == 0xffffffff) {
		length = bytes_uint(&b, 8);
		if (s->debug_frame)
			id_bytes = 8;
	}
	if (b.bad || !length || length > bytes_left(&b) || length < id_bytes)
		return false;
	b.end = b.at + length;
	e->at = *at;
	e->id_at = (uint64_t)(b.at - s->data);
	e->id = bytes_uint(&b, id_bytes);
	if (id_bytes == 4 && s->debug_frame && e->id == 0xffffffff)
		e->id = UINT64_MAX;
	e->b = b;
	*at = (uint64_t)(b.end - s->data);
	return true;
}

static bool is_cie(const struct cfi_section *s, const struct entry *e)
{
	return s->debug_frame ? e->id == UINT64_MAX : !e->id;
}

/* Common entries are few and come first, in ascending order: found by halves. */
static int find_cie(const struct cfi *cfi, uint64_t at)
{
	size_t low = 0, high = cfi->cies.length / sizeof(struct cfi_cie);

	while (low < high) {
		size_t middle = (low + high) / 2;
		uint64_t found = cie_at(cfi, (uint32_t)middle)->at;

		if (found == at)
			return (int)middle;
		if (found < at)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

static bool read_fde(struct cfi *cfi, const struct entry *e)
{
	const struct cfi_section *s = &cfi->section;
	struct bytes b = e->b;
	int index = find_cie(cfi, s->debug_frame ? e->id : e->id_at - e->id);
	const struct cfi_cie *cie = index < 0 ? NULL : cie_at(cfi, (uint32_t)index);
	struct cfi_fde fde = { .cie = (uint32_t)index };
	uint64_t length, here;

	if (!cie || cie->broken)
		return false;
	here = s->address + (uint64_t)(b.at - s->data);
	if (!cfi_address(&b, cie->encoding, cie->addresses, here, &fde.start) ||
		!cfi_address(&b, cie->encoding & 0x0f, cie->addresses, 0, &length))
		return false;
	if (cie->augmented)
		bytes_skip(&b, bytes_uleb(&b));
	if (b.bad || length > UINT64_MAX - fde.start)
		return false;
	fde.end = fde.start + length;
	fde.program = (uint64_t)(b.at - s->data);
	fde.program_bytes = (uint32_t)bytes_left(&b);
	if (length)
		buffer_append(&cfi->fdes, &fde, sizeof(fde));
	return true;
}

static int compare_fdes(const void *a, const void *b)
{
	const struct cfi_fde *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void sort_fdes(struct cfi *cfi)
{
	struct cfi_fde *fdes = (void *)cfi->fdes.data;
	size_t count = cfi->fdes.length / sizeof(*fdes);

	/* Linkers keep the order of the input, which mostly is that of the text. */
	for (size_t i = 1; i < count; i++) {
		if (fdes[i].start < fdes[i - 1].start) {
			qsort(fdes, count, sizeof(*fdes), compare_fdes);
			return;
		}
	}
}

int cfi_read(struct cfi *cfi, const struct cfi_section *section)
{
	uint64_t at = 0;
	struct entry e;

	*cfi = (struct cfi){ .section = *section };
	/* Twice: in .debug_frame a common entry may stand behind those that use it. */
	while (next_entry(section, &at, &e)) {
		struct cfi_cie cie = { .at = e.at };

		if (!is_cie(section, &e))
			continue;
		cie.broken = !read_cie(cfi, &cie, e.b);
		buffer_append(&cfi->cies, &cie, sizeof(cie));
	}
	for (at = 0; next_entry(section, &at, &e);)
		if (!is_cie(section, &e) && !read_fde(cfi, &e))
			cfi->broken++;
	if (buffer_failed(&cfi->cies) || buffer_failed(&cfi->fdes))
		return -ENOMEM;
	sort_fdes(cfi);
	return 0;
}

void cfi_release(struct cfi *cfi)
{
	buffer_release(&cfi->cies);
	buffer_release(&cfi->fdes);
}

/* --- programs ---------------------------------------------------------------------------------- */

/* A program as it runs. */
struct machine {
	const struct cfi *cfi;
	const struct cfi_cie *cie;
	struct bytes b;
	struct cfi_state s;
	uint64_t pc;
	uint64_t end;
	struct unwind_rows *rows; /* NULL: the program of a common entry */
	uint32_t remembered;
	struct cfi_state memory[REMEMBERED_MAX];
};

static struct cfi_saved *saved_of(struct cfi_state *s, uint64_t reg)
{
	switch (reg) {
	case CFI_RBX:
		return &s->rbx;
	case CFI_RBP:
		return &s->rbp;
	case CFI_RSP:
		return &s->rsp;
	case CFI_RA:
		return &s->ra;
	default:
		return NULL;
	}
}

static void set_saved(struct machine *m, uint64_t reg, enum cfi_how how, int64_t offset)
{
	struct cfi_saved *saved = saved_of(&m->s, reg);

	if (saved)
		*saved = (struct cfi_saved){ how, offset };
}

static int64_t scaled(const struct machine *m, uint64_t factor)
{
	return (int64_t)(factor * (uint64_t)m->cie->data_align);
}

static void restore(struct machine *m, uint64_t reg)
{
	struct cfi_state initial = m->cie->initial;
	struct cfi_saved *saved = saved_of(&m->s, reg);

	if (saved)
		*saved = *saved_of(&initial, reg);
}

/* The row so far holds up to the new address. */
static bool advance(struct machine *m, uint64_t delta)
{
	if (!m->rows || delta > m->end - m->pc)
		return false;
	if (delta)
		unwind_rows_add(m->rows, m->pc, cfi_rule(&m->s));
	m->pc += delta;
	return true;
}

static struct bytes block(struct machine *m)
{
	uint64_t length = bytes_uleb(&m->b);
	const uint8_t *at = bytes_skip(&m->b, length);

	return at ? (struct bytes){ .at = at, .end = at + length } : (struct bytes){ .bad = true };
}

static void define_cfa(struct machine *m, uint64_t reg, int64_t offset)
{
	m->s.cfa = CFI_CFA_REGISTER;
	m->s.reg = reg > UINT8_MAX ? UINT8_MAX : (uint32_t)reg;
	m->s.offset = offset;
	m->s.plus = 0;
}

static bool run_cfa(struct machine *m, uint8_t op)
{
	uint64_t reg;

	switch (op) {
	case DW_CFA_def_cfa:
		reg = bytes_uleb(&m->b);
		define_cfa(m, reg, (int64_t)bytes_uleb(&m->b));
		return true;
	case DW_CFA_def_cfa_sf:
		reg = bytes_uleb(&m->b);
		define_cfa(m, reg, scaled(m, (uint64_t)bytes_sleb(&m->b)));
		return true;
	case DW_CFA_def_cfa_register:
		reg = bytes_uleb(&m->b);
		if (m->s.cfa != CFI_CFA_REGISTER)
			return false;
		define_cfa(m, reg, m->s.offset);
		return true;
	case DW_CFA_def_cfa_offset:
	case DW_CFA_def_cfa_offset_sf:
		if (m->s.cfa != CFI_CFA_REGISTER)
			return false;
		m->s.offset = op == DW_CFA_def_cfa_offset ? (int64_t)bytes_uleb(&m->b)
							  : scaled(m, (uint64_t)bytes_sleb(&m->b));
		return true;
	case DW_CFA_def_cfa_expression:
		cfi_cfa_expression(&m->s, block(m));
		return true;
	default:
		return false;
	}
}

static bool run_saved(struct machine *m, uint8_t op)
{
	uint64_t reg = bytes_uleb(&m->b);
	struct cfi_saved *saved = saved_of(&m->s, reg), found;

	switch (op) {
	case DW_CFA_offset_extended:
		set_saved(m, reg, CFI_AT_CFA, scaled(m, bytes_uleb(&m->b)));
		return true;
	case DW_CFA_offset_extended_sf:
		set_saved(m, reg, CFI_AT_CFA, scaled(m, (uint64_t)bytes_sleb(&m->b)));
		return true;
	case DW_CFA_GNU_negative_offset_extended:
		set_saved(m, reg, CFI_AT_CFA, scaled(m, -bytes_uleb(&m->b)));
		return true;
	case DW_CFA_undefined:
		set_saved(m, reg, CFI_UNDEFINED, 0);
		return true;
	case DW_CFA_same_value:
		set_saved(m, reg, CFI_SAME, 0);
		return true;
	case DW_CFA_restore_extended:
		restore(m, reg);
		return true;
	case DW_CFA_register:
	case DW_CFA_val_offset:
		bytes_uleb(&m->b);
		set_saved(m, reg, CFI_UNKNOWN, 0);
		return true;
	case DW_CFA_val_offset_sf:
		bytes_sleb(&m->b);
		set_saved(m, reg, CFI_UNKNOWN, 0);
		return true;
	case DW_CFA_expression:
	case DW_CFA_val_expression:
		found = cfi_saved_expression(block(m));
		if (op == DW_CFA_val_expression)
			found.how = CFI_UNKNOWN;
		if (saved)
			*saved = found;
		return true;
	default:
		return false;
	}
}

static bool set_location(struct machine *m)
{
	uint64_t here = m->cfi->section.address + (uint64_t)(m->b.at - m->cfi->section.data), to;

	return cfi_address(&m->b, m->cie->encoding, m->cie->addresses, here, &to) && to >= m->pc &&
	       advance(m, to - m->pc);
}

static bool run_one(struct machine *m, uint8_t op)
{
	switch (op & 0xc0) {
	case DW_CFA_advance_loc:
		return advance(m, (op & 0x3f) * m->cie->code_align);
	case DW_CFA_offset:
		set_saved(m, op & 0x3f, CFI_AT_CFA, scaled(m, bytes_uleb(&m->b)));
		return true;
	case DW_CFA_restore:
		restore(m, op & 0x3f);
		return true;
	}
	switch (op) {
	case DW_CFA_nop:
		return true;
	case DW_CFA_set_loc:
		return set_location(m);
	case DW_CFA_advance_loc1:
		return advance(m, bytes_u8(&m->b) * m->cie->code_align);
	case DW_CFA_advance_loc2:
		return advance(m, bytes_uint(&m->b, 2) * m->cie->code_align);
	case DW_CFA_advance_loc4:
		return advance(m, bytes_uint(&m->b, 4) * m->cie->code_align);
	case DW_CFA_remember_state:
		if (m->remembered == REMEMBERED_MAX)
			return false;
		m->memory[m->remembered++] = m->s;
		return true;
	case DW_CFA_restore_state:
		if (!m->remembered)
			return false;
		m->s = m->memory[--m->remembered];
		return true;
	case DW_CFA_GNU_args_size:
		bytes_uleb(&m->b);
		return true;
	default:
		return run_cfa(m, op) || run_saved(m, op);
	}
}

static bool run(const struct cfi *cfi, const struct cfi_cie *cie, struct bytes program,
	struct cfi_state *state, uint64_t start, struct unwind_rows *rows, uint64_t end)
{
	/* Not initialised as a whole: what is remembered is written before it is read. */
	struct machine m;
	bool ok = true;

	m.cfi = cfi;
	m.cie = cie;
	m.b = program;
	m.s = *state;
	m.pc = start;
	m.end = end;
	m.rows = rows;
	m.remembered = 0;
	while (ok && m.b.at < m.b.end)
		ok = run_one(&m, bytes_u8(&m.b)) && !m.b.bad;
	if (rows)
		unwind_rows_add(rows, m.pc, ok ? cfi_rule(&m.s) : HT_CFA_UNSUPPORTED);
	*state = m.s;
	return ok;
}

bool cfi_run(const struct cfi *cfi, const struct cfi_fde *fde, struct unwind_rows *rows)
{
	const struct cfi_cie *cie = cie_at(cfi, fde->cie);
	const uint8_t *program = cfi->section.data + fde->program;
	struct cfi_state state = cie->initial;

	return run(cfi, cie, (struct bytes){ .at = program, .end = program + fde->program_bytes },
		&state, fde->start, rows, fde->end);
}
