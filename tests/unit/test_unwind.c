// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unwind tables: every row of real libraries against libdw's reading of the same file, tables made by
 * hand, stripped files, and broken ones.
 */
#include <dlfcn.h>
#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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

#include "../../user/target/cfi.h"
#include "../../user/target/unwind.h"

#define DIFFERENCES_SHOWN 10

static const struct unwind_info *info_of(const struct buffer *out)
{
	return (const void *)out->data;
}

static int parse(int fd, struct buffer *out)
{
	return parse_file(&unwind_parser, fd, &(struct buffer){ 0 }, out);
}

/* --- against libdw ----------------------------------------------------------------------------- */

/* What libdw says of a register: "DW_OP_call_frame_cfa, plus n", or an expression, as a cfi_saved. */
static struct cfi_saved saved_of(Dwarf_Frame *frame, int reg)
{
	Dwarf_Op memory[3], *ops;
	size_t n;

	assert_int_equal(dwarf_frame_register(frame, reg, memory, &ops, &n), 0);
	if (!n)
		return (struct cfi_saved){ ops == memory ? CFI_UNDEFINED : CFI_SAME, 0 };
	/* rsp, unless something else is said, is the CFA itself. */
	if (reg == CFI_RSP && n == 2 && ops[0].atom == DW_OP_call_frame_cfa &&
		ops[1].atom == DW_OP_stack_value)
		return (struct cfi_saved){ CFI_SAME, 0 };
	if (ops[0].atom == DW_OP_call_frame_cfa && n == 2 && ops[1].atom == DW_OP_plus_uconst)
		return (struct cfi_saved){ CFI_AT_CFA, (int64_t)ops[1].number };
	if (ops[0].atom == DW_OP_call_frame_cfa && n == 1)
		return (struct cfi_saved){ CFI_AT_CFA, 0 };
	if (ops[0].atom == DW_OP_call_frame_cfa && n == 2 &&
		(ops[1].atom == DW_OP_breg6 || ops[1].atom == DW_OP_breg7))
		return (struct cfi_saved){ ops[1].atom == DW_OP_breg6 ? CFI_AT_RBP : CFI_AT_RSP,
			(int64_t)ops[1].number };
	return (struct cfi_saved){ CFI_UNKNOWN, 0 };
}

static bool is_plt(const Dwarf_Op *ops, size_t n, int64_t *from)
{
	static const uint8_t atoms[] = { DW_OP_breg7, DW_OP_breg16, DW_OP_lit15, DW_OP_and, 0,
		DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus };

	if (n != sizeof(atoms) || ops[0].number != 8 || ops[1].number)
		return false;
	for (size_t i = 0; i < n; i++)
		if (atoms[i] && ops[i].atom != atoms[i])
			return false;
	*from = ops[4].atom - DW_OP_lit0;
	return true;
}

static void cfa_of(Dwarf_Frame *frame, struct cfi_state *s)
{
	Dwarf_Op *ops;
	size_t n;

	s->cfa = CFI_CFA_UNKNOWN;
	if (dwarf_frame_cfa(frame, &ops, &n) || !n)
		return;
	if (is_plt(ops, n, &s->offset)) {
		s->cfa = CFI_CFA_PLT;
		return;
	}
	if (ops[0].atom == DW_OP_bregx) {
		s->reg = (uint32_t)ops[0].number;
		s->offset = (int64_t)ops[0].number2;
	} else if (ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg31) {
		s->reg = ops[0].atom - DW_OP_breg0;
		s->offset = (int64_t)ops[0].number;
	} else {
		return;
	}
	if (n == 1)
		s->cfa = CFI_CFA_REGISTER;
	if (n >= 2 && ops[1].atom == DW_OP_deref && n <= 3) {
		if (n == 3 && ops[2].atom != DW_OP_plus_uconst)
			return;
		s->plus = n == 3 ? (int64_t)ops[2].number : 0;
		s->cfa = CFI_CFA_DEREF;
	}
}

