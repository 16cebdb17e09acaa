// SPDX-License-Identifier: GPL-2.0-or-later
#include "code.h"

#include <gelf.h>
#include <unistd.h>

#include "../target/insn.h"

void code_open(struct code *c, Elf *elf, int fd)
{
	size_t count;

	*c = (struct code){ .fd = fd };
	if (elf_getphdrnum(elf, &count))
		return;
	for (size_t i = 0; i < count && c->segment_count < ELF_MAX_LOADS; i++) {
		GElf_Phdr ph;

		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_LOAD || !(ph.p_flags & PF_X))
			continue;
		c->segments[c->segment_count++] = (struct elf_load){
			.offset = ph.p_offset,
			.address = ph.p_vaddr,
			.file_bytes = ph.p_filesz,
		};
	}
}

/* The bytes before an address, up to `bytes` of them. Returns how many there are. */
static size_t read_before(const struct code *c, uint64_t address, uint8_t *code, size_t bytes)
{
	for (uint32_t i = 0; i < c->segment_count; i++) {
		const struct elf_load *s = &c->segments[i];
		uint64_t from_start = address - s->address;

		if (address <= s->address || from_start > s->file_bytes)
			continue;
		if (bytes > from_start)
			bytes = from_start;
		return pread(c->fd, code, bytes, (off_t)(s->offset + from_start - bytes)) ==
				       (ssize_t)bytes
			       ? bytes
			       : 0;
	}
	return 0;
}

uint64_t code_call_before(const struct code *c, uint64_t return_address, uint64_t function)
{
	uint64_t from_start = return_address - function;
	uint8_t code[CODE_NEAR];
	size_t n, at;

	n = read_before(
		c, return_address, code, from_start <= CODE_NEAR ? from_start : CODE_WINDOW);
	if (!n || insn_call_before(code, n, n, &at))
		return return_address - 1;
	return return_address - n + at;
}
