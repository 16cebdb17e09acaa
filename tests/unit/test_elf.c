// SPDX-License-Identifier: GPL-2.0-or-later
/* The ELF parser: on the C library as the dynamic linker sees it, on a file made by hand, and on
 * broken ones. */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../user/target/allocator.h"

static const char names[] = "malloc\0free\0calloc\0realloc\0memalign\0valloc\0no_such_name";
enum { MALLOC, FREE, CALLOC, REALLOC, MEMALIGN, VALLOC, NO_SUCH_NAME, NAMES };

static const struct elf_info *info_of(const struct buffer *out)
{
	return (const void *)out->data;
}

static const struct elf_function *function_of(const struct buffer *out, uint32_t name)
{
	const struct elf_info *info = info_of(out);

	for (uint32_t i = 0; i < info->function_count; i++)
		if (info->functions[i].name == name)
			return &info->functions[i];
	return NULL;
}

static bool in_code(const struct elf_info *info, const struct elf_function *f)
{
	for (uint32_t i = 0; i < info->load_count; i++) {
		const struct elf_load *l = &info->loads[i];

		if (l->executable && f->address - l->address < l->file_bytes &&
			f->offset - l->offset == f->address - l->address)
			return true;
	}
	return false;
}

/* What holds for every answer, however broken the file. */
static void check_answer(int result, const struct buffer *out)
{
	const struct elf_info *info = info_of(out);

	if (result) {
		assert_true(result < 0 && result > -4096);
		assert_int_equal(out->length, 0);
		return;
	}
	assert_true(out->length >= sizeof(*info));
	assert_true(info->type == ET_EXEC || info->type == ET_DYN);
	assert_true(info->load_count >= 1 && info->load_count <= ELF_MAX_LOADS);
	assert_true(info->build_id_length <= ELF_MAX_BUILD_ID);
	assert_int_equal(
		out->length, sizeof(*info) + info->function_count * sizeof(struct elf_function));
	for (uint32_t i = 0; i < info->function_count; i++) {
		assert_true(info->functions[i].name < NAMES);
		assert_true(in_code(info, &info->functions[i]));
	}
}

static int parse(int fd, struct buffer *out)
{
	const struct buffer in = { .data = (uint8_t *)names, .length = sizeof(names) };
	int result = parse_file(&elf_parser, fd, &in, out);

	check_answer(result, out);
	return result;
}

