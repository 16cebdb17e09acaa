/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * One step of a walk up a stack by the rules of unwind.h: plain C, so that it runs in the kernel and in
 * unit tests alike. The includer defines struct ht_reader and, before this, the macro
 *
 *   read_user(reader, address, &word)   reads a word of the user's stack: 0, or it is not to be had
 */
#ifndef HEAPTAP_UNWIND_STEP_H
#define HEAPTAP_UNWIND_STEP_H

#include "losses.h"
#include "unwind.h"

/* The name of each end of a walk is in losses.h: HT_UNWIND_*; that of a whole one is here. */
enum ht_step {
	HT_STEP_CALLED = -1, /* on to the caller: pc is a return address */
	HT_STEP_INTERRUPTED =
		-2,	   /* on to code that a signal interrupted: pc is its next instruction */
	HT_STEP_ROOT = -3, /* nobody called this code */
};

/* A frame is not larger: what leads further is not a frame. */
#define HT_FRAME_BYTES_MAX (16ULL << 20)

/*
 * Is this where the frame at sp ends: above the return address, aligned, and not absurdly far? One
 * comparison: rotated, an unaligned distance becomes a huge one.
 */
static inline int ht_plausible_cfa(__u64 sp, __u64 cfa)
{
	__u64 above = cfa - 8 - sp;

	return (above >> 3 | above << 61) <= HT_FRAME_BYTES_MAX >> 3;
}

/* Where the caller's registers are, once the frame's end is known; w->sp becomes it. */
static inline void ht_step_registers(struct ht_walk *w, __u64 rule, __u64 cfa)
{
	__s64 rbp = ht_rule_rbp(rule);
	__u64 rbx = ht_rule_rbx(rule), base = cfa;

	w->sp = cfa;
	if (rule & HT_RULE_AT_BP) {
		base = w->bp;
		w->bp_at = base + 8 * rbp;
	} else if (rbp) {
		w->bp_at = rbp == HT_RBP_LOST ? HT_LOST_AT : cfa + 8 * rbp;
	}
	if (rbx)
		w->bx_at = rbx == HT_RBX_LOST ? HT_LOST_AT : base - 8 * rbx;
}

/* Offsets from a signal frame's ucontext (arch/x86/include/uapi/asm/sigcontext.h). */
#define HT_SIGNAL_R8  0x28
#define HT_SIGNAL_RBP 0x78
#define HT_SIGNAL_RBX 0x80
#define HT_SIGNAL_RSP 0xa0
#define HT_SIGNAL_RIP 0xa8

/* By DWARF number; 0: rbx, rbp and rsp have rules of their own. */
static inline __u32 ht_signal_offset(__u32 reg)
{
	if (reg >= 8 && reg <= 15)
		return HT_SIGNAL_R8 + 8 * (reg - 8);
	switch (reg) {
	case 0:
		return 0x90; /* rax */
	case 1:
		return 0x88; /* rdx */
	case 2:
		return 0x98; /* rcx */
	case 4:
		return 0x70; /* rsi */
	case 5:
		return 0x68; /* rdi */
	default:
		return 0;
	}
}

/* rbp or rbx, read now if it has to be: 0 or HT_UNWIND_*. */
static inline int ht_resolve(struct ht_reader *r, __u64 *value, __u64 *at)
{
	if (*at == HT_LOST_AT)
		return HT_UNWIND_REGISTER;
	if (*at && read_user(r, *at, value))
		return HT_UNWIND_UNREADABLE;
	*at = 0;
	return 0;
}

/* The kernel left all registers, and the interrupted code's stack may be another one. */
static inline int ht_step_signal(struct ht_reader *r, struct ht_walk *w, __u64 rule)
{
	__u64 registers = w->sp + (__s64)ht_rule_operand(rule);

	if (read_user(r, registers + HT_SIGNAL_RSP, &w->sp) ||
		read_user(r, registers + HT_SIGNAL_RIP, &w->pc))
		return HT_UNWIND_UNREADABLE;
	w->bp_at = registers + HT_SIGNAL_RBP;
	w->bx_at = registers + HT_SIGNAL_RBX;
	w->interrupted = registers;
	w->interrupted_sp = w->sp;
	return HT_STEP_INTERRUPTED;
}

/* The CFA by the rules that are not the usual ones: 0 or HT_UNWIND_*. */
static inline int ht_rare_cfa(struct ht_reader *r, struct ht_walk *w, __u64 rule, __u64 *cfa)
{
	__s32 operand = ht_rule_operand(rule);
	__u64 low = (__u64)(__s16)operand, high = (__u64)(__s16)(operand >> 16);
	__u32 at;
	int error;

	switch (ht_rule_kind(rule)) {
	case HT_CFA_BX:
		*cfa = w->bx + (__s64)operand;
		return 0;
	case HT_CFA_REGISTER:
		at = w->interrupted_sp == w->sp ? ht_signal_offset((__u8)operand) : 0;
		if (!at)
			return HT_UNWIND_REGISTER;
		if (read_user(r, w->interrupted + at, cfa))
			return HT_UNWIND_UNREADABLE;
		*cfa += (__s64)(operand >> 8);
		return 0;
	case HT_CFA_SP_DEREF:
	case HT_CFA_BP_DEREF:
		low += ht_rule_kind(rule) == HT_CFA_SP_DEREF ? w->sp : w->bp;
		error = read_user(r, low, cfa);
		*cfa += high;
		return error ? HT_UNWIND_UNREADABLE : 0;
	case HT_CFA_PLT:
		*cfa = w->sp + ((w->pc & 15) >= (__u32)operand ? 16 : 8);
		return 0;
	default:
		return HT_UNWIND_UNSUPPORTED;
	}
}

/*
 * One step of any kind, from the code at w->pc to what called it: enum ht_step, or HT_UNWIND_* where the
 * walk ends before its root.
 */
static inline int ht_step(struct ht_reader *r, struct ht_walk *w, __u64 rule)
{
	enum ht_cfa kind = ht_rule_kind(rule);
	__u64 cfa = 0;
	int error = 0;

	if (kind == HT_CFA_END)
		return HT_STEP_ROOT;
	if (kind == HT_CFA_SIGNAL)
		return ht_step_signal(r, w, rule);
	if (kind == HT_CFA_BP || kind == HT_CFA_BP_DEREF || rule & HT_RULE_AT_BP)
		error = ht_resolve(r, &w->bp, &w->bp_at);
	else if (kind == HT_CFA_BX)
		error = ht_resolve(r, &w->bx, &w->bx_at);
	if (error)
		return error;
	if (rule & HT_RULE_FALLBACK && !w->bp)
		return HT_STEP_ROOT; /* programs and threads begin with an empty frame pointer */
	if (kind == HT_CFA_SP || kind == HT_CFA_SP_SLOW)
		cfa = w->sp + (__s64)ht_rule_operand(rule);
	else if (kind == HT_CFA_BP)
		cfa = w->bp + (__s64)ht_rule_operand(rule);
	else
		error = ht_rare_cfa(r, w, rule, &cfa);
	if (error)
		return error;
	if (!ht_plausible_cfa(w->sp, cfa))
		return rule & HT_RULE_FALLBACK ? HT_UNWIND_NO_ROWS : HT_UNWIND_BAD_FRAME;
	if (read_user(r, cfa - 8, &w->pc))
		return HT_UNWIND_UNREADABLE;
	ht_step_registers(w, rule, cfa);
	return HT_STEP_CALLED;
}
#endif
