/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine code of an ELF file, read as it is asked for. */
#ifndef HEAPTAP_CODE_H
#define HEAPTAP_CODE_H

#include <libelf.h>
#include <stdint.h>

#include "../target/elf.h"

/*
 * Bytes before a return address in which its call is looked for: from the function's start where
 * that is near, else from where decoding has fallen into step long before. Decoding is most of the
 * time that a frame takes.
 */
#define CODE_NEAR   1024U
#define CODE_WINDOW 256U

struct code {
	int fd;
	uint32_t segment_count;
	struct elf_load segments[ELF_MAX_LOADS]; /* the executable ones */
};

void code_open(struct code *c, Elf *elf, int fd);

/*
 * The call that returns to an address: decoded from its function's first byte, or from a
 * window before it when that is far or unknown (0). Falls back to the byte before the return address,
 * which lies in the call.
 */
uint64_t code_call_before(const struct code *c, uint64_t return_address, uint64_t function);

#endif
