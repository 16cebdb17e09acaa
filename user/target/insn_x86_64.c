// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Probe placement and call sites for x86-64 machine code.
 *
 * What the kernel emulates is decided by branch_setup_xol_ops() and push_setup_xol_ops() in
 * arch/x86/kernel/uprobes.c; all else is copied out of line and single-stepped. Measured on Linux
 * 6.18 (KVM guest, AMD EPYC), an empty perf uprobe, ns per hit:
 *
 *   600-1,000      push r64 (also 41 5x); 90, 66* 90, f3 90, 48 90; nopl/nopw of 3 to 8 bytes; jmp,
 *                  jcc and call rel, also with f2, 67 or REX
 *   11,400-15,900  endbr64, test, cmp, mov, lea, sub, xor, ret, push imm, push m64, 48 5x, jrcxz,
 *                  loop, nopw of 9 bytes
 *   refused (524)  66, 2e or 3e before a branch; cs/ds/es/ss and lock prefixes; VEX and EVEX
 *
 * Of the nops only 66* 90 is taken for cheap. Nops of several bytes are emulated by recent kernels
 * only, and one of 5 bytes may be replaced by a call into a kernel page (6.18), which writes below
 * rsp. f3 90 (pause) and 48 90 are not nops to newer kernels. 66 90 was refused until the stable
 * kernels of January 2023.
 */
#include "insn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <Zydis/Zydis.h>

#define OPCODE_NOP    0x90
#define PREFIX_LOCK   0xf0
#define PREFIX_OPSIZE 0x66

