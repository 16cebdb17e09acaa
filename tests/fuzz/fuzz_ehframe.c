// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unwind tables from hostile bytes: as a whole ELF file, as the bare entries of .eh_frame and
 * .debug_frame, and as a table from the cache. The first byte chooses.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../user/target/cfi.h"
#include "../../user/target/unwind.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const void *table, size_t length)
{
	const struct unwind_info *info = table;

	if (unwind_check(table, length))
		return;
	for (uint64_t address = 0; address < 1 << 20; address += 1021)
		unwind_find(info, info->text_start + address);
}

static void as_file(const uint8_t *data, size_t size)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	int fd CLEANUP_CLOSE = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return;
	if (parse_file(&unwind_parser, fd, &(struct buffer){ 0 }, &out))
		return;
	/* What the parser makes is what the check lets pass. */
	if (unwind_check(out.data, out.length))
		abort();
	look_up(out.data, out.length);
}

static void as_entries(const uint8_t *data, size_t size, bool debug_frame)
{
	const struct cfi_section section = {
		.data = data, .length = size, .address = 0x4000, .debug_frame = debug_frame
	};
	struct cfi cfi CLEANUP(cfi_release) = { 0 };
	struct unwind_rows rows CLEANUP(unwind_rows_release) = { 0 };

	if (cfi_read(&cfi, &section) || unwind_rows_begin(&rows, 0, 1 << 20))
		return;
	for (size_t i = 0; i < cfi.fdes.length / sizeof(struct cfi_fde); i++)
		cfi_run(&cfi, (const struct cfi_fde *)(void *)cfi.fdes.data + i, &rows);
}

static void as_table(const uint8_t *data, size_t size)
{
	void *aligned CLEANUP_FREE = malloc(size + 1);

	if (!aligned)
		return;
	memcpy(aligned, data, size);
	look_up(aligned, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0:
		as_file(data + 1, size - 1);
		break;
	case 1:
	case 2:
		as_entries(data + 1, size - 1, data[0] % 4 == 2);
		break;
	default:
		as_table(data + 1, size - 1);
		break;
	}
	return 0;
}
