// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Answers of an ELF parser that was taken over: these bytes are the answer. What passes the check can
 * be used as callers use it.
 */
#include "fuzz.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer names CLEANUP_BUFFER = { 0 }, answer CLEANUP_BUFFER = { 0 };

	REQUIRE(!allocator_names(&names));
	fuzz_answer(&answer, data, size);
	if (!elf_parser.check(&names, &answer))
		use_elf((const void *)answer.data);
	return 0;
}
