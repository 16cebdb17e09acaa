// SPDX-License-Identifier: GPL-2.0-or-later
/* Is a file the one that is mapped? The mapped image is a file too here, of which only pread() is asked. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../user/base/cleanup.h"
#include "../../user/target/identity.h"

#define BASE	   0x10000 /* of the image in "memory" */
#define NOTE_AT	   0x2000  /* behind the first page, in the file */
#define NOTE_VADDR 0x3000  /* and elsewhere in memory */

struct program {
	Elf64_Ehdr header;
	Elf64_Phdr segments[3];
};

static struct program program(void)
{
	struct program p = {
		.header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB },
			.e_type = ET_DYN,
			.e_phoff = offsetof(struct program, segments),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 3 },
		.segments = { { .p_type = PT_LOAD, .p_filesz = 0x1000, .p_vaddr = 0x400000 },
			{ .p_type = PT_LOAD,
				.p_offset = NOTE_AT,
				.p_vaddr = 0x400000 + NOTE_VADDR },
			{ .p_type = PT_NOTE,
				.p_offset = NOTE_AT,
				.p_vaddr = 0x400000 + NOTE_VADDR,
				.p_filesz = 64 } },
	};

	return p;
}

static int file(uint64_t at, const void *bytes, size_t n)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, (off_t)at), (ssize_t)n);
	return fd;
}

static void add_note(int fd, uint64_t at, const char *build_id, uint32_t bytes)
{
	struct {
		Elf64_Nhdr other;
		char other_name[4];
		Elf64_Nhdr note;
		char name[4];
		char id[20];
	} n = { .other = { .n_namesz = 4, .n_type = 1 },
		.other_name = "GNU",
		.note = { .n_namesz = 4, .n_descsz = bytes, .n_type = NT_GNU_BUILD_ID },
		.name = "GNU" };

	strncpy(n.id, build_id, sizeof(n.id) - 1);
	assert_int_equal(pwrite(fd, &n, sizeof(n), (off_t)at), (ssize_t)sizeof(n));
}

static int ask(int disk, int memory, uint64_t address)
{
	struct buffer in CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	int files[] = { disk, memory }, error;

	buffer_append(&in, &address, sizeof(address));
	error = parse_request(&identity_parser, files, 2, &in, &out);
	return error ? error : (int)((const struct identity_answer *)(void *)out.data)->identity;
}

static void test_build_ids(void **state)
{
	struct program p = program();
	int disk CLEANUP_CLOSE = file(0, &p, sizeof(p));
	int memory CLEANUP_CLOSE = file(BASE, &p, sizeof(p));

	(void)state;
	add_note(disk, NOTE_AT, "one", 20);
	add_note(memory, BASE + NOTE_VADDR, "one", 20);
	assert_int_equal(ask(disk, memory, BASE), IDENTITY_SAME);
	add_note(memory, BASE + NOTE_VADDR, "two", 20);
	assert_int_equal(ask(disk, memory, BASE), IDENTITY_DIFFERENT);
	add_note(memory, BASE + NOTE_VADDR, "one", 16); /* a shorter one is another */
	assert_int_equal(ask(disk, memory, BASE), IDENTITY_DIFFERENT);
	add_note(memory, BASE + NOTE_VADDR, "one", 0xfffffff0); /* none that fits */
	assert_int_equal(ask(disk, memory, BASE), IDENTITY_DIFFERENT);
}

static void test_no_build_ids(void **state)
{
	struct program p = program();
	int disk CLEANUP_CLOSE = file(0, &p, sizeof(p));
	int memory CLEANUP_CLOSE = file(BASE, &p, sizeof(p));

	(void)state;
	/* Memory ends with its page, the file before. */
	assert_int_equal(ftruncate(memory, BASE + 4096), 0);
	assert_int_equal(ask(disk, memory, BASE), IDENTITY_SAME);
	assert_int_equal(pwrite(memory, "x", 1, BASE + offsetof(Elf64_Ehdr, e_entry)), 1);
	assert_int_equal(ask(disk, memory, BASE), IDENTITY_DIFFERENT);
}

static void test_not_elf(void **state)
{
	struct program p = program();
	int text CLEANUP_CLOSE = file(0, "#!/bin/sh\n", 10);
	int memory CLEANUP_CLOSE = file(BASE, &p, sizeof(p));
	int empty CLEANUP_CLOSE = file(0, "", 0);

	(void)state;
	assert_int_equal(ask(text, text, 0), IDENTITY_UNKNOWN);
	assert_int_equal(ask(empty, empty, 0), IDENTITY_UNKNOWN);
	assert_int_equal(ask(text, memory, BASE), IDENTITY_DIFFERENT);
	assert_int_equal(ask(memory, memory, BASE), IDENTITY_DIFFERENT); /* zeros at 0 */
	assert_true(ask(-1, memory, BASE) < 0);
	assert_true(ask(text, -1, BASE) < 0);
}

/* Headers that lie about where they are: nothing is read beyond the first page. */
static void test_hostile(void **state)
{
	static const struct {
		uint64_t phoff;
		uint16_t phnum, phentsize;
	} lies[] = {
		{ UINT64_MAX, 1, sizeof(Elf64_Phdr) },
		{ 4096, 1, sizeof(Elf64_Phdr) },
		{ 64, UINT16_MAX, sizeof(Elf64_Phdr) },
		{ 65, 1, sizeof(Elf64_Phdr) },
		{ 64, 1, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct program p = program();
		int disk CLEANUP_CLOSE = -1;

		p.header.e_phoff = lies[i].phoff;
		p.header.e_phnum = lies[i].phnum;
		p.header.e_phentsize = lies[i].phentsize;
		disk = file(0, &p, sizeof(p));
		assert_int_equal(ask(disk, disk, 0), IDENTITY_UNKNOWN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build_ids),
		cmocka_unit_test(test_no_build_ids),
		cmocka_unit_test(test_not_elf),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
