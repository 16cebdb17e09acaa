// SPDX-License-Identifier: GPL-2.0-or-later
/* The ELF parser on a file of these bytes: its answers pass their own check. */
#include "fuzz.h"

#include "../../user/target/allocator.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer names CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	int fd = fuzz_file(data, size), result;
	char text[ELF_BUILD_ID_TEXT];
	const struct elf_info *info;

	REQUIRE(!allocator_names(&names));
	result = elf_parser.run(&fd, 1, &names, &out);
	if (result) {
		REQUIRE(result < 0 && result > -4096);
		return 0;
	}
	REQUIRE(!elf_parser.check(&names, &out));
	/* What is done with it next. */
	info = (const void *)out.data;
	REQUIRE(strlen(elf_build_id_text(text, info)) == 2 * info->build_id_length);
	allocator_of(info);
	allocator_starts_programs(info);
	for (uint32_t i = 0; i < info->load_count; i++)
		elf_address_of_offset(info, info->loads[i].offset);
	return 0;
}