static int memory_file(const void *bytes, size_t length)
{
	int fd = memfd_create("test_elf", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	return fd;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* --- the C library --------------------------------------------------------------------------- */

/* As the dynamic linker knows it. */
static struct {
	char path[4096];
	uintptr_t base;
	uintptr_t code; /* first byte of its executable segment in memory */
	uint8_t build_id[64];
	size_t build_id_length;
} libc;

static void find_build_id(const uint8_t *at, const uint8_t *end)
{
	while (at + sizeof(ElfW(Nhdr)) <= end) {
		const ElfW(Nhdr) *note = (const void *)at;
		const uint8_t *name = at + sizeof(*note);
		const uint8_t *description = name + ((note->n_namesz + 3) & ~3U);

		if (note->n_type == NT_GNU_BUILD_ID && !memcmp(name, "GNU", 4)) {
			assert_true(note->n_descsz <= sizeof(libc.build_id));
			memcpy(libc.build_id, description, note->n_descsz);
			libc.build_id_length = note->n_descsz;
		}
		at = description + ((note->n_descsz + 3) & ~3U);
	}
}

static int find_libc(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	(void)data;
	if (!strstr(info->dlpi_name, "/libc.so"))
		return 0;
	snprintf(libc.path, sizeof(libc.path), "%s", info->dlpi_name);
	libc.base = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		const uint8_t *at = (const void *)(info->dlpi_addr + ph->p_vaddr);

		/* The notes aligned to 8 are properties, padded in another way. */
		if (ph->p_type == PT_NOTE && ph->p_align == 4)
			find_build_id(at, at + ph->p_memsz);
		if (ph->p_type == PT_LOAD && ph->p_flags & PF_X)
			libc.code = (uintptr_t)at;
	}
	return 1;
}

static int setup(void **state)
{
	(void)state;
	return dl_iterate_phdr(find_libc, NULL) == 1 ? 0 : -1;
}

static void check_libc_function(const struct buffer *out, uint32_t index, const char *name, int fd)
{
	/* Not dlsym(RTLD_DEFAULT): under ASan that is another malloc. */
	void *handle = dlopen(libc.path, RTLD_NOW | RTLD_NOLOAD);
	const struct elf_function *f = function_of(out, index);
	uint8_t code[32];
	void *address;

	assert_non_null(handle);
	address = dlsym(handle, name);
	assert_non_null(address);
	dlclose(handle);
	assert_non_null(f);
	assert_int_equal(f->address, (uintptr_t)address - libc.base);
	assert_true(f->bytes > sizeof(code) && f->bytes < 65536);
	/* the file's bytes there are the memory's */
	assert_int_equal(pread(fd, code, sizeof(code), (off_t)f->offset), sizeof(code));
	assert_memory_equal(code, address, sizeof(code));
}

static void test_libc(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = open(libc.path, O_RDONLY | O_CLOEXEC);
	const struct elf_info *info;

	(void)state;
	assert_int_equal(parse(fd, &out), 0);
	info = info_of(&out);
	assert_int_equal(info->machine, EM_X86_64);
	assert_int_equal(info->type, ET_DYN);
	assert_true(info->has_symbols);
	assert_true(info->load_count >= 2);
	check_libc_function(&out, MALLOC, "malloc", fd);
	check_libc_function(&out, FREE, "free", fd);
	check_libc_function(&out, CALLOC, "calloc", fd);
	check_libc_function(&out, REALLOC, "realloc", fd);
	assert_null(function_of(&out, NO_SUCH_NAME));
}

static void test_build_id(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = open(libc.path, O_RDONLY | O_CLOEXEC);
	char text[ELF_BUILD_ID_TEXT], shown[256] = "", command[4200], *at;
	const struct elf_info *info;
	FILE *pipe;

	(void)state;
	assert_int_equal(parse(fd, &out), 0);
	info = info_of(&out);
	assert_true(libc.build_id_length > 0);
	assert_int_equal(info->build_id_length, libc.build_id_length);
	assert_memory_equal(info->build_id, libc.build_id, libc.build_id_length);

	assert_ptr_equal(elf_build_id_text(text, info), text);
	snprintf(command, sizeof(command), "readelf -n '%s' 2>&1 | grep 'Build ID'", libc.path);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	at = fgets(shown, sizeof(shown), pipe);
	pclose(pipe);
	if (!at) {
		print_message("no readelf: the build id was compared with the mapped note only\n");
		return;
	}
	at = strstr(shown, ": ");
	assert_non_null(at);
	at[strcspn(at, "\n")] = 0;
	assert_string_equal(text, at + 2);
}

static void test_build_id_text(void **state)
{
	struct elf_info *info = calloc(1, sizeof(*info));
	char *text = malloc(ELF_BUILD_ID_TEXT);

	(void)state;
	assert_true(info && text);
	assert_string_equal(elf_build_id_text(text, info), "");
	info->build_id_length = 3;
	memcpy(info->build_id, "\x00\xfa\x1b", 3);
	assert_string_equal(elf_build_id_text(text, info), "00fa1b");
	info->build_id_length = ELF_MAX_BUILD_ID;
	memset(info->build_id, 0xab, ELF_MAX_BUILD_ID);
	assert_int_equal(strlen(elf_build_id_text(text, info)), 64);
	free(info);
	free(text);
}

static void test_address_of_offset(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = open(libc.path, O_RDONLY | O_CLOEXEC);
	const struct elf_info *info;
	unsigned int executable = 0;

	(void)state;
	assert_int_equal(parse(fd, &out), 0);
	info = info_of(&out);
	for (uint32_t i = 0; i < info->load_count; i++) {
		const struct elf_load *l = &info->loads[i];
		uint64_t last = l->file_bytes - 1;

		if (!l->executable) {
			assert_true(elf_address_of_offset(info, l->offset + l->file_bytes / 2) ==
				    UINT64_MAX);
			continue;
		}
		executable++;
		assert_int_equal(libc.base + elf_address_of_offset(info, l->offset), libc.code);
		assert_int_equal(elf_address_of_offset(info, l->offset + last), l->address + last);
		assert_true(elf_address_of_offset(info, l->offset + l->file_bytes) == UINT64_MAX);
	}
	assert_int_equal(executable, 1);
	assert_true(elf_address_of_offset(info, UINT64_MAX) == UINT64_MAX);
}

static void parse_allocator(const char *path, struct buffer *out)
{
	struct buffer in CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(allocator_names(&in), 0);
	assert_int_equal(parse_file(&elf_parser, fd, &in, out), 0);
}

static void test_allocator(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };

	(void)state;
	parse_allocator(libc.path, &out);
	assert_string_equal(allocator_of(info_of(&out)), "glibc");
	assert_true(allocator_starts_programs(info_of(&out)));
	parse_allocator("/proc/self/exe", &out);
	assert_null(allocator_of(info_of(&out)));
	assert_false(allocator_starts_programs(info_of(&out)));
	assert_true(info_of(&out)->has_symbols);
}

