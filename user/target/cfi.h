/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Call frame information (DWARF 5, 6.4; LSB for .eh_frame): common entries (CIE), function entries (FDE),
 * and the little programs in both, run into rules.
 */
#ifndef HEAPTAP_CFI_H
#define HEAPTAP_CFI_H

#include "cursor.h"
#include "unwind_rows.h"

struct cfi_section {
	const uint8_t *data;
	size_t length;
	uint64_t address; /* in the ELF's own address space */
	bool debug_frame; /* else .eh_frame */
};

/* DWARF numbers of the registers whose fate matters to a walk. */
enum { CFI_RBX = 3, CFI_RBP = 6, CFI_RSP = 7, CFI_RA = 16 };

enum cfi_how {
	CFI_SAME = 0,
	CFI_UNDEFINED,
	CFI_AT_CFA,  /* saved at CFA + offset */
	CFI_AT_RBP,  /* saved at rbp + offset */
	CFI_AT_RSP,  /* saved at rsp + offset: signal frames */
	CFI_UNKNOWN, /* in another register, or by an expression */
};

struct cfi_saved {
	enum cfi_how how;
	int64_t offset;
};

enum cfi_cfa { CFI_CFA_NONE = 0, CFI_CFA_REGISTER, CFI_CFA_DEREF, CFI_CFA_PLT, CFI_CFA_UNKNOWN };

struct cfi_state {
	enum cfi_cfa cfa;
	uint32_t reg; /* of the CFA */
	int64_t offset; /* added to it; of PLT the byte of a stub from which on there is one word more */
	int64_t plus; /* added to what is read there, for CFI_CFA_DEREF */
	struct cfi_saved rbx, rbp, rsp, ra;
};

struct cfi_cie {
	uint64_t at; /* offset in the section */
	uint64_t code_align;
	int64_t data_align;
	uint32_t ra;	   /* column of the return address */
	uint8_t encoding;  /* of addresses, DW_EH_PE_* */
	uint8_t addresses; /* bytes of an absolute one */
	bool augmented;	   /* entries carry augmentation data */
	bool broken;
	struct cfi_state initial;
};

/* A function, where it is, and where its program lies in the section. */
struct cfi_fde {
	uint64_t start;
	uint64_t end;
	uint32_t cie; /* index */
	uint32_t program_bytes;
	uint64_t program; /* offset in the section */
};

struct cfi {
	struct cfi_section section;
	struct buffer cies; /* struct cfi_cie, in the order they were met */
	struct buffer fdes; /* struct cfi_fde */
	uint32_t broken;
};

/* Lists the entries of the section, functions sorted by address. 0 or -ENOMEM. */
int cfi_read(struct cfi *cfi, const struct cfi_section *section);
/* Runs a function's program into rows. False when it is broken: the rest of it has no rule. */
bool cfi_run(const struct cfi *cfi, const struct cfi_fde *fde, struct unwind_rows *rows);
void cfi_release(struct cfi *cfi);

/* cfa.c: what a state is to a walk. */
uint64_t cfi_rule(const struct cfi_state *s);
/* cfa.c: the expressions that occur in practice. */
void cfi_cfa_expression(struct cfi_state *s, struct bytes expression);
struct cfi_saved cfi_saved_expression(struct bytes expression);
/* An address as encoded; `here` is the address that it is stored at. False: none, or unknown. */
bool cfi_address(struct bytes *b, uint8_t encoding, uint8_t bytes, uint64_t here, uint64_t *value);

#endif