/* The rule that libdw's answer amounts to; false: it has none. */
static bool expected_rule(Dwarf_CFI *cfi, uint64_t address, uint64_t *rule)
{
	struct cfi_state s = { 0 };
	Dwarf_Frame *frame;

	if (dwarf_cfi_addrframe(cfi, address, &frame))
		return false;
	cfa_of(frame, &s);
	s.ra = saved_of(frame, CFI_RA);
	s.rbp = saved_of(frame, CFI_RBP);
	s.rbx = saved_of(frame, CFI_RBX);
	/* libdw takes rbx for clobbered by calls; the ABI says that it is not. */
	if (s.rbx.how == CFI_UNDEFINED)
		s.rbx.how = CFI_SAME;
	s.rsp = saved_of(frame, CFI_RSP);
	*rule = cfi_rule(&s);
	free(frame);
	return true;
}

struct comparison {
	Dwarf_CFI *cfi;
	const struct unwind_info *info;
	uint64_t compared, differ, gaps, missing;
};

static void compare_at(struct comparison *c, uint64_t address)
{
	uint64_t ours = unwind_find(c->info, address), theirs = 0;

	c->compared++;
	if (!expected_rule(c->cfi, address, &theirs)) {
		/* Padding between functions keeps the rule before it; broken entries have none. */
		c->gaps += ours && ht_rule_kind(ours) != HT_CFA_UNSUPPORTED;
		return;
	}
	if (ours == theirs)
		return;
	c->missing += !ours;
	if (c->differ++ < DIFFERENCES_SHOWN)
		print_message("  at 0x%" PRIx64 ": ours 0x%016" PRIx64 ", libdw 0x%016" PRIx64 "\n",
			address, ours, theirs);
}

/* The first and the last byte of each n-th row. */
static void compare_rows(struct comparison *c, unsigned int every)
{
	const struct unwind_info *info = c->info;
	const uint32_t *buckets = unwind_buckets(info), *rows = unwind_rows(info);

	for (uint32_t b = 0; b < info->bucket_count; b++) {
		uint64_t start = info->text_start + ((uint64_t)b << HT_BUCKET_SHIFT);

		for (uint32_t i = buckets[b]; i < buckets[b + 1]; i++) {
			uint64_t end = i + 1 < buckets[b + 1] ? ht_row_offset(rows[i + 1])
							      : HT_TEXT_BUCKET;

			if (i % every)
				continue;
			compare_at(c, start + ht_row_offset(rows[i]));
			compare_at(c, start + end - 1);
		}
	}
}

static void compare_file(const char *path, unsigned int every)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct comparison c = { 0 };
	int fd CLEANUP_CLOSE = open(path, O_RDONLY | O_CLOEXEC);
	Elf *elf;

	assert_true(fd >= 0);
	assert_int_equal(parse(fd, &out), 0);
	assert_int_equal(unwind_check(out.data, out.length), 0);
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	c.cfi = dwarf_getcfi_elf(elf);
	c.info = info_of(&out);
	assert_non_null(c.cfi);
	compare_rows(&c, every);
	print_message("%s: %" PRIu64 " places, %" PRIu64 " differ, %" PRIu64
		      " in padding; %u rows, %u rules, %.2f bytes a row; %u rows unsupported, "
		      "%u broken functions\n",
		path, c.compared, c.differ, c.gaps, c.info->row_count, c.info->rule_count,
		(double)out.length / c.info->row_count, c.info->unsupported_rows,
		c.info->broken_functions);
	assert_int_equal(c.differ, 0);
	if (c.info->row_count > 10000)
		assert_true(out.length <= 5.0 * c.info->row_count);
	dwarf_cfi_end(c.cfi);
	elf_end(elf);
}

static const char *path_of(const char *library)
{
	struct link_map *map;
	void *handle = dlopen(library, RTLD_LAZY);

	return handle && !dlinfo(handle, RTLD_DI_LINKMAP, &map) ? map->l_name : NULL;
}

static void compare_library(const char *const *names, unsigned int every)
{
	const char *path = NULL;

	for (; *names && !path; names++)
		path = path_of(*names);
	if (!path)
		skip();
	compare_file(path, every);
}

static void test_libc(void **state)
{
	(void)state;
	compare_library((const char *const[]){ "libc.so.6", NULL }, 1);
}

