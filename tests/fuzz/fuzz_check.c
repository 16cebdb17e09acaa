// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Answers of a parser that was taken over: these bytes are the answer. What passes the check can be
 * used as callers use it.
 */
#include "fuzz.h"

#include "../../user/symbol/symbols.h"
#include "../../user/target/allocator.h"

static volatile size_t used; /* so that no reading is left out */

static void use_elf(const struct elf_info *info)
{
	char text[ELF_BUILD_ID_TEXT];

	elf_build_id_text(text, info);
	allocator_of(info);
	for (uint32_t i = 0; i < info->load_count; i++)
		used += elf_address_of_offset(info, info->loads[i].offset);
	for (uint32_t i = 0; i < info->function_count; i++)
		if (allocator_is_function(info->functions[i].name))
			used += strlen(allocator_functions[info->functions[i].name].name);
}

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
	struct buffer names CLEANUP_BUFFER = { 0 }, queries CLEANUP_BUFFER = { 0 };
	struct buffer answer CLEANUP_BUFFER = { 0 };
	size_t count;

	if (size < 2)
		return 0;
	count = data[1] % 8;
	REQUIRE(!allocator_names(&names));
	REQUIRE(!count || buffer_extend(&queries, count * sizeof(struct symbols_query)));
	/* A block of this very size: reading behind it is seen. */
	answer.data = malloc(size - 2);
	answer.length = answer.capacity = size - 2;
	REQUIRE(answer.data);
	memcpy(answer.data, data + 2, size - 2);
	if (data[0] & 1 && !elf_parser.check(&names, &answer))
		use_elf((const void *)answer.data);
	if (!(data[0] & 1) && !symbols_parser.check(&queries, &answer))
		use_symbols(&answer, count);
	return 0;
}
