/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The capabilities that heaptap uses, which of them it has, and what to say about those that it lacks. */
#ifndef HEAPTAP_PRIVILEGE_H
#define HEAPTAP_PRIVILEGE_H

#include <stdbool.h>
#include <stdint.h>

/* Bits: each message names the ones that it is about. */
enum privilege {
	PRIVILEGE_BPF = 1 << 0,
	PRIVILEGE_PERFMON = 1 << 1,
	PRIVILEGE_SYS_PTRACE = 1 << 2,
	PRIVILEGE_DAC_READ_SEARCH = 1 << 3,
	PRIVILEGE_CHECKPOINT_RESTORE = 1 << 4,
	PRIVILEGE_SYS_ADMIN = 1 << 5,
};
#define PRIVILEGES 6
/* All that tracing wants where the kernel has uprobe_multi links. */
#define PRIVILEGES_USUAL                                                                           \
	(PRIVILEGE_BPF | PRIVILEGE_PERFMON | PRIVILEGE_SYS_PTRACE | PRIVILEGE_DAC_READ_SEARCH |    \
		PRIVILEGE_CHECKPOINT_RESTORE)

struct privilege_use {
	const char *name; /* "CAP_BPF" */
	uint32_t number;  /* linux/capability.h */
	bool needed;	  /* nothing can be traced without it */
	const char *use;  /* what it is for */
};
extern const struct privilege_use privilege_uses[PRIVILEGES]; /* by bit number */

/* Capabilities in effect, as the kernel numbers them; 0 when they cannot be read. */
uint64_t privilege_effective(void);
/* Those of `wanted` that a set lacks, what CAP_SYS_ADMIN stands in for considered. */
uint32_t privilege_lacking(uint64_t effective, uint32_t wanted);
/* Are our capabilities those of the host? In another user namespace the kernel does not heed them. */
bool privilege_in_first_namespace(void);

#define PRIVILEGE_TEXT 384
/* Between what is missing and how to come by it, in all texts made here. */
#define PRIVILEGE_GRANT ": run as root"
/*
 * Why something that wants these was refused, and the remedy: "CAP_BPF and CAP_PERFMON are missing: run as root, or
 * ...". Returns text.
 */
const char *privilege_advice(char text[PRIVILEGE_TEXT], uint32_t wanted);
/* Only the remedy of one that lacks them. Returns text. */
const char *privilege_remedy(char text[PRIVILEGE_TEXT], uint32_t lacking);
/* "CAP_BPF and CAP_PERFMON". Returns text. */
const char *privilege_names(char text[PRIVILEGE_TEXT], uint32_t bits);

#endif