static void test_loader(void **state)
{
	(void)state;
	compare_library((const char *const[]){ "ld-linux-x86-64.so.2", NULL }, 1);
}

static void test_libstdcxx(void **state)
{
	(void)state;
	compare_library((const char *const[]){ "libstdc++.so.6", NULL }, 1);
}

static void test_libcrypto(void **state)
{
	(void)state;
	compare_library((const char *const[]){ "libcrypto.so.3", "libgcrypt.so.20", NULL }, 1);
}

static void test_llvm(void **state)
{
	(void)state;
	compare_library((const char *const[]){ "libLLVM-14.so.1", "libLLVM-15.so.1",
				"libLLVM.so.19.1", "libclang-cpp.so.14", NULL },
		7);
}

static void test_python(void **state)
{
	(void)state;
	if (access("/usr/bin/python3.11", R_OK))
		skip();
	compare_file("/usr/bin/python3.11", 1);
}

/* --- without sections ---------------------------------------------------------------------------- */

static int copy_of(const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC);
	int to = memfd_create("copy", MFD_CLOEXEC);
	struct stat st;

	assert_true(from >= 0 && to >= 0 && !fstat(from, &st));
	for (off_t at = 0; at < st.st_size;) {
		char block[65536];
		ssize_t n = pread(from, block, sizeof(block), at);

		assert_true(n > 0 && pwrite(to, block, (size_t)n, at) == n);
		at += n;
	}
	close(from);
	return to;
}

static void test_stripped(void **state)
{
	struct buffer whole CLEANUP_BUFFER = { 0 }, stripped CLEANUP_BUFFER = { 0 };
	int fd CLEANUP_CLOSE = copy_of(path_of("libc.so.6"));
	Elf64_Ehdr header;

	(void)state;
	assert_int_equal(parse(fd, &whole), 0);
	assert_int_equal(pread(fd, &header, sizeof(header), 0), sizeof(header));
	header.e_shoff = header.e_shnum = header.e_shstrndx = 0;
	assert_int_equal(pwrite(fd, &header, sizeof(header), 0), sizeof(header));
	assert_int_equal(parse(fd, &stripped), 0);
	assert_int_equal(whole.length, stripped.length);
	assert_memory_equal(whole.data, stripped.data, whole.length);
}

/* --- made by hand ---------------------------------------------------------------------------------- */

#define HAND_TEXT 0x1000

/* An ELF file of one executable segment, with sections: a .eh_frame or .debug_frame of these bytes. */
static int hand_made(const void *frame, size_t bytes, bool debug_frame)
{
	static const char names[] = "\0.eh_frame\0.debug_frame\0.shstrtab";
	struct {
		Elf64_Ehdr h;
		Elf64_Phdr p;
		Elf64_Shdr s[3];
		char names[sizeof(names)];
	} f = { 0 };
	int fd = memfd_create("hand", MFD_CLOEXEC);

	memcpy(f.h.e_ident, ELFMAG, SELFMAG);
	f.h.e_ident[EI_CLASS] = ELFCLASS64;
	f.h.e_ident[EI_DATA] = ELFDATA2LSB;
	f.h.e_machine = EM_X86_64;
	f.h.e_type = ET_DYN;
	f.h.e_phoff = offsetof(__typeof__(f), p);
	f.h.e_phentsize = sizeof(Elf64_Phdr);
	f.h.e_phnum = 1;
	f.h.e_shoff = offsetof(__typeof__(f), s);
	f.h.e_shentsize = sizeof(Elf64_Shdr);
	f.h.e_shnum = 3;
	f.h.e_shstrndx = 2;
	f.p = (Elf64_Phdr){ .p_type = PT_LOAD,
		.p_flags = PF_X | PF_R,
		.p_vaddr = HAND_TEXT,
		.p_filesz = 0x1000,
		.p_memsz = 0x1000 };
	f.s[1] = (Elf64_Shdr){ .sh_name = debug_frame ? 11 : 1,
		.sh_type = SHT_PROGBITS,
		.sh_addr = 0x4000,
		.sh_offset = sizeof(f),
		.sh_size = bytes };
	f.s[2] = (Elf64_Shdr){ .sh_name = 24,
		.sh_type = SHT_STRTAB,
		.sh_offset = offsetof(__typeof__(f), names),
		.sh_size = sizeof(names) };
	memcpy(f.names, names, sizeof(names));
	assert_int_equal(write(fd, &f, sizeof(f)), sizeof(f));
	assert_int_equal(write(fd, frame, bytes), bytes);
	return fd;
}

