// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names and lines of addresses in a file of these bytes. Mostly it is elfutils that is looked at:
 * what breaks there is contained by the sandbox, and not ours to mend (scripts/fuzz.sh).
 */
#include "fuzz.h"

#include <elf.h>

#include "../../user/symbol/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer in CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	int fd = fuzz_file(data, size), result;
	Elf64_Ehdr header = { 0 };

	memcpy(&header, data, size < sizeof(header) ? size : sizeof(header));
	/* Around where the program starts, at the start, and nowhere. */
	for (uint64_t i = 0; i < 8; i++) {
		struct symbols_query *q = buffer_extend(&in, sizeof(*q));

		REQUIRE(q);
		q->address = i < 6 ? header.e_entry + i * 16 : i == 6 ? 64 : UINT64_MAX;
		q->is_call = i & 1;
	}
	result = symbols_parser.run(&fd, 1, &in, &out);
	if (result)
		REQUIRE(result < 0 && result > -4096);
	else if (symbols_parser.check)
		REQUIRE(!symbols_parser.check(&in, &out));
	return 0;
}