/* --- a file made by hand --------------------------------------------------------------------- */

#define TINY_SYMBOLS 10
#define TINY_ADDRESS 0x401000ULL

struct tiny {
	Elf64_Ehdr header;
	Elf64_Phdr segments[3];
	struct {
		Elf64_Nhdr header;
		char name[4];
		uint8_t build_id[20];
	} note;
	uint8_t code[64];
	uint8_t data[64];
	Elf64_Sym symbols[TINY_SYMBOLS];
	char strings[128];
	Elf64_Shdr sections[4];
};

#define TINY_CODE (TINY_ADDRESS + offsetof(struct tiny, code))
#define TINY_DATA (TINY_ADDRESS + offsetof(struct tiny, data))

static void tiny_symbol(struct tiny *t, unsigned int at, const char *name, unsigned char type,
	uint16_t section, uint64_t address)
{
	size_t used = 1;

	while (t->strings[used])
		used += strlen(t->strings + used) + 1;
	assert_true(used + strlen(name) + 2 < sizeof(t->strings));
	strcpy(t->strings + used, name);
	t->symbols[at] = (Elf64_Sym){ .st_name = (Elf64_Word)used,
		.st_info = ELF64_ST_INFO(STB_GLOBAL, type),
		.st_shndx = section,
		.st_value = address,
		.st_size = 7 };
}

static void tiny_headers(struct tiny *t)
{
	t->header = (Elf64_Ehdr){ .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					  ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = offsetof(struct tiny, segments),
		.e_shoff = offsetof(struct tiny, sections),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 3,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 4 };
	t->segments[0] = (Elf64_Phdr){ PT_LOAD, PF_R | PF_X, offsetof(struct tiny, code), TINY_CODE,
		TINY_CODE, sizeof(t->code), sizeof(t->code), 4096 };
	t->segments[1] = (Elf64_Phdr){ PT_LOAD, PF_R | PF_W, offsetof(struct tiny, data), TINY_DATA,
		TINY_DATA, sizeof(t->data), sizeof(t->data), 4096 };
	t->segments[2] = (Elf64_Phdr){ PT_NOTE, PF_R, offsetof(struct tiny, note), 0, 0,
		sizeof(t->note), sizeof(t->note), 4 };
	t->note.header = (Elf64_Nhdr){ 4, sizeof(t->note.build_id), NT_GNU_BUILD_ID };
	memcpy(t->note.name, "GNU", 4);
	memset(t->note.build_id, 0xb1, sizeof(t->note.build_id));
	t->sections[1] = (Elf64_Shdr){ .sh_type = SHT_PROGBITS,
		.sh_flags = SHF_ALLOC | SHF_EXECINSTR,
		.sh_addr = TINY_CODE,
		.sh_offset = offsetof(struct tiny, code),
		.sh_size = sizeof(t->code) };
	t->sections[2] = (Elf64_Shdr){ .sh_type = SHT_SYMTAB,
		.sh_offset = offsetof(struct tiny, symbols),
		.sh_size = sizeof(t->symbols),
		.sh_link = 3,
		.sh_addralign = 8,
		.sh_entsize = sizeof(Elf64_Sym) };
	t->sections[3] = (Elf64_Shdr){ .sh_type = SHT_STRTAB,
		.sh_offset = offsetof(struct tiny, strings),
		.sh_size = sizeof(t->strings) };
}

static void tiny_init(struct tiny *t)
{
	memset(t, 0, sizeof(*t));
	tiny_headers(t);
	memset(t->code, 0x90, sizeof(t->code));
	tiny_symbol(t, 1, "malloc", STT_FUNC, 1, TINY_CODE + 8);
	tiny_symbol(t, 2, "malloc", STT_FUNC, 1, TINY_CODE + 8);      /* twice: once */
	tiny_symbol(t, 3, "malloc", STT_FUNC, 1, TINY_CODE + 24);     /* a version of it */
	tiny_symbol(t, 4, "free", STT_FUNC, 1, TINY_CODE + 63);	      /* the last byte */
	tiny_symbol(t, 5, "calloc", STT_OBJECT, 1, TINY_CODE);	      /* no function */
	tiny_symbol(t, 6, "realloc", STT_FUNC, SHN_UNDEF, TINY_CODE); /* a PLT entry */
	tiny_symbol(t, 7, "memalign", STT_FUNC, 1, TINY_DATA);	      /* not in code */
	tiny_symbol(t, 8, "valloc", STT_FUNC, 1, TINY_CODE - 1);      /* before it */
	tiny_symbol(t, 9, "unasked", STT_FUNC, 1, TINY_CODE);
}