struct hand {
	uint8_t bytes[65536];
	size_t length;
	bool debug_frame;
};

static void put(struct hand *h, const void *bytes, size_t n)
{
	memcpy(h->bytes + h->length, bytes, n);
	h->length += n;
}

static void put_u32(struct hand *h, uint32_t value)
{
	put(h, &value, sizeof(value));
}

static void put_u64(struct hand *h, uint64_t value)
{
	put(h, &value, sizeof(value));
}

/* Version 1, absolute addresses, code alignment 1, data alignment -8; CFA = rsp + 8, RA at CFA - 8. */
static void put_cie(struct hand *h)
{
	static const uint8_t body[] = { 1, 0, 1, 0x78, 16, DW_CFA_def_cfa, 7, 8, DW_CFA_offset | 16,
		1 };

	put_u32(h, sizeof(body) + 4);
	put_u32(h, h->debug_frame ? UINT32_MAX : 0);
	put(h, body, sizeof(body));
}

static void put_fde(struct hand *h, uint64_t start, uint64_t bytes, const void *program, size_t n)
{
	put_u32(h, (uint32_t)(4 + 16 + n));
	put_u32(h, h->debug_frame ? 0 : (uint32_t)h->length);
	put_u64(h, start);
	put_u64(h, bytes);
	put(h, program, n);
}

static int parse_hand(const struct hand *h, struct buffer *out)
{
	int fd CLEANUP_CLOSE = hand_made(h->bytes, h->length, h->debug_frame);
	int error = parse(fd, out);

	if (!error)
		assert_int_equal(unwind_check(out->data, out->length), 0);
	return error;
}

static const uint64_t at_entry = (8ULL << 32) | HT_CFA_SP;

static void test_rows_of_a_function(void **state)
{
	/* push %rbp; mov %rsp,%rbp; ... leave; ret; then a gap, another function, and the end */
	static const uint8_t program[] = { DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16,
		DW_CFA_offset | 6, 2, DW_CFA_advance_loc | 3, DW_CFA_def_cfa_register, 6,
		DW_CFA_advance_loc | 40, DW_CFA_def_cfa, 7, 8 };
	static const bool kinds[] = { false, true };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct buffer out CLEANUP_BUFFER = { 0 };
		struct hand h = { .debug_frame = kinds[k] };
		const struct unwind_info *info;

		put_cie(&h);
		put_fde(&h, HAND_TEXT + 0x300, 8, "", 0);
		put_fde(&h, HAND_TEXT + 0x100, 45, program, sizeof(program));
		assert_int_equal(parse_hand(&h, &out), 0);
		info = info_of(&out);
		assert_int_equal(info->functions, 2);
		assert_int_equal(info->broken_functions, 0);
		assert_int_equal(unwind_find(info, HAND_TEXT), HT_CFA_NONE);
		assert_int_equal(unwind_find(info, HAND_TEXT + 0xff), HT_CFA_NONE);
		assert_int_equal(unwind_find(info, HAND_TEXT + 0x100), at_entry);
		assert_int_equal(
			unwind_find(info, HAND_TEXT + 0x101), ht_rule(HT_CFA_SP, 0, 16, -2, 0));
		assert_int_equal(unwind_find(info, HAND_TEXT + 0x104), HT_RULE_FRAME_POINTER);
		assert_int_equal(unwind_find(info, HAND_TEXT + 0x12b), HT_RULE_FRAME_POINTER);
		assert_int_equal(
			unwind_find(info, HAND_TEXT + 0x12c), ht_rule(HT_CFA_SP, 0, 8, -2, 0));
		assert_int_equal(unwind_find(info, HAND_TEXT + 0x12d), HT_CFA_NONE);
		assert_int_equal(unwind_find(info, HAND_TEXT + 0x2ff), HT_CFA_NONE);
		assert_int_equal(unwind_find(info, HAND_TEXT + 0x300), at_entry);
		assert_int_equal(unwind_find(info, HAND_TEXT + 0x308), HT_CFA_NONE);
		assert_int_equal(unwind_find(info, HAND_TEXT - 1), HT_CFA_NONE);
		assert_int_equal(unwind_find(info, HAND_TEXT + 0x1000), HT_CFA_NONE);
	}
}

