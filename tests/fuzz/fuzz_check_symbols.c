// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Answers of a parser of names that was taken over: these bytes are the answer. What passes the check can
 * be used as callers use it.
 */
#include "fuzz.h"

#include "../../user/symbol/symbols.h"

static volatile size_t used; /* so that no reading is left out */

static void use_symbols(const struct buffer *answer, size_t count)
{
	const struct symbols_answer *a = (const void *)answer->data;

	for (size_t i = 0; i < count; i++) {
		if (a[i].function != SYMBOLS_NO_TEXT)
			used += strlen((const char *)answer->data + a[i].function);
		if (a[i].file != SYMBOLS_NO_TEXT)
			used += strlen((const char *)answer->data + a[i].file);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer queries CLEANUP_BUFFER = { 0 }, answer CLEANUP_BUFFER = { 0 };
	size_t count = size ? data[0] % 8 : 0;

	REQUIRE(!count || buffer_extend(&queries, count * sizeof(struct symbols_query)));
	fuzz_answer(&answer, data + !!size, size - !!size);
	if (!symbols_parser.check(&queries, &answer))
		use_symbols(&answer, count);
	return 0;
}