static int parse_tiny(const struct tiny *t, struct buffer *out)
{
	CLEANUP_CLOSE int fd = memory_file(t, sizeof(*t));

	return parse(fd, out);
}

static void test_tiny(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	char text[ELF_BUILD_ID_TEXT];
	const struct elf_info *info;
	struct tiny t;

	(void)state;
	tiny_init(&t);
	assert_int_equal(parse_tiny(&t, &out), 0);
	info = info_of(&out);
	assert_int_equal(info->machine, EM_X86_64);
	assert_int_equal(info->type, ET_EXEC);
	assert_string_equal(
		elf_build_id_text(text, info), "b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1");
	assert_int_equal(info->load_count, 2);
	assert_true(info->loads[0].executable && !info->loads[1].executable);
	assert_int_equal(info->has_symbols, 1);
	assert_int_equal(info->function_count, 3);
	assert_int_equal(info->functions[0].name, MALLOC);
	assert_int_equal(info->functions[0].address, TINY_CODE + 8);
	assert_int_equal(info->functions[0].offset, offsetof(struct tiny, code) + 8);
	assert_int_equal(info->functions[0].bytes, 7);
	assert_int_equal(info->functions[1].name, MALLOC);
	assert_int_equal(info->functions[1].address, TINY_CODE + 24);
	assert_int_equal(info->functions[2].name, FREE);
	assert_int_equal(info->functions[2].address, TINY_CODE + 63);
	/* the mapping begins at the page of the segment's first byte */
	assert_int_equal(elf_address_of_offset(info, 0), TINY_ADDRESS);
	assert_true(elf_address_of_offset(info, offsetof(struct tiny, data)) == UINT64_MAX);
}

/* More segments than there is room for: the first ones count. */
static void test_many_segments(void **state)
{
	struct {
		struct tiny t;
		Elf64_Phdr segments[ELF_MAX_LOADS + 4];
	} file;
	struct buffer out CLEANUP_BUFFER = { 0 };
	int fd;

	(void)state;
	tiny_init(&file.t);
	for (size_t i = 0; i < ARRAY_SIZE(file.segments); i++)
		file.segments[i] = file.t.segments[0];
	file.t.header.e_phoff = sizeof(file.t);
	file.t.header.e_phnum = ARRAY_SIZE(file.segments);
	fd = memory_file(&file, sizeof(file));
	assert_int_equal(parse(fd, &out), 0);
	assert_int_equal(info_of(&out)->load_count, ELF_MAX_LOADS);
	assert_int_equal(info_of(&out)->function_count, 3);
	close(fd);
}

static void test_tiny_lacks(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct tiny t;

	(void)state;
	tiny_init(&t);
	t.header.e_shnum = 0; /* stripped of its sections */
	t.header.e_shoff = 0;
	assert_int_equal(parse_tiny(&t, &out), 0);
	assert_int_equal(info_of(&out)->has_symbols, 0);
	assert_int_equal(info_of(&out)->function_count, 0);
	assert_int_equal(info_of(&out)->build_id_length, 20);

	tiny_init(&t);
	t.segments[2].p_type = PT_NULL;
	assert_int_equal(parse_tiny(&t, &out), 0);
	assert_int_equal(info_of(&out)->build_id_length, 0);
	assert_int_equal(info_of(&out)->function_count, 3);

	tiny_init(&t);
	t.note.header.n_descsz = ELF_MAX_BUILD_ID + 1; /* longer than there is room for */
	t.segments[2].p_filesz = sizeof(t.note) + ELF_MAX_BUILD_ID;
	assert_int_equal(parse_tiny(&t, &out), 0);
	assert_int_equal(info_of(&out)->build_id_length, 0);

	tiny_init(&t);
	t.header.e_phnum = 0;
	assert_int_equal(parse_tiny(&t, &out), -ENOEXEC);
	tiny_init(&t);
	t.header.e_type = ET_REL;
	assert_int_equal(parse_tiny(&t, &out), -ENOEXEC);
	tiny_init(&t);
	t.header.e_type = ET_CORE;
	assert_int_equal(parse_tiny(&t, &out), -ENOEXEC);
}

/* --- no ELF files, and broken ones ----------------------------------------------------------- */