/* One decoded instruction with its place in the function. */
struct decoded {
	const uint8_t *bytes;
	size_t offset;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

static const ZydisRegister ARG_REGISTERS[] = {
	ZYDIS_REGISTER_RDI,
	ZYDIS_REGISTER_RSI,
	ZYDIS_REGISTER_RDX,
	ZYDIS_REGISTER_RCX,
	ZYDIS_REGISTER_R8,
	ZYDIS_REGISTER_R9,
};

#define NR_ARG_REGISTERS (sizeof(ARG_REGISTERS) / sizeof(ARG_REGISTERS[0]))

static void decoder_init(ZydisDecoder *decoder)
{
	/* Fails only for modes that do not exist. */
	ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

/* Without operands: several times faster, enough for lengths and direct branches. */
static bool decode_short(const ZydisDecoder *decoder, const uint8_t *code, size_t len,
	size_t offset, ZydisDecodedInstruction *insn)
{
	return offset < len && ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(
				       decoder, NULL, code + offset, len - offset, insn));
}

static bool decode(const ZydisDecoder *decoder, const uint8_t *code, size_t len, size_t offset,
	struct decoded *d)
{
	if (offset >= len || ZYAN_FAILED(ZydisDecoderDecodeFull(
				     decoder, code + offset, len - offset, &d->insn, d->ops)))
		return false;
	d->bytes = code + offset;
	d->offset = offset;
	return true;
}

static bool in_map(const ZydisDecodedInstruction *insn, ZydisOpcodeMap map)
{
	return insn->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && insn->opcode_map == map;
}

static bool is_push_register(const struct decoded *d)
{
	const uint8_t *b = d->bytes;

	/* The kernel knows no prefix here but REX.B alone: 48 55 is single-stepped. */
	if (d->insn.length == 2 && b[0] == 0x41)
		b++;
	return b[0] >= 0x50 && b[0] <= 0x57;
}

static bool is_short_nop(const struct decoded *d)
{
	unsigned int i = 0;

	/* Any REX makes another instruction of it for some kernel: 41 90 is xchg %r8,%rax. */
	while (i + 1 < d->insn.length && d->bytes[i] == PREFIX_OPSIZE)
		i++;
	return i + 1 == d->insn.length && d->bytes[i] == OPCODE_NOP;
}

static bool is_plain_branch(const ZydisDecodedInstruction *insn)
{
	bool opcode_ok = false;
	unsigned int i;

	if (in_map(insn, ZYDIS_OPCODE_MAP_DEFAULT))
		opcode_ok = (insn->opcode >= 0x70 && insn->opcode <= 0x7f) ||
			    insn->opcode == 0xe8 || insn->opcode == 0xe9 || insn->opcode == 0xeb;
	else if (in_map(insn, ZYDIS_OPCODE_MAP_0F))
		opcode_ok = insn->opcode >= 0x80 && insn->opcode <= 0x8f;

	for (i = 0; i < insn->raw.prefix_count; i++) {
		switch (insn->raw.prefixes[i].value) {
		case PREFIX_OPSIZE:
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case PREFIX_LOCK:
			/* Registering the probe would fail, and with it the module's whole link. */
			return false;
		}
	}
	return opcode_ok;
}

static bool is_emulated(const struct decoded *d)
{
	return is_push_register(d) || is_short_nop(d) || is_plain_branch(&d->insn);
}

/*
 * Up to 6.18 the kernel takes every 0x90 for a nop, and "emulates" xchg %r8,%rax by skipping it
 * (measured): the target would go on with two wrong registers.
 */
static bool kernel_executes_wrongly(const ZydisDecodedInstruction *insn)
{
	return in_map(insn, ZYDIS_OPCODE_MAP_DEFAULT) && insn->opcode == OPCODE_NOP &&
	       insn->mnemonic == ZYDIS_MNEMONIC_XCHG;
}

/* Partial writes count: movl to %edi changes %rdi. So do conditional ones. */
static bool writes_register(const struct decoded *d, ZydisRegister full)
{
	unsigned int i;

	for (i = 0; i < d->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &d->ops[i];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
			(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
			ZydisRegisterGetLargestEnclosing(
				ZYDIS_MACHINE_MODE_LONG_64, op->reg.value) == full)
			return true;
	}
	return false;
}

static bool writes_argument(const struct decoded *d, unsigned int nargs)
{
	unsigned int i;

	for (i = 0; i < nargs && i < NR_ARG_REGISTERS; i++)
		if (writes_register(d, ARG_REGISTERS[i]))
			return true;
	return false;
}

static bool is_conditional_branch(const ZydisDecodedInstruction *insn)
{
	/* A transaction that aborts jumps too, but from anywhere inside. */
	return insn->meta.category == ZYDIS_CATEGORY_COND_BR &&
	       insn->mnemonic != ZYDIS_MNEMONIC_XBEGIN;
}

/* True when the next instruction in memory is not the only one that may run next. */
static bool leaves_straight_line(const struct decoded *d)
{
	switch (d->insn.meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSCALL:
		return true;
	default:
		break;
	}

	switch (d->insn.mnemonic) {
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_UIRET:
		return true;
	default:
		return false;
	}
}

static bool is_sp(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value == ZYDIS_REGISTER_RSP;
}

/*
 * By how many bytes an instruction lowers rsp. False when that can't be told from its bytes: leave,
 * mov to rsp, and rsp with a mask, pop %rsp.
 */
static bool sp_lowered(const struct decoded *d, int64_t *bytes)
{
	const ZydisDecodedOperand *ops = d->ops;

	*bytes = 0;
	if (!writes_register(d, ZYDIS_REGISTER_RSP))
		return true;

	switch (d->insn.mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFQ:
		*bytes = d->insn.operand_width / 8;
		return true;
	case ZYDIS_MNEMONIC_POP:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFQ:
		*bytes = -(int64_t)(d->insn.operand_width / 8);
		/* The explicit operand; the hidden one is rsp in every pop. */
		return d->insn.operand_count_visible == 0 || !is_sp(&ops[0]);
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_ADD:
		if (!is_sp(&ops[0]) || ops[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
			return false;
		*bytes = d->insn.mnemonic == ZYDIS_MNEMONIC_SUB ? ops[1].imm.value.s
								: -ops[1].imm.value.s;
		return true;
	case ZYDIS_MNEMONIC_LEA:
		if (!is_sp(&ops[0]) || ops[1].mem.base != ZYDIS_REGISTER_RSP ||
			ops[1].mem.index != ZYDIS_REGISTER_NONE)
			return false;
		*bytes = -ops[1].mem.disp.value;
		return true;
	default:
		return false;
	}
}

/* Where a direct branch or call goes, relative to code[0]; false for every other instruction. */
static bool branch_target(const ZydisDecodedInstruction *insn, size_t offset, int64_t *target)
{
	if (!insn->raw.imm[0].is_relative)
		return false;
	*target = (int64_t)offset + insn->length + insn->raw.imm[0].value.s;
	return true;
}

/*
 * The lowest offset above 0 that a direct branch of the function goes to; SIZE_MAX when none does.
 * A place at or beyond it may run twice a call, or be jumped over. Branches to 0 do not count: they
 * run every place again, the entry too.
 */
static size_t lowest_branch_target(const ZydisDecoder *decoder, const uint8_t *code, size_t len)
{
	ZydisDecodedInstruction insn;
	size_t lowest = SIZE_MAX;
	size_t offset = 0;
	int64_t target;

	while (offset < len) {
		if (!decode_short(decoder, code, len, offset, &insn)) {
			/* Data in the text, or a cut end: too many branches found is safe. */
			offset++;
			continue;
		}
		if (branch_target(&insn, offset, &target) && target > 0 &&
			(uint64_t)target < lowest)
			lowest = (size_t)target;
		offset += insn.length;
	}
	return lowest;
}

static bool is_test_of_first_argument(const struct decoded *d)
{
	return d->insn.mnemonic == ZYDIS_MNEMONIC_TEST &&
	       d->ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       d->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       d->ops[0].reg.value == ZYDIS_REGISTER_RDI &&
	       d->ops[1].reg.value == ZYDIS_REGISTER_RDI;
}

/*
 * A block is given back by a store, so a probe on free that stands before the first one is sure to
 * run before another thread is handed the same address. Spills to the own stack frame do not count.
 */
static bool writes_beyond_stack(const struct decoded *d)
{
	unsigned int i;

	for (i = 0; i < d->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &d->ops[i];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
			(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
			op->mem.base != ZYDIS_REGISTER_RSP)
			return true;
	}
	return false;
}

/* A search for a place: how far it got, and what holds there on every path. */
struct search {
	enum insn_probe probe;
	unsigned int nargs;
	bool skip_null;
	size_t limit;	  /* no place at or beyond: lowest branch target */
	int64_t sp_moved; /* at the instruction that is looked at */
	bool null_tested; /* the instruction before was test %rdi,%rdi */
};

/* The je of "test %rdi,%rdi; je": what follows in memory runs for every pointer but NULL. */
static bool is_null_check(const struct search *s, const struct decoded *d)
{
	return s->skip_null && s->null_tested && d->insn.mnemonic == ZYDIS_MNEMONIC_JZ;
}

/* Account for one instruction that the search goes past; false when no place can lie behind it. */
static bool search_step(struct search *s, const struct decoded *d)
{
	int64_t lowered;

	if (leaves_straight_line(d) && !is_null_check(s, d))
		return false;
	if (writes_argument(d, s->nargs) || writes_beyond_stack(d))
		return false;
	if (s->probe == INSN_PROBE_RETURN && writes_register(d, ZYDIS_REGISTER_RSP))
		return false;
	if (!sp_lowered(d, &lowered))
		return false;

	s->sp_moved += lowered;
	s->null_tested = is_test_of_first_argument(d);
	/* Above its value at entry rsp has left the frame: this is no ordinary function. */
	return s->sp_moved >= 0 && s->sp_moved <= INT32_MAX;
}

/*
 * Leaves *best at the chosen instruction and *sp_moved at its rsp. False when there is no emulated
 * one; *best is the entry then.
 */
static bool search_place(const ZydisDecoder *decoder, const uint8_t *code, size_t len,
	struct search *s, struct decoded *best, int64_t *sp_moved)
{
	struct decoded d = *best;
	bool found = false;

	for (;;) {
		if (is_emulated(&d)) {
			*best = d;
			*sp_moved = s->sp_moved;
			found = true;
			/* The je of a NULL check will do, but a place behind it is better. */
			if (!is_null_check(s, &d))
				return true;
		}
		if (!search_step(s, &d))
			return found;
		if (d.offset + d.insn.length >= s->limit ||
			!decode(decoder, code, len, d.offset + d.insn.length, &d))
			return found;
	}
}

static void format_text(const struct decoded *d, uint64_t vaddr, char *text, size_t size)
{
	ZydisFormatter formatter;
	char full[256];

	if (ZYAN_FAILED(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT)) ||
		ZYAN_FAILED(ZydisFormatterSetProperty(&formatter,
			ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, ZYDIS_PADDING_DISABLED)) ||
		ZYAN_FAILED(ZydisFormatterSetProperty(
			&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE)) ||
		ZYAN_FAILED(ZydisFormatterFormatInstruction(&formatter, &d->insn, d->ops,
			d->insn.operand_count_visible, full, sizeof(full), vaddr + d->offset,
			NULL)))
		snprintf(full, sizeof(full), "%s", ZydisMnemonicGetString(d->insn.mnemonic));

	snprintf(text, size, "%.*s", (int)size - 1, full);
}

int insn_place_probe(const uint8_t *code, size_t len, uint64_t vaddr, enum insn_probe probe,
	unsigned int nargs, bool skip_null, struct insn_place *place)
{
	struct search s = { .probe = probe, .nargs = nargs, .skip_null = skip_null };
	ZydisDecoder decoder;
	struct decoded best;
	int64_t sp_moved = 0;
	bool emulated;

	if (!code)
		return -EINVAL;
	/* offset is 32 bits wide */
	if (len > UINT32_MAX)
		len = UINT32_MAX;

	decoder_init(&decoder);
	if (!decode(&decoder, code, len, 0, &best) || kernel_executes_wrongly(&best.insn))
		return -EINVAL;

	s.limit = lowest_branch_target(&decoder, code, len);
	emulated = search_place(&decoder, code, len, &s, &best, &sp_moved);

	place->offset = (uint32_t)best.offset;
	place->sp_moved = (int32_t)sp_moved;
	place->emulated = emulated;
	format_text(&best, vaddr, place->text, sizeof(place->text));
	return 0;
}

int insn_check_return_probe(const uint8_t *code, size_t len, uint32_t offset)
{
	ZydisDecoder decoder;
	struct decoded d;
	size_t at;

	if (!code)
		return -EINVAL;

	decoder_init(&decoder);
	for (at = 0; at < offset; at += d.insn.length) {
		if (!decode(&decoder, code, len, at, &d))
			return -EINVAL;
		if (writes_register(&d, ZYDIS_REGISTER_RSP))
			return -EINVAL;
		/* Behind a conditional branch rsp is known; behind a syscall or ud2 nothing is. */
		if (leaves_straight_line(&d) && !is_conditional_branch(&d.insn))
			return -EINVAL;
	}
	if (at != offset || !decode(&decoder, code, len, at, &d) ||
		kernel_executes_wrongly(&d.insn))
		return -EINVAL;

	/*
	 * A branch from elsewhere brings its own rsp. One to offset 0 is left to the function: it
	 * is entered there by its callers too, so it expects the return address at rsp.
	 */
	if (offset > 0 && lowest_branch_target(&decoder, code, len) <= offset)
		return -EINVAL;
	return 0;
}

static bool is_near_call(const ZydisDecodedInstruction *insn)
{
	return insn->mnemonic == ZYDIS_MNEMONIC_CALL &&
	       insn->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR;
}

static bool call_spans(const ZydisDecoder *decoder, const uint8_t *code, size_t from, size_t to)
{
	ZydisDecodedInstruction insn;

	return decode_short(decoder, code, to, from, &insn) && from + insn.length == to &&
	       is_near_call(&insn);
}

/* Prefixes that compilers and linkers put before a call; REX must stand next to the opcode. */
static bool is_call_prefix(uint8_t byte, bool next_is_opcode)
{
	switch (byte) {
	case 0x41: /* call *%r8 to *%r15, and of memory at them */
	case 0x42:
	case 0x43:
	case 0x48: /* call __tls_get_addr */
		return next_is_opcode;
	case 0x3e: /* notrack */
	case 0x66: /* call __tls_get_addr */
	case 0x67: /* what the linker makes of call *f@GOT */
	case 0xf2: /* bnd */
		return true;
	default:
		return false;
	}
}

/*
 * Look back from the return address. The shortest call that fits comes first: a longer one that
 * only seems to be there would put the call into the instruction before.
 */
static int call_behind(
	const ZydisDecoder *decoder, const uint8_t *code, size_t ret_offset, size_t *call_offset)
{
	size_t length, start, opcode;

	/* 7 bytes: call *disp32(%rsp), the longest without a prefix */
	for (length = 2; length <= 7 && length <= ret_offset; length++) {
		if (!call_spans(decoder, code, ret_offset - length, ret_offset))
			continue;
		opcode = start = ret_offset - length;
		while (start > 0 && is_call_prefix(code[start - 1], start == opcode) &&
			call_spans(decoder, code, start - 1, ret_offset))
			start--;
		*call_offset = start;
		return 0;
	}
	return -ENOENT;
}

int insn_call_before(const uint8_t *code, size_t len, size_t ret_offset, size_t *call_offset)
{
	ZydisDecodedInstruction insn;
	ZydisDecoder decoder;
	size_t offset = 0;

	if (!code || ret_offset > len)
		return -ENOENT;

	decoder_init(&decoder);
	while (decode_short(&decoder, code, len, offset, &insn)) {
		if (offset + insn.length == ret_offset) {
			/* In step, so no call hides in this instruction's bytes. */
			if (!is_near_call(&insn))
				return -ENOENT;
			*call_offset = offset;
			return 0;
		}
		offset += insn.length;
		if (offset > ret_offset)
			break;
	}
	return call_behind(&decoder, code, ret_offset, call_offset);
}