static uint64_t rule_of_program(const uint8_t *program, size_t n)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct hand h = { 0 };

	put_cie(&h);
	put_fde(&h, HAND_TEXT, 16, program, n);
	assert_int_equal(parse_hand(&h, &out), 0);
	return unwind_find(info_of(&out), HAND_TEXT);
}

#define RULE(...)                                                                                  \
	rule_of_program((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void test_expressions(void **state)
{
	(void)state;
	/* gcc's realigned stack: the CFA is kept at rbp - 8, rbp at rbp + 0. */
	assert_int_equal(
		RULE(DW_CFA_expression, 6, 2, DW_OP_breg6, 0, DW_CFA_expression, 3, 2, DW_OP_breg6,
			0x68, DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0x78, DW_OP_deref),
		ht_rule(HT_CFA_BP_DEREF, HT_RULE_AT_BP, (uint16_t)-8, 0, 3));
	/* OpenSSL's: the old rsp is kept at rsp + 144. */
	assert_int_equal(RULE(DW_CFA_offset | 6, 3, DW_CFA_def_cfa_expression, 6, DW_OP_breg7, 0x90,
				 1, DW_OP_deref, DW_OP_plus_uconst, 8),
		ht_rule(HT_CFA_SP_DEREF, 0, 8 << 16 | 144, -3, 0));
	assert_int_equal(
		RULE(DW_CFA_def_cfa_expression, 11, DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15,
			DW_OP_and, DW_OP_lit11, DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus),
		ht_rule(HT_CFA_PLT, 0, 11, 0, 0));
	assert_int_equal(
		RULE(DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 0xa0, 1, DW_OP_deref,
			DW_CFA_expression, 6, 3, DW_OP_breg7, 0xf8, 0, DW_CFA_expression, 16, 3,
			DW_OP_breg7, 0xa8, 1, DW_CFA_expression, 7, 3, DW_OP_breg7, 0xa0, 1),
		ht_rule(HT_CFA_SIGNAL, 0, 0, 0, 0));
	assert_int_equal(RULE(DW_CFA_undefined, 16), HT_CFA_END);
	assert_int_equal(RULE(DW_CFA_def_cfa, 10, 0), ht_rule(HT_CFA_REGISTER, 0, 10, 0, 0));
	assert_int_equal(
		RULE(DW_CFA_def_cfa, 3, 24, DW_CFA_offset | 3, 2), ht_rule(HT_CFA_BX, 0, 24, 0, 2));
	/* What no rule says. */
	assert_int_equal(
		RULE(DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 8, DW_OP_deref, DW_OP_deref),
		HT_CFA_UNSUPPORTED);
	assert_int_equal(RULE(DW_CFA_register, 16, 5), HT_CFA_UNSUPPORTED);
	assert_int_equal(RULE(DW_CFA_offset | 16, 2), HT_CFA_UNSUPPORTED);
	assert_int_equal(ht_rule_rbp(RULE(DW_CFA_register, 6, 5)), HT_RBP_LOST);
}

static void test_states_are_remembered(void **state)
{
	static const uint8_t program[] = { DW_CFA_remember_state, DW_CFA_def_cfa_offset, 32,
		DW_CFA_advance_loc | 4, DW_CFA_restore_state, DW_CFA_advance_loc | 4,
		DW_CFA_restore_state };
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct hand h = { 0 };

	(void)state;
	put_cie(&h);
	put_fde(&h, HAND_TEXT, 32, program, sizeof(program));
	assert_int_equal(parse_hand(&h, &out), 0);
	assert_int_equal(ht_rule_operand(unwind_find(info_of(&out), HAND_TEXT)), 32);
	assert_int_equal(unwind_find(info_of(&out), HAND_TEXT + 4), at_entry);
	/* One too many: the rest of the function has no rule. */
	assert_int_equal(unwind_find(info_of(&out), HAND_TEXT + 8), HT_CFA_UNSUPPORTED);
	assert_int_equal(info_of(&out)->broken_functions, 1);
}

/* --- broken ------------------------------------------------------------------------------------------ */

static void test_not_elf(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	int null CLEANUP_CLOSE = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(parse(null, &out), -ENOEXEC);
	assert_int_equal(parse(-1, &out), -ENOEXEC);
	assert_int_equal(out.length, 0);
}

/* Found by the fuzzer: no bytes to read are no bytes to point at. */
static void test_empty_names(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	int fd CLEANUP_CLOSE = copy_of(path_of("libc.so.6"));
	Elf64_Ehdr header;
	Elf64_Shdr names;
	off_t at;

	(void)state;
	assert_int_equal(pread(fd, &header, sizeof(header), 0), sizeof(header));
	at = (off_t)(header.e_shoff + header.e_shstrndx * sizeof(names));
	assert_int_equal(pread(fd, &names, sizeof(names), at), sizeof(names));
	names.sh_size = 0;
	assert_int_equal(pwrite(fd, &names, sizeof(names), at), sizeof(names));
	assert_int_equal(parse(fd, &out), 0); /* by the program header, as in a stripped file */
}

static void test_cut_and_flipped(void **state)
{
	static const uint8_t program[] = { DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16,
		DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0x78, DW_OP_deref, DW_CFA_advance_loc4,
		4, 0, 0, 0, DW_CFA_restore | 6 };
	struct hand whole = { 0 };
	uint64_t seed = 1;

	(void)state;
	put_cie(&whole);
	for (int i = 0; i < 4; i++)
		put_fde(&whole, HAND_TEXT + 0x100 * (uint64_t)i, 0x80, program, sizeof(program));
	for (size_t cut = 1; cut < whole.length; cut++) {
		struct buffer out CLEANUP_BUFFER = { 0 };
		struct hand h = whole;

		h.length = cut;
		parse_hand(&h, &out);
	}
	for (int round = 0; round < 20000; round++) {
		struct buffer out CLEANUP_BUFFER = { 0 };
		struct hand h = whole;

		for (int flips = 0; flips < 4; flips++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			h.bytes[(seed >> 33) % h.length] = (uint8_t)(seed >> 20);
		}
		parse_hand(&h, &out);
	}
}

/* Tables from a file are believed only as far as they hold together. */
static void test_check(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	int fd CLEANUP_CLOSE = open(path_of("ld-linux-x86-64.so.2"), O_RDONLY | O_CLOEXEC);
	uint64_t seed = 7;

	(void)state;
	assert_int_equal(parse(fd, &out), 0);
	assert_int_equal(unwind_check(out.data, out.length), 0);
	for (size_t cut = 0; cut < out.length; cut += 61)
		assert_int_equal(unwind_check(out.data, cut), -EINVAL);
	for (int round = 0; round < 5000; round++) {
		uint8_t *at, old;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		at = &out.data[(seed >> 33) % (round % 2 ? out.length : 4096)];
		old = *at;
		*at = (uint8_t)(seed >> 20);
		if (!unwind_check(out.data, out.length))
			for (uint64_t a = 0; a < 0x40000; a += 977)
				unwind_find(info_of(&out), a);
		*at = old;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libc),
		cmocka_unit_test(test_loader),
		cmocka_unit_test(test_libstdcxx),
		cmocka_unit_test(test_libcrypto),
		cmocka_unit_test(test_llvm),
		cmocka_unit_test(test_python),
		cmocka_unit_test(test_stripped),
		cmocka_unit_test(test_rows_of_a_function),
		cmocka_unit_test(test_expressions),
		cmocka_unit_test(test_states_are_remembered),
		cmocka_unit_test(test_not_elf),
		cmocka_unit_test(test_empty_names),
		cmocka_unit_test(test_cut_and_flipped),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