static void check_refused(int fd)
{
	struct buffer out CLEANUP_BUFFER = { 0 };

	buffer_text(&out, "from before");
	assert_int_equal(parse(fd, &out), -ENOEXEC);
	if (fd >= 0)
		close(fd);
}

static void test_no_elf(void **state)
{
	(void)state;
	check_refused(-1);
	check_refused(memory_file("", 0));
	check_refused(memory_file("\177ELF", 4));
	check_refused(memory_file("#!/bin/sh\necho this is no ELF file\n", 34));
	check_refused(memory_file("!<arch>\n", 8)); /* libelf reads archives as well */
	check_refused(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	check_refused(open("/dev/null", O_RDONLY | O_CLOEXEC));
	check_refused(open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
}

static int copy_of(const char *path, size_t *length)
{
	struct buffer bytes CLEANUP_BUFFER = { 0 };

	assert_int_equal(buffer_read_file(&bytes, path, 64 << 20), 0);
	*length = bytes.length;
	return memory_file(bytes.data, bytes.length);
}

/* The file shrinks step by step: first the section headers are gone, at last the ELF header. */
static void test_truncated(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	unsigned int good = 0, bad = 0;
	size_t length, step;
	int fd = copy_of(libc.path, &length);

	(void)state;
	assert_int_equal(parse(fd, &out), 0);
	while (length) {
		step = length > 65536 ? 17011 : length > 4096 ? 1013 : 7;
		length = length > step ? length - step : 0;
		assert_int_equal(ftruncate(fd, (off_t)length), 0);
		if (parse(fd, &out))
			bad++;
		else
			good++;
	}
	assert_true(good > 0 && bad > 0);
	close(fd);
}

/* One byte, or some, become random, 0 or 0xff. */
static void corrupt(uint8_t *bytes, size_t length, uint64_t *rng)
{
	uint64_t r = next_random(rng);
	size_t at = (r >> 32) % length, n = r & 1 ? 1 : 1 + (r >> 1) % 8;

	for (size_t i = at; i < at + n && i < length; i++)
		bytes[i] = r & 16 ? (uint8_t)next_random(rng) : r & 32 ? 0xff : 0;
}

static void test_corrupted_tiny(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	uint64_t rng = 0x9e3779b97f4a7c15;
	unsigned int good = 0, rounds = 4000;
	struct tiny t;

	(void)state;
	for (unsigned int n = 0; n < rounds; n++) {
		tiny_init(&t);
		for (unsigned int i = 0; i <= n % 3; i++)
			corrupt((uint8_t *)&t, sizeof(t), &rng);
		good += !parse_tiny(&t, &out);
	}
	assert_true(good > rounds / 20 && good < rounds);
}

/* Headers of a real file, and its dynamic symbols between them. */
static void test_corrupted_real(void **state)
{
	struct buffer bytes CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	uint64_t rng = 0x123456789abcdef;
	unsigned int good = 0, rounds = 2000;
	size_t length, sections;
	uint8_t *copy;
	int fd;

	(void)state;
	assert_int_equal(buffer_read_file(&bytes, "/bin/true", 1 << 20), 0);
	length = bytes.length;
	sections = ((const Elf64_Ehdr *)(const void *)bytes.data)->e_shoff;
	assert_true(length > 8192 && sections < length);
	copy = malloc(length);
	assert_non_null(copy);
	fd = memory_file(bytes.data, length);
	assert_int_equal(parse(fd, &out), 0);
	for (unsigned int n = 0; n < rounds; n++) {
		memcpy(copy, bytes.data, length);
		for (unsigned int i = 0; i <= n % 4; i++) {
			if (next_random(&rng) & 1)
				corrupt(copy, 4096, &rng);
			else
				corrupt(copy + sections, length - sections, &rng);
		}
		assert_int_equal(pwrite(fd, copy, length, 0), length);
		good += !parse(fd, &out);
	}
	assert_true(good > rounds / 20 && good < rounds);
	close(fd);
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libc),
		cmocka_unit_test(test_build_id),
		cmocka_unit_test(test_build_id_text),
		cmocka_unit_test(test_address_of_offset),
		cmocka_unit_test(test_allocator),
		cmocka_unit_test(test_tiny),
		cmocka_unit_test(test_tiny_lacks),
		cmocka_unit_test(test_many_segments),
		cmocka_unit_test(test_no_elf),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_corrupted_tiny),
		cmocka_unit_test(test_corrupted_real),
	};

	return cmocka_run_group_tests_name("elf", tests, setup, NULL);
}
