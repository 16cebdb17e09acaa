// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Placing probes in these bytes, and finding calls in them. A return probe where the placing puts it
 * passes the last check: the two are independent, and a target dies where they are both wrong.
 */
#include "fuzz.h"

#include "../../user/target/insn.h"

static void place(const uint8_t *code, size_t size, enum insn_probe probe, uint8_t how)
{
	struct insn_place p = { 0 };

	if (insn_place_probe(code, size, 0x401000, probe, how & 7, how & 8, &p))
		return;
	REQUIRE(p.offset < size);
	REQUIRE(p.sp_moved >= 0);
	REQUIRE(memchr(p.text, 0, sizeof(p.text)));
	REQUIRE(p.emulated || !p.offset);
	if (probe == INSN_PROBE_RETURN) {
		REQUIRE(!p.sp_moved);
		REQUIRE(!insn_check_return_probe(code, size, p.offset));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *code;
	size_t at, where;

	if (size < 3)
		return 0;
	size -= 3;
	/* A block of this very size: reading behind it is seen. */
	code = malloc(size + !size);
	REQUIRE(code);
	memcpy(code, data + 3, size);
	place(code, size, INSN_PROBE_ENTRY, data[0]);
	place(code, size, INSN_PROBE_RETURN, data[0]);
	where = data[1] | (size_t)data[2] << 8;
	insn_check_return_probe(code, size, (uint32_t)where);
	if (!insn_call_before(code, size, where % (size + 1), &at)) {
		REQUIRE(at < where % (size + 1));
		REQUIRE(where % (size + 1) - at <= 15);
	}
	free(code);
	return 0;
}
