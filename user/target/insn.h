/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where in a function a probe may stand, and which call a return address belongs to.
 *
 * Pure functions over a buffer of machine code: no logging, no allocation, no state. Bytes may be
 * hostile: nothing is read past the length, and every walk ends. Only insn_<arch>.c knows the
 * instruction set; this header says what the plan needs of any.
 *
 * "code" is the function's bytes from its first one, "len" at most its size: bytes of the next
 * function would be taken for branches of this one. What is not in the buffer is not seen: jump
 * tables, and a cold part elsewhere that jumps back.
 */
#ifndef HEAPTAP_INSN_H
#define HEAPTAP_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A return probe (uretprobe, session) replaces the word that the stack pointer points at. Where
 * that is no longer the return address, it overwrites a saved register and kills the target; an
 * entry probe may stand deeper.
 */
enum insn_probe {
	INSN_PROBE_ENTRY,
	INSN_PROBE_RETURN,
};

struct insn_place {
	uint32_t offset;  /* bytes from the function's first */
	int32_t sp_moved; /* bytes that the stack pointer is below its value at entry */
	bool emulated;	  /* by the kernel, on every one we support: one trap, no single step */
	char text[48];	  /* the instruction, for --dry-run; cut when longer */
};

/*
 * Choose where to put a probe: the first instruction that the kernel emulates, which every path
 * from the entry passes while the first "nargs" argument registers still hold the arguments, and
 * which no direct branch of the function reaches a second time. Without one: the entry, emulated =
 * false.
 *
 * vaddr      address of code[0], used only for branch targets in place->text
 * skip_null  for free: when the function begins by testing its first argument for NULL, the place
 *            may lie on the path that is taken for all others, so that free(NULL) costs nothing
 *
 * Returns 0, or -EINVAL when there are no bytes, when the first instruction can't be decoded, or
 * when it must not be probed because the kernel would execute it wrongly. *place is untouched on
 * failure.
 */
int insn_place_probe(const uint8_t *code, size_t len, uint64_t vaddr, enum insn_probe probe,
	unsigned int nargs, bool skip_null, struct insn_place *place);

/*
 * The last check before a return probe is attached, independent of insn_place_probe(): 0 when the
 * stack pointer points at the return address at code[offset], however it was reached; else -EINVAL.
 * When in doubt it refuses.
 */
int insn_check_return_probe(const uint8_t *code, size_t len, uint32_t offset);

/*
 * Find the call instruction that ends at ret_offset, where a return address points into the buffer
 * (ret_offset == len is allowed: a call that never returns may be the last instruction). When the
 * function's start is unknown, "code" may be a window; let it begin 64 bytes or more before
 * ret_offset, so that decoding falls into step with the instructions.
 *
 * Returns 0 and sets *call_offset, or -ENOENT: ret_offset does not follow a call, for example
 * because it is the pc of an interrupted function below a signal frame.
 */
int insn_call_before(const uint8_t *code, size_t len, size_t ret_offset, size_t *call_offset);

#endif /* HEAPTAP_INSN_H */
