/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Unwinding without frame pointers: .eh_frame, compiled to rows. unwind_step.h walks by them.
 *
 *   table of a module, in 32-bit words, one after another:
 *      buckets   bucket_count + 1: the first row of each 512 bytes of text
 *      rows      offset in the bucket : 16 | rule id : 16, ascending; the first one has the offset 0
 *      rules     one u64 each, without duplicates
 *
 *   rule:  63         32 31       16 15     8 7     4 3    0
 *         +-------------+-----------+--------+-------+------+
 *         | CFA operand |    rbp    |  rbx   | flags | kind |
 *         +-------------+-----------+--------+-------+------+
 *
 * The return address of every frame is at CFA - 8, and the caller's rsp is the CFA, but in a signal
 * frame. rbp is saved at CFA + 8 * rbp, 0: it has not changed; rbx at CFA - 8 * rbx, 0: likewise.
 */
#ifndef HEAPTAP_UNWIND_H
#define HEAPTAP_UNWIND_H

#ifndef __bpf__
#include <linux/types.h>
#endif

enum ht_cfa {
	HT_CFA_NONE = 0, /* no row covers the code */
	HT_CFA_SP,	 /* rsp + operand */
	HT_CFA_BP,	 /* rbp + operand */
	HT_CFA_BX,	 /* rbx + operand: the dynamic linker's resolver */
	HT_CFA_REGISTER, /* another one, operand = offset : 24 | DWARF number : 8: known in interrupted code */
	HT_CFA_SP_DEREF, /* *(rsp + low half) + high half: hand-written code that aligns its stack */
	HT_CFA_BP_DEREF, /* *(rbp + low half) + high half: compilers that align it */
	HT_CFA_PLT,	 /* rsp + 8, and 8 more from byte `operand` of a stub of 16 on */
	HT_CFA_SIGNAL,	 /* a signal frame: the interrupted registers are at rsp + operand */
	HT_CFA_END,	 /* nobody called this code: main's caller's caller, a thread's start */
	HT_CFA_UNSUPPORTED,
	HT_CFA_SP_SLOW, /* HT_CFA_SP of a size that is not usual: the kernel half's own */
	HT_CFA_KINDS,
};

#define HT_RULE_KIND	 0x0fULL
#define HT_RULE_AT_BP	 0x10ULL /* rbp is saved at rbp + 8 * rbp, rbx at rbp - 8 * rbx */
#define HT_RULE_FALLBACK 0x20ULL /* made up where there are no rows: a frame pointer is hoped for */
#define HT_RULE_ROOT	 0x40ULL /* of these: in the C library, which starts main and threads */

#define HT_RULE_LOST 0x80ULL /* rbp or rbx is: set by ht_rule() */

#define HT_RBP_LOST (-32768) /* changed, and not to be had */
#define HT_RBX_LOST 255

#define HT_BUCKET_SHIFT 9 /* bytes of text a bucket, log2 */
#define HT_TEXT_BUCKET	(1U << HT_BUCKET_SHIFT)

/* The way of code that keeps a frame pointer, or of compilers that are told to. */
#define HT_RULE_FRAME_POINTER (16ULL << 32 | 0xfffeULL << 16 | HT_CFA_BP)

static inline __u64 ht_rule(enum ht_cfa kind, __u64 flags, __s32 operand, __s32 rbp, __u32 rbx)
{
	if (rbp == HT_RBP_LOST || rbx == HT_RBX_LOST)
		flags |= HT_RULE_LOST;
	return (__u64)(__u32)operand << 32 | (__u64)(__u16)rbp << 16 | (__u64)(__u8)rbx << 8 |
	       flags | kind;
}

static inline enum ht_cfa ht_rule_kind(__u64 rule)
{
	return (enum ht_cfa)(rule & HT_RULE_KIND);
}

static inline __s32 ht_rule_operand(__u64 rule)
{
	return (__s32)(rule >> 32);
}

static inline __s64 ht_rule_rbp(__u64 rule)
{
	return (__s16)(rule >> 16);
}

static inline __u32 ht_rule_rbx(__u64 rule)
{
	return (__u8)(rule >> 8);
}

static inline __u32 ht_row(__u32 offset, __u32 rule)
{
	return offset << 16 | rule;
}

static inline __u32 ht_row_rule(__u32 row)
{
	return row & 0xffff;
}

static inline __u32 ht_row_offset(__u32 row)
{
	return row >> 16;
}

/* Where a module's table lies in the words of all tables. Addresses are the ELF's own. */
struct ht_unwind_table {
	__u64 text_start; /* of bucket 0 */
	__u32 bucket_count;
	__u32 buckets; /* first word */
	__u32 rows;
	__u32 rules;
	__u32 row_count;
	__u32 rule_count;
};
_Static_assert(sizeof(struct ht_unwind_table) == 32, "unwind table record");

/*
 * A walk between two steps. A register that is saved somewhere is read only when a rule asks for it:
 * most code finds its frame by rsp alone.
 */
struct ht_walk {
	__u64 pc;
	__u64 sp; /* at `pc`, once the call has returned */
	__u64 bp;
	__u64 bp_at; /* where bp is saved; 0: bp is known; HT_LOST_AT: nowhere */
	__u64 bx;
	__u64 bx_at;
	__u64 interrupted;    /* where all registers of code are that a signal interrupted */
	__u64 interrupted_sp; /* its rsp: no other frame has this one */
};
#define HT_LOST_AT 1ULL

#endif
