// SPDX-License-Identifier: GPL-2.0-or-later
/* From a row of call frame information to a rule of 64 bits. */
#include <dwarf.h>

#include "cfi.h"

/* --- expressions ------------------------------------------------------------------------------ */

/* rsp or rbp + n, as "breg" or as "breg, plus_uconst". */
static bool register_plus(struct bytes *e, uint32_t *reg, int64_t *offset)
{
	uint8_t op = bytes_u8(e);

	if (op < DW_OP_breg0 || op > DW_OP_breg31)
		return false;
	*reg = op - DW_OP_breg0;
	*offset = bytes_sleb(e);
	if (bytes_left(e) && *e->at == DW_OP_plus_uconst) {
		e->at++;
		/* The sum of two foreign numbers may wrap: as unsigned ones. */
		*offset = (int64_t)((uint64_t)*offset + bytes_uleb(e));
	}
	return !e->bad;
}

/*
 * Linkers describe all stubs of a PLT by one expression: the CFA is rsp + 8, and 8 more behind the push,
 * rip & 15 >= n.
 */
static bool is_plt(struct bytes e, int64_t *from)
{
	static const uint8_t head[] = { DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and };
	static const uint8_t tail[] = { DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus };
	const uint8_t *at = e.at;

	if (bytes_left(&e) != sizeof(head) + 1 + sizeof(tail) || memcmp(at, head, sizeof(head)) ||
		memcmp(at + sizeof(head) + 1, tail, sizeof(tail)))
		return false;
	at += sizeof(head);
	if (*at < DW_OP_lit0 || *at > DW_OP_lit15)
		return false;
	*from = *at - DW_OP_lit0;
	return true;
}

void cfi_cfa_expression(struct cfi_state *s, struct bytes e)
{
	s->cfa = CFI_CFA_UNKNOWN;
	s->plus = 0;
	if (is_plt(e, &s->offset)) {
		s->cfa = CFI_CFA_PLT;
		return;
	}
	if (!register_plus(&e, &s->reg, &s->offset))
		return;
	if (!bytes_left(&e)) {
		s->cfa = CFI_CFA_REGISTER;
		return;
	}
	if (bytes_u8(&e) != DW_OP_deref)
		return;
	if (bytes_left(&e)) {
		if (bytes_u8(&e) != DW_OP_plus_uconst)
			return;
		s->plus = (int64_t)bytes_uleb(&e);
	}
	if (!e.bad && !bytes_left(&e))
		s->cfa = CFI_CFA_DEREF;
}

struct cfi_saved cfi_saved_expression(struct bytes e)
{
	struct cfi_saved saved = { .how = CFI_UNKNOWN };
	uint32_t reg;

	if (!register_plus(&e, &reg, &saved.offset) || bytes_left(&e))
		return saved;
	if (reg == CFI_RBP)
		saved.how = CFI_AT_RBP;
	else if (reg == CFI_RSP)
		saved.how = CFI_AT_RSP;
	return saved;
}

/* --- rules ------------------------------------------------------------------------------------ */

/* Offsets of the interrupted registers in a signal frame, from its ucontext on. */
#define SIGNAL_RBP 0x78
#define SIGNAL_RSP 0xa0
#define SIGNAL_RIP 0xa8

static bool saved_at(const struct cfi_saved *s, enum cfi_how how, int64_t offset)
{
	return s->how == how && s->offset == offset;
}

static bool is_signal_frame(const struct cfi_state *s)
{
	int64_t base = s->offset - SIGNAL_RSP;

	return s->cfa == CFI_CFA_DEREF && s->reg == CFI_RSP && !s->plus &&
	       saved_at(&s->ra, CFI_AT_RSP, base + SIGNAL_RIP) &&
	       saved_at(&s->rbp, CFI_AT_RSP, base + SIGNAL_RBP) && base == (int32_t)base;
}

static bool fits(int64_t value, int64_t low, int64_t high)
{
	return value >= low && value <= high;
}

/* CFA + 8 * n, or rbp + 8 * n: n, or HT_RBP_LOST. */
static int32_t rbp_word(const struct cfi_saved *s)
{
	if (s->how == CFI_SAME)
		return 0;
	if ((s->how != CFI_AT_CFA && s->how != CFI_AT_RBP) || s->offset % 8 ||
		!fits(s->offset / 8, HT_RBP_LOST + 1, INT16_MAX) ||
		(s->how == CFI_AT_CFA && !s->offset))
		return HT_RBP_LOST;
	return (int32_t)(s->offset / 8);
}

static uint32_t rbx_word(const struct cfi_saved *s, enum cfi_how base)
{
	if (s->how == CFI_SAME)
		return 0;
	if (s->how != base || s->offset % 8 || !fits(-s->offset / 8, 1, HT_RBX_LOST - 1))
		return HT_RBX_LOST;
	return (uint32_t)(-s->offset / 8);
}

static uint64_t with_registers(const struct cfi_state *s, enum ht_cfa kind, int64_t operand)
{
	bool at_rbp = s->rbp.how == CFI_AT_RBP;

	if (operand != (int32_t)operand)
		return HT_CFA_UNSUPPORTED;
	if (at_rbp && rbp_word(&s->rbp) == HT_RBP_LOST)
		at_rbp = false;
	return ht_rule(kind, at_rbp ? HT_RULE_AT_BP : 0, (int32_t)operand, rbp_word(&s->rbp),
		rbx_word(&s->rbx, at_rbp ? CFI_AT_RBP : CFI_AT_CFA));
}

static uint64_t register_rule(const struct cfi_state *s)
{
	switch (s->reg) {
	case CFI_RSP:
		return with_registers(s, HT_CFA_SP, s->offset);
	case CFI_RBP:
		return with_registers(s, HT_CFA_BP, s->offset);
	case CFI_RBX:
		return with_registers(s, HT_CFA_BX, s->offset);
	default:
		if (s->reg > 15 || !fits(s->offset, -(1 << 23), (1 << 23) - 1))
			return HT_CFA_UNSUPPORTED;
		return with_registers(
			s, HT_CFA_REGISTER, (int32_t)((uint32_t)s->offset << 8 | s->reg));
	}
}

uint64_t cfi_rule(const struct cfi_state *s)
{
	if (s->ra.how == CFI_UNDEFINED)
		return HT_CFA_END;
	if (is_signal_frame(s))
		return ht_rule(HT_CFA_SIGNAL, 0, (int32_t)(s->offset - SIGNAL_RSP), 0, 0);
	if (!saved_at(&s->ra, CFI_AT_CFA, -8) || s->rsp.how != CFI_SAME)
		return HT_CFA_UNSUPPORTED;
	switch (s->cfa) {
	case CFI_CFA_REGISTER:
		return register_rule(s);
	case CFI_CFA_PLT:
		return with_registers(s, HT_CFA_PLT, s->offset);
	case CFI_CFA_DEREF:
		if ((s->reg != CFI_RSP && s->reg != CFI_RBP) ||
			!fits(s->offset, INT16_MIN, INT16_MAX) ||
			!fits(s->plus, INT16_MIN, INT16_MAX))
			return HT_CFA_UNSUPPORTED;
		return with_registers(s, s->reg == CFI_RSP ? HT_CFA_SP_DEREF : HT_CFA_BP_DEREF,
			(int32_t)((uint32_t)s->plus << 16 | (uint16_t)s->offset));
	default:
		return HT_CFA_UNSUPPORTED;
	}
}
