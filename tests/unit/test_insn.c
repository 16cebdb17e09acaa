// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Probe placement and call sites, over bytes of real allocators and over hostile ones.
 *
 * The bytes: glibc 2.36 and libstdc++ 6.0.30 of Debian 12, libjemalloc2 5.3.0-1, musl 1.2.3-1, by
 * objdump. Long functions are cut behind the prologue.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "../../user/target/insn.h"

#define CODE(s)	     (const uint8_t *)(s), sizeof(s) - 1
#define ENTRY	     INSN_PROBE_ENTRY
#define RETURN	     INSN_PROBE_RETURN
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* clang-format off */
static const char glibc_malloc[] =
	"\x41\x54" /* push %r12 */
	"\x55" /* push %rbp */
	"\x53" /* push %rbx */
	"\x48\x89\xfb" /* mov %rdi,%rbx */
	"\x48\x83\xec\x10" /* sub $0x10,%rsp */
	"\x80\x3d\x46\x1b\x14\x00\x00" /* cmpb $0x0,0x141b46(%rip) */
	"\x0f\x84\xf8\x01\x00\x00" /* je 98b40 */
	"\x48\x85\xdb"; /* test %rbx,%rbx */

static const char glibc_free[] =
	"\x48\x85\xff" /* test %rdi,%rdi */
	"\x0f\x84\xbf\x00\x00\x00" /* je 98fb8 */
	"\x55" /* push %rbp */
	"\x48\x8d\x77\xf0" /* lea -0x10(%rdi),%rsi */
	"\x53" /* push %rbx */
	"\x48\x83\xec\x18" /* sub $0x18,%rsp */
	"\x48\x8b\x1d\xd6\x9e\x13\x00" /* mov 0x139ed6(%rip),%rbx */
	"\x48\x8b\x47\xf8" /* mov -0x8(%rdi),%rax */
	"\x64\x8b\x2b" /* mov %fs:(%rbx),%ebp */
	"\xa8\x02" /* test $0x2,%al */
	"\x75\x5b"; /* jne 98f70 */

static const char glibc_calloc[] =
	"\x41\x55" /* push %r13 */
	"\x48\x89\xf8" /* mov %rdi,%rax */
	"\x41\x54" /* push %r12 */
	"\x55" /* push %rbp */
	"\x53" /* push %rbx */
	"\x48\x83\xec\x18" /* sub $0x18,%rsp */
	"\x48\xf7\xe6" /* mul %rsi */
	"\x48\x89\xc3" /* mov %rax,%rbx */
	"\x0f\x90\xc0" /* seto %al */
	"\x48\x85\xdb" /* test %rbx,%rbx */
	"\x0f\x88\xd9\x02\x00\x00"; /* js 999d8 */

static const char glibc_realloc[] =
	"\x41\x57" /* push %r15 */
	"\x41\x56" /* push %r14 */
	"\x41\x55" /* push %r13 */
	"\x41\x54" /* push %r12 */
	"\x55" /* push %rbp */
	"\x48\x89\xf5" /* mov %rsi,%rbp */
	"\x53" /* push %rbx */
	"\x48\x89\xfb" /* mov %rdi,%rbx */
	"\x48\x83\xec\x28" /* sub $0x28,%rsp */
	"\x80\x3d\x3d\x13\x14\x00\x00" /* cmpb $0x0,0x14133d(%rip) */
	"\x0f\x84\x57\x01\x00\x00" /* je 992a8 */
	"\x48\x85\xed"; /* test %rbp,%rbp */

static const char glibc_reallocarray[] =
	"\x48\x89\xf0" /* mov %rsi,%rax */
	"\x48\xf7\xe2" /* mul %rdx */
	"\x48\x89\xc6" /* mov %rax,%rsi */
	"\x70\x05" /* jo 9a7f0 */
	"\xe9\x40\xb8\xf8\xff" /* jmp 26030 */
	"\x48\x8b\x05\xe9\x85\x13\x00" /* mov 0x1385e9(%rip),%rax */
	"\x64\xc7\x00\x0c\x00\x00\x00" /* movl $0xc,%fs:(%rax) */
	"\x31\xc0" /* xor %eax,%eax */
	"\xc3"; /* ret */

static const char glibc_posix_memalign[] =
	"\x80\x3d\x01\x02\x14\x00\x00" /* cmpb $0x0,0x140201(%rip) */
	"\x41\x54" /* push %r12 */
	"\x49\x89\xd4" /* mov %rdx,%r12 */
	"\x55" /* push %rbp */
	"\x48\x89\xfd" /* mov %rdi,%rbp */
	"\x53" /* push %rbx */
	"\x48\x89\xf3" /* mov %rsi,%rbx */
	"\x74\x5a" /* je 9a2f0 */
	"\x48\x89\xda" /* mov %rbx,%rdx */
	"\x48\xc1\xea\x03" /* shr $0x3,%rdx */
	"\x48\x8d\x42\xff" /* lea -0x1(%rdx),%rax */
	"\x48\x21\xd0" /* and %rdx,%rax */
	"\x48\x89\xda" /* mov %rbx,%rdx */
	"\x83\xe2\x07" /* and $0x7,%edx */
	"\x48\x09\xd0" /* or %rdx,%rax */
	"\x75\x31" /* jne 9a2e0 */
	"\x48\x85\xdb" /* test %rbx,%rbx */
	"\x74\x2c" /* je 9a2e0 */
	"\x4c\x89\xe6" /* mov %r12,%rsi */
	"\x48\x89\xdf" /* mov %rbx,%rdi */
	"\xe8\x91\xe9\xff\xff" /* call 98c50 */
	"\x48\x89\xc2" /* mov %rax,%rdx */
	"\xb8\x0c\x00\x00\x00" /* mov $0xc,%eax */
	"\x48\x85\xd2" /* test %rdx,%rdx */
	"\x74\x06" /* je 9a2d2 */
	"\x48\x89\x55\x00" /* mov %rdx,0x0(%rbp) */
	"\x31\xc0" /* xor %eax,%eax */
	"\x5b" /* pop %rbx */
	"\x5d" /* pop %rbp */
	"\x41\x5c" /* pop %r12 */
	"\xc3" /* ret */
	"\x66\x0f\x1f\x84\x00\x00\x00\x00\x00" /* nopw 0x0(%rax,%rax,1) */
	"\x5b" /* pop %rbx */
	"\xb8\x16\x00\x00\x00" /* mov $0x16,%eax */
	"\x5d" /* pop %rbp */
	"\x41\x5c" /* pop %r12 */
	"\xc3" /* ret */
	"\x66\x0f\x1f\x44\x00\x00" /* nopw 0x0(%rax,%rax,1) */
	"\xe8\xfb\xaf\xff\xff" /* call 952f0 */
	"\xeb\x9f"; /* jmp 9a296 */

static const char glibc_memalign[] =
	"\x80\x3d\x71\x0e\x14\x00\x00" /* cmpb $0x0,0x140e71(%rip) */
	"\x74\x07" /* je 99620 */
	"\xe9\x32\xf6\xff\xff" /* jmp 98c50 */
	"\x66\x90" /* xchg %ax,%ax */
	"\x48\x83\xec\x18" /* sub $0x18,%rsp */
	"\x48\x89\x74\x24\x08" /* mov %rsi,0x8(%rsp) */
	"\x48\x89\x3c\x24" /* mov %rdi,(%rsp) */
	"\xe8\xbe\xbc\xff\xff" /* call 952f0 */
	"\x48\x8b\x74\x24\x08" /* mov 0x8(%rsp),%rsi */
	"\x48\x8b\x3c\x24" /* mov (%rsp),%rdi */
	"\x48\x83\xc4\x18" /* add $0x18,%rsp */
	"\xe9\x0c\xf6\xff\xff"; /* jmp 98c50 */

static const char glibc_valloc[] =
	"\x80\x3d\x31\x0e\x14\x00\x00" /* cmpb $0x0,0x140e31(%rip) */
	"\x53" /* push %rbx */
	"\x48\x89\xfb" /* mov %rdi,%rbx */
	"\x74\x1b" /* je 99678 */
	"\x48\x8b\x05\x34\x98\x13\x00" /* mov 0x139834(%rip),%rax */
	"\x48\x89\xde" /* mov %rbx,%rsi */
	"\x5b" /* pop %rbx */
	"\x48\x8b\x78\x18" /* mov 0x18(%rax),%rdi */
	"\xe9\xdf\xf5\xff\xff" /* jmp 98c50 */
	"\x0f\x1f\x80\x00\x00\x00\x00" /* nopl 0x0(%rax) */
	"\xe8\x73\xbc\xff\xff" /* call 952f0 */
	"\xeb\xde"; /* jmp 9965d */

static const char glibc_pvalloc[] =
	"\x80\x3d\x01\x0e\x14\x00\x00" /* cmpb $0x0,0x140e01(%rip) */
	"\x53" /* push %rbx */
	"\x48\x89\xfb" /* mov %rdi,%rbx */
	"\x74\x2b" /* je 996b8 */
	"\x48\x8b\x05\x04\x98\x13\x00" /* mov 0x139804(%rip),%rax */
	"\x48\x8b\x78\x18" /* mov 0x18(%rax),%rdi */
	"\x48\x8d\x47\xff" /* lea -0x1(%rdi),%rax */
	"\x48\x01\xd8" /* add %rbx,%rax */
	"\x72\x1e" /* jb 996bf */
	"\xbe\x01\x00\x00\x00" /* mov $0x1,%esi */
	"\x5b" /* pop %rbx */
	"\x48\x29\xfe" /* sub %rdi,%rsi */
	"\x48\x21\xc6" /* and %rax,%rsi */
	"\xe9\x9e\xf5\xff\xff" /* jmp 98c50 */
	"\x66\x0f\x1f\x44\x00\x00" /* nopw 0x0(%rax,%rax,1) */
	"\xe8\x33\xbc\xff\xff" /* call 952f0 */
	"\xeb\xce" /* jmp 9968d */
	"\x48\x8b\x05\x1a\x97\x13\x00" /* mov 0x13971a(%rip),%rax */
	"\x64\xc7\x00\x0c\x00\x00\x00" /* movl $0xc,%fs:(%rax) */
	"\x31\xc0" /* xor %eax,%eax */
	"\x5b" /* pop %rbx */
	"\xc3"; /* ret */

static const char libstdcxx_new[] =
	"\xf3\x0f\x1e\xfa" /* endbr64 */
	"\x48\x85\xff" /* test %rdi,%rdi */
	"\xb8\x01\x00\x00\x00" /* mov $0x1,%eax */
	"\x53" /* push %rbx */
	"\x48\x0f\x45\xc7" /* cmovne %rdi,%rax */
	"\x48\x89\xc3" /* mov %rax,%rbx */
	"\x48\x89\xdf" /* mov %rbx,%rdi */
	"\xe8\x64\x08\xff\xff" /* call 99df0 */
	"\x48\x85\xc0" /* test %rax,%rax */
	"\x74\x02" /* je a9593 */
	"\x5b" /* pop %rbx */
	"\xc3" /* ret */
	"\xe8\xa8\x08\xff\xff" /* call 99e40 */
	"\x48\x85\xc0" /* test %rax,%rax */
	"\x0f\x84\x55\x3f\xff\xff" /* je 9d4f6 */
	"\xff\xd0" /* call *%rax */
	"\xeb\xdf"; /* jmp a9584 */

static const char jemalloc_malloc[] =
	"\x48\x81\xff\x00\x10\x00\x00" /* cmp $0x1000,%rdi */
	"\x0f\x87\x93\x00\x00\x00" /* ja 239b0 */
	"\x48\x8d\x15\x5c\x7f\x2c\x00" /* lea 0x2c7f5c(%rip),%rdx */
	"\x48\x8d\x47\x07" /* lea 0x7(%rdi),%rax */
	"\x48\x8b\x0d\x49\x96\x0a\x00"; /* mov 0xa9649(%rip),%rcx */

static const char jemalloc_free[] =
	"\x48\x89\xf8" /* mov %rdi,%rax */
	"\x48\x8b\x15\x0e\x53\x0a\x00" /* mov 0xa530e(%rip),%rdx */
	"\x48\x89\xf9" /* mov %rdi,%rcx */
	"\x48\xc1\xe8\x1a" /* shr $0x1a,%rax */
	"\x48\x81\xe1\x00\x00\x00\xc0" /* and $0xffffffffc0000000,%rcx */
	"\x25\xf0\x00\x00\x00" /* and $0xf0,%eax */
	"\x64\x48\x03\x04\x25\x00\x00\x00\x00" /* add %fs:0x0,%rax */
	"\x48\x01\xd0" /* add %rdx,%rax */
	"\x48\x3b\x88\xb0\x01\x00\x00" /* cmp 0x1b0(%rax),%rcx */
	"\x0f\x85\x8a\x00\x00\x00"; /* jne 27d20 */

static const char jemalloc_delete_sized[] =
	"\x48\x85\xff" /* test %rdi,%rdi */
	"\x74\x13" /* je ae128 */
	"\x48\x83\xec\x08" /* sub $0x8,%rsp */
	"\xe8\x12\x33\xf8\xff" /* call 31430 */
	"\x48\x83\xc4\x08" /* add $0x8,%rsp */
	"\xc3" /* ret */
	"\x0f\x1f\x44\x00\x00" /* nopl 0x0(%rax,%rax,1) */
	"\xc3"; /* ret */

static const char musl_malloc[] =
	"\xe9\x6b\x19\x00\x00"; /* jmp 29290 */

static const char musl_libc_malloc[] =
	"\x48\xb8\xfe\xef\xff\xff\xff\xff\xff\x7f" /* movabs $0x7fffffffffffeffe,%rax */
	"\x41\x57" /* push %r15 */
	"\x41\x56" /* push %r14 */
	"\x41\x55" /* push %r13 */
	"\x41\x54" /* push %r12 */
	"\x55" /* push %rbp */
	"\x53" /* push %rbx */
	"\x48\x83\xec\x08" /* sub $0x8,%rsp */
	"\x48\x39\xc7" /* cmp %rax,%rdi */
	"\x0f\x87\x5f\x03\x00\x00" /* ja 29610 */
	"\x48\x89\xfd"; /* mov %rdi,%rbp */

static const char musl_libc_free[] =
	"\x48\x85\xff" /* test %rdi,%rdi */
	"\x0f\x84\x57\x01\x00\x00" /* je 28430 */
	"\x41\x57" /* push %r15 */
	"\x49\x89\xf9" /* mov %rdi,%r9 */
	"\x41\x56" /* push %r14 */
	"\x41\x55" /* push %r13 */
	"\x41\x54" /* push %r12 */
	"\x55" /* push %rbp */
	"\x53" /* push %rbx */
	"\x48\x83\xec\x28" /* sub $0x28,%rsp */
	"\xe8\xe1\xfa\xff\xff" /* call 27dd0 */
	"\x41\x0f\xb6\x51\xfd" /* movzbl -0x3(%r9),%edx */
	"\x48\x89\xc5"; /* mov %rax,%rbp */

/* clang-format on */

struct place_case {
	const char *name;
	const uint8_t *code;
	size_t len;
	enum insn_probe probe;
	unsigned int nargs;
	bool skip_null;
	uint32_t offset;
	int32_t sp_moved;
	bool emulated;
};

/* What is expected: offset, sp_moved, emulated */
#define AT(offset)	  offset, 0, true
#define AT_SP(offset, sp) offset, sp, true
#define NOWHERE		  0, 0, false

/* Exactly len bytes, so that the address sanitizer sees a read of one more, on either side. */
static uint8_t *exact_copy(const uint8_t *code, size_t len)
{
	uint8_t *copy = malloc(len);

	assert_true(copy || !len);
	if (len)
		memcpy(copy, code, len);
	return copy;
}

/*
 * The same, right before a page that can't be read: the decoder library is not compiled with the
 * sanitizer. Valid until the next call.
 */
static uint8_t *guarded_copy(const uint8_t *code, size_t len)
{
	static uint8_t *page;
	size_t size = (size_t)sysconf(_SC_PAGESIZE);

	if (!page) {
		page = mmap(
			NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_true(page != MAP_FAILED);
		assert_int_equal(0, mprotect(page + size, size, PROT_NONE));
	}
	assert_true(len <= size);
	if (len)
		memcpy(page + size - len, code, len);
	return page + size - len;
}

static void run_place_cases(const struct place_case *cases, size_t nr)
{
	struct insn_place place;
	uint8_t *code;
	size_t i;
	int ret;

	for (i = 0; i < nr; i++) {
		const struct place_case *c = &cases[i];

		code = exact_copy(c->code, c->len);
		memset(&place, 0xa5, sizeof(place));
		ret = insn_place_probe(code, c->len, 0, c->probe, c->nargs, c->skip_null, &place);
		if (ret || place.offset != c->offset || place.sp_moved != c->sp_moved ||
			place.emulated != c->emulated)
			fail_msg("%s: got %d, +%u sp %d emulated %d; want 0, +%u sp %d emulated %d",
				c->name, ret, place.offset, place.sp_moved, place.emulated,
				c->offset, c->sp_moved, c->emulated);
		if (c->probe == RETURN && insn_check_return_probe(code, c->len, c->offset))
			fail_msg("%s: return probe at the chosen place refused", c->name);
		free(code);
	}
}

static void test_glibc(void **state)
{
	static const struct place_case cases[] = {
		{ "malloc", CODE(glibc_malloc), ENTRY, 1, false, AT(0) },
		{ "malloc return", CODE(glibc_malloc), RETURN, 1, false, AT(0) },
		{ "free", CODE(glibc_free), ENTRY, 1, true, AT(9) },
		{ "free, NULL too", CODE(glibc_free), ENTRY, 1, false, AT(3) },
		{ "calloc", CODE(glibc_calloc), RETURN, 2, false, AT(0) },
		{ "realloc", CODE(glibc_realloc), RETURN, 2, false, AT(0) },
		/* mul %rdx overwrites the third argument */
		{ "reallocarray", CODE(glibc_reallocarray), RETURN, 3, false, NOWHERE },
		{ "reallocarray 1", CODE(glibc_reallocarray), RETURN, 1, false, AT(9) },
		{ "posix_memalign", CODE(glibc_posix_memalign), RETURN, 3, false, AT(7) },
		{ "memalign", CODE(glibc_memalign), RETURN, 2, false, AT(7) },
		{ "valloc", CODE(glibc_valloc), RETURN, 1, false, AT(7) },
		{ "pvalloc", CODE(glibc_pvalloc), RETURN, 1, false, AT(7) },
	};

	(void)state;
	run_place_cases(cases, ARRAY_LEN(cases));
}

static void test_other_allocators(void **state)
{
	static const struct place_case cases[] = {
		{ "operator new", CODE(libstdcxx_new), ENTRY, 1, false, AT(12) },
		{ "je malloc", CODE(jemalloc_malloc), RETURN, 1, false, AT(7) },
		{ "je free", CODE(jemalloc_free), ENTRY, 1, true, AT(48) },
		{ "je delete", CODE(jemalloc_delete_sized), ENTRY, 2, true, AT_SP(9, 8) },
		{ "musl thunk", CODE(musl_malloc), RETURN, 1, false, AT(0) },
		{ "musl malloc", CODE(musl_libc_malloc), RETURN, 1, false, AT(10) },
		{ "musl free", CODE(musl_libc_free), ENTRY, 1, true, AT(9) },
		/* Ubuntu: -fcf-protection puts endbr64 before every prologue */
		{ "ubuntu", CODE("\xf3\x0f\x1e\xfa\x41\x54\x55"), RETURN, 1, false, AT(4) },
		{ "ubuntu free", CODE("\xf3\x0f\x1e\xfa\x48\x85\xff\x74\x40\x55"), ENTRY, 1, true,
			AT(9) },
	};

	(void)state;
	run_place_cases(cases, ARRAY_LEN(cases));
}

/* Each form is followed by "push %rbp; ret": a place at 0 means that it was taken for emulated. */
static const struct {
	const uint8_t *code;
	size_t len;
	bool emulated;
} emulated_forms_cases[] = {
	{ CODE("\x50"), true },				 /* push %rax */
	{ CODE("\x57"), true },				 /* push %rdi */
	{ CODE("\x41\x50"), true },			 /* push %r8 */
	{ CODE("\x41\x57"), true },			 /* push %r15 */
	{ CODE("\x48\x55"), false },			 /* rex.W push %rbp */
	{ CODE("\x66\x55"), false },			 /* push %bp */
	{ CODE("\x66\x41\x54"), false },		 /* push %r12w */
	{ CODE("\x6a\x01"), false },			 /* push $1 */
	{ CODE("\xff\x34\x24"), false },		 /* push (%rsp) */
	{ CODE("\x0f\xa0"), false },			 /* push %fs */
	{ CODE("\x90"), true },				 /* nop */
	{ CODE("\x66\x90"), true },			 /* data16 nop */
	{ CODE("\x66\x66\x90"), true },			 /* data16 data16 nop */
	{ CODE("\xf3\x90"), false },			 /* pause */
	{ CODE("\x48\x90"), false },			 /* rex.W nop */
	{ CODE("\x0f\x1f\x00"), false },		 /* nopl: recent kernels only */
	{ CODE("\x0f\x1f\x44\x00\x00"), false },	 /* nopl */
	{ CODE("\xf3\x0f\x1e\xfa"), false },		 /* endbr64 */
	{ CODE("\x48\x85\xff"), false },		 /* test %rdi,%rdi */
	{ CODE("\x89\xd8"), false },			 /* mov %ebx,%eax */
	{ CODE("\xeb\x10"), true },			 /* jmp rel8 */
	{ CODE("\xe9\x00\x10\x00\x00"), true },		 /* jmp rel32 */
	{ CODE("\xf2\xe9\x00\x10\x00\x00"), true },	 /* bnd jmp */
	{ CODE("\xe8\x00\x10\x00\x00"), true },		 /* call rel32 */
	{ CODE("\x67\xe8\x00\x10\x00\x00"), true },	 /* addr32 call */
	{ CODE("\x70\x10"), true },			 /* jo */
	{ CODE("\x7f\x10"), true },			 /* jg */
	{ CODE("\x0f\x80\x00\x10\x00\x00"), true },	 /* jo rel32 */
	{ CODE("\x0f\x8f\x00\x10\x00\x00"), true },	 /* jg rel32 */
	{ CODE("\x66\x0f\x84\x00\x10\x00\x00"), false }, /* refused by the kernel */
	{ CODE("\x66\xe9\x00\x10\x00\x00"), false },	 /* refused */
	{ CODE("\x2e\x74\x10"), false },		 /* je, hinted: refused */
	{ CODE("\x3e\x74\x10"), false },		 /* refused too */
	{ CODE("\xe3\x10"), false },			 /* jrcxz */
	{ CODE("\xe2\x10"), false },			 /* loop */
	{ CODE("\xff\xe0"), false },			 /* jmp *%rax */
	{ CODE("\xff\xd0"), false },			 /* call *%rax */
	{ CODE("\xc3"), false },			 /* ret */
};

static void test_emulated_forms(void **state)
{
	struct insn_place place;
	uint8_t code[32];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(emulated_forms_cases); i++) {
		memcpy(code, emulated_forms_cases[i].code, emulated_forms_cases[i].len);
		memcpy(code + emulated_forms_cases[i].len, "\x55\xc3", 2);
		assert_int_equal(0, insn_place_probe(code, emulated_forms_cases[i].len + 2, 0,
					    ENTRY, 0, false, &place));
		if ((place.offset == 0 && place.emulated) != emulated_forms_cases[i].emulated)
			fail_msg("form %zu (%02x %02x): +%u emulated %d (%s)", i, code[0], code[1],
				place.offset, place.emulated, place.text);
	}
}

static void test_argument_writes(void **state)
{
	static const struct place_case cases[] = {
		{ "mov to rdi", CODE("\x48\x89\xc7\x55\xc3"), ENTRY, 1, false, NOWHERE },
		{ "mov to edi", CODE("\x31\xff\x55\xc3"), ENTRY, 1, false, NOWHERE },
		{ "mov to dil", CODE("\x40\xb7\x01\x55\xc3"), ENTRY, 1, false, NOWHERE },
		{ "mov to dh", CODE("\xb6\x01\x55\xc3"), ENTRY, 3, false, NOWHERE },
		{ "mov to esi", CODE("\x31\xf6\x55\xc3"), ENTRY, 2, false, NOWHERE },
		{ "mov to esi, unused", CODE("\x31\xf6\x55\xc3"), ENTRY, 1, false, AT(2) },
		{ "mov to r8", CODE("\x4d\x31\xc0\x55\xc3"), ENTRY, 5, false, NOWHERE },
		{ "mov to r8, unused", CODE("\x4d\x31\xc0\x55\xc3"), ENTRY, 4, false, AT(3) },
		{ "mov to r9w", CODE("\x66\x45\x31\xc9\x55\xc3"), ENTRY, 6, false, NOWHERE },
		{ "cmov to rdi", CODE("\x48\x0f\x44\xf8\x55\xc3"), ENTRY, 1, false, NOWHERE },
		{ "xchg with rdi", CODE("\x48\x87\xf8\x55\xc3"), ENTRY, 1, false, NOWHERE },
		/* implied operands: rep stos writes rcx and rdi, cpuid ecx and edx */
		{ "stos", CODE("\xf3\x48\xab\x55\xc3"), ENTRY, 1, false, NOWHERE },
		{ "cpuid", CODE("\x0f\xa2\x55\xc3"), ENTRY, 3, false, NOWHERE },
		{ "cpuid, unused", CODE("\x0f\xa2\x55\xc3"), ENTRY, 2, false, AT(2) },
		{ "no arguments", CODE("\x31\xff\x55\xc3"), ENTRY, 0, false, AT(2) },
		/* more than there are registers: as all six */
		{ "many", CODE("\x45\x31\xd2\x55\xc3"), ENTRY, 99, false, AT(3) },
		/* free may be over with a store; a spill says nothing */
		{ "store to heap", CODE("\x48\x89\x07\x55\xc3"), ENTRY, 1, false, NOWHERE },
		{ "store to red zone", CODE("\x48\x89\x7c\x24\xf8\x55\xc3"), ENTRY, 1, false,
			AT(5) },
	};

	(void)state;
	run_place_cases(cases, ARRAY_LEN(cases));
}

static void test_stack_pointer(void **state)
{
	static const struct place_case cases[] = {
		{ "sub imm8", CODE("\x48\x83\xec\x18\x55\xc3"), ENTRY, 1, false, AT_SP(4, 24) },
		{ "sub imm32", CODE("\x48\x81\xec\x00\x02\x00\x00\x55\xc3"), ENTRY, 1, false,
			AT_SP(7, 512) },
		{ "add of a negative", CODE("\x48\x83\xc4\x80\x55\xc3"), ENTRY, 1, false,
			AT_SP(4, 128) },
		{ "lea", CODE("\x48\x8d\x64\x24\xd8\x55\xc3"), ENTRY, 1, false, AT_SP(5, 40) },
		{ "push imm, sub", CODE("\x6a\x01\x48\x83\xec\x08\x55"), ENTRY, 1, false,
			AT_SP(6, 16) },
		{ "push 16 bits", CODE("\x66\x6a\x01\x55\xc3"), ENTRY, 1, false, AT_SP(3, 2) },
		{ "push fs, pop rax", CODE("\x0f\xa0\x58\x90"), ENTRY, 1, false, AT(3) },
		/* what a return probe may not pass, though rsp is back: the unknown stays out */
		{ "return: sub", CODE("\x48\x83\xec\x18\x55\xc3"), RETURN, 1, false, NOWHERE },
		{ "return: push imm", CODE("\x6a\x01\x58\x90"), RETURN, 1, false, NOWHERE },
		{ "return: mov", CODE("\x48\x89\xf8\x55\xc3"), RETURN, 1, false, AT(3) },
		/* rsp unknown from here on */
		{ "and", CODE("\x48\x83\xe4\xf0\x55\xc3"), ENTRY, 1, false, NOWHERE },
		{ "mov", CODE("\x48\x89\xc4\x55\xc3"), ENTRY, 1, false, NOWHERE },
		{ "sub register", CODE("\x48\x29\xc4\x55\xc3"), ENTRY, 1, false, NOWHERE },
		{ "sub from esp", CODE("\x83\xec\x08\x55\xc3"), ENTRY, 1, false, NOWHERE },
		{ "lea of another", CODE("\x48\x8d\x65\xf8\x55\xc3"), ENTRY, 1, false, NOWHERE },
		{ "lea with an index", CODE("\x48\x8d\x64\x04\xf8\x55\xc3"), ENTRY, 1, false,
			NOWHERE },
		{ "sub of 4 GiB",
			CODE("\x48\x81\xec\xff\xff\xff\x7f\x48\x81\xec\xff\xff\xff\x7f\x55"), ENTRY,
			1, false, NOWHERE },
		{ "leave", CODE("\xc9\x55\xc3"), ENTRY, 1, false, NOWHERE },
		{ "push, pop rsp", CODE("\x6a\x01\x5c\x55\xc3"), ENTRY, 1, false, NOWHERE },
		/* above the return address there is no function of ours */
		{ "pop", CODE("\x58\x55\xc3"), ENTRY, 1, false, NOWHERE },
	};

	(void)state;
	run_place_cases(cases, ARRAY_LEN(cases));
}

static void test_skip_null(void **state)
{
	static const struct place_case cases[] = {
		/* test; je; lea to esi; push */
		{ "past the je", CODE("\x48\x85\xff\x74\x20\x48\x8d\x77\xf0\x53"), ENTRY, 1, true,
			AT(9) },
		/* rdi changes first: the je itself */
		{ "je", CODE("\x48\x85\xff\x74\x20\x48\x83\xef\x10\x53"), ENTRY, 1, true, AT(3) },
		/* nothing emulated behind it */
		{ "je, then ret", CODE("\x48\x85\xff\x74\x20\xc3"), ENTRY, 1, true, AT(3) },
		{ "je, then jump", CODE("\x48\x85\xff\x74\x20\xff\xe0\x55"), ENTRY, 1, true,
			AT(3) },
		{ "je is last", CODE("\x48\x85\xff\x74\x20"), ENTRY, 1, true, AT(3) },
		/* je to the push: both paths reach it, one twice as far */
		{ "je to the place", CODE("\x48\x85\xff\x74\x03\x48\x89\xf8\x53"), ENTRY, 1, true,
			AT(3) },
		{ "je to the next", CODE("\x48\x85\xff\x74\x00\x53"), ENTRY, 1, true, AT(3) },
		/* not NULL checks of the first argument, or not directly followed by je */
		{ "jne", CODE("\x48\x85\xff\x75\x20\x53"), ENTRY, 1, true, AT(3) },
		{ "test of rsi", CODE("\x48\x85\xf6\x74\x20\x53"), ENTRY, 1, true, AT(3) },
		{ "test of edi", CODE("\x85\xff\x74\x20\x53"), ENTRY, 1, true, AT(2) },
		{ "test rdi,rax", CODE("\x48\x85\xc7\x74\x20\x53"), ENTRY, 1, true, AT(3) },
		{ "test rax,rdi", CODE("\x48\x85\xf8\x74\x20\x53"), ENTRY, 1, true, AT(3) },
		{ "test rdi,1", CODE("\x48\xf7\xc7\x01\x00\x00\x00\x74\x20\x53"), ENTRY, 1, true,
			AT(7) },
		{ "mov between", CODE("\x48\x85\xff\x89\xd8\x74\x20\x53"), ENTRY, 1, true, AT(5) },
		{ "push between", CODE("\x48\x85\xff\x53\x74\x20\x55"), ENTRY, 1, true, AT(3) },
		{ "not asked for", CODE("\x48\x85\xff\x74\x20\x53"), ENTRY, 1, false, AT(3) },
		/* je that the kernel refuses: what follows is still the path of all others */
		{ "hinted je", CODE("\x48\x85\xff\x2e\x74\x20\x53"), ENTRY, 1, true, AT(6) },
	};

	(void)state;
	run_place_cases(cases, ARRAY_LEN(cases));
}

static void test_branches_into(void **state)
{
	static const struct place_case cases[] = {
		/* mov; push; ...; jmp back: the same code without and with the jump */
		{ "no loop", CODE("\x89\xd8\x55\x90\x90\xc3"), ENTRY, 1, false, AT(2) },
		{ "loop to the place", CODE("\x89\xd8\x55\x90\xeb\xfc"), ENTRY, 1, false, NOWHERE },
		{ "loop behind it", CODE("\x89\xd8\x55\x90\xeb\xfd"), ENTRY, 1, false, AT(2) },
		{ "loop before it", CODE("\x89\xd8\x89\xd8\x55\xeb\xfb"), ENTRY, 1, false,
			NOWHERE },
		{ "into the middle", CODE("\x89\xd8\x55\x90\xeb\xfb"), ENTRY, 1, false, NOWHERE },
		/* to offset 0 every place runs again, the entry as well */
		{ "loop to the entry", CODE("\x89\xd8\x55\x90\xeb\xfa"), ENTRY, 1, false, AT(2) },
		{ "jump to itself", CODE("\x89\xd8\xeb\xfe"), ENTRY, 1, false, NOWHERE },
		{ "rel32", CODE("\x89\xd8\x55\x0f\x84\xf9\xff\xff\xff"), ENTRY, 1, false, NOWHERE },
		{ "call", CODE("\x89\xd8\x55\xe8\xfa\xff\xff\xff"), ENTRY, 1, false, NOWHERE },
		{ "loop instruction", CODE("\x89\xd8\x55\x90\xe2\xfc"), ENTRY, 1, false, NOWHERE },
		/* 06 is no instruction: the scan goes on behind data */
		{ "behind data", CODE("\x89\xd8\x55\xc3\x06\x06\xeb\xfa"), ENTRY, 1, false,
			NOWHERE },
		/* an emulated entry needs no such care */
		{ "entry", CODE("\x55\x89\xd8\xeb\xfb"), ENTRY, 1, false, AT(0) },
		/* back to the push of free: fall back to the je, which it does not reach */
		{ "free", CODE("\x48\x85\xff\x74\x20\x53\x90\xeb\xfc"), ENTRY, 1, true, AT(3) },
		{ "free, to the je", CODE("\x48\x85\xff\x74\x20\x53\x90\xeb\xfa"), ENTRY, 1, true,
			NOWHERE },
		{ "return", CODE("\x89\xd8\x55\x90\xeb\xfc"), RETURN, 1, false, NOWHERE },
	};

	(void)state;
	run_place_cases(cases, ARRAY_LEN(cases));
}

/* Nothing behind a jump, a call, or anything else that may not come back is on every path. */
static void test_search_ends(void **state)
{
	static const struct place_case cases[] = {
		{ "ret", CODE("\x89\xd8\xc3\x55"), ENTRY, 1, false, NOWHERE },
		{ "jmp *", CODE("\x89\xd8\xff\xe0\x55"), ENTRY, 1, false, NOWHERE },
		{ "call *", CODE("\x89\xd8\xff\xd0\x55"), ENTRY, 1, false, NOWHERE },
		{ "jrcxz", CODE("\x89\xd8\xe3\x10\x55"), ENTRY, 0, false, NOWHERE },
		{ "loop", CODE("\x89\xd8\xe2\x10\x55"), ENTRY, 0, false, NOWHERE },
		{ "hinted je", CODE("\x89\xd8\x2e\x74\x10\x55"), ENTRY, 1, false, NOWHERE },
		{ "syscall", CODE("\x89\xd8\x0f\x05\x55"), ENTRY, 1, false, NOWHERE },
		{ "int3", CODE("\x89\xd8\xcc\x55"), ENTRY, 1, false, NOWHERE },
		{ "ud2", CODE("\x89\xd8\x0f\x0b\x55"), ENTRY, 1, false, NOWHERE },
		{ "hlt", CODE("\x89\xd8\xf4\x55"), ENTRY, 1, false, NOWHERE },
		{ "xbegin", CODE("\x89\xd8\xc7\xf8\x10\x00\x00\x00\x55"), ENTRY, 1, false,
			NOWHERE },
		{ "uiret", CODE("\x89\xd8\xf3\x0f\x01\xec\x55"), ENTRY, 1, false, NOWHERE },
		{ "ud1", CODE("\x89\xd8\x0f\xb9\xc0\x55"), ENTRY, 1, false, NOWHERE },
		{ "ud0", CODE("\x89\xd8\x0f\xff\xc0\x55"), ENTRY, 1, false, NOWHERE },
		{ "int1", CODE("\x89\xd8\xf1\x55"), ENTRY, 1, false, NOWHERE },
		{ "undecodable", CODE("\x89\xd8\x06\x55"), ENTRY, 1, false, NOWHERE },
		{ "jmp is a place", CODE("\x89\xd8\xeb\x10\x55"), ENTRY, 1, false, AT(2) },
	};

	(void)state;
	run_place_cases(cases, ARRAY_LEN(cases));
}

static void test_text(void **state)
{
	struct insn_place place;

	(void)state;
	assert_int_equal(
		0, insn_place_probe(CODE(glibc_malloc), 0x98930, RETURN, 1, false, &place));
	assert_string_equal(place.text, "push %r12");
	/* branch targets are addresses, not distances */
	assert_int_equal(
		0, insn_place_probe(CODE(glibc_memalign), 0x99610, RETURN, 2, false, &place));
	assert_string_equal(place.text, "jz 0x99620");
	assert_int_equal(
		0, insn_place_probe(CODE("\xeb\x10"), UINT64_MAX - 3, ENTRY, 1, false, &place));
	assert_string_equal(place.text, "jmp 0xe");
	/* the longest ones are cut */
	assert_int_equal(
		0, insn_place_probe(CODE("\x62\xf3\x6d\xd1\x25\x8c\xd8\x78\x56\x34\x12\x55"), 0,
			   ENTRY, 1, false, &place));
	assert_memory_equal(place.text, "vpternlogd $0x55, ", 18);
	assert_int_equal(strlen(place.text), sizeof(place.text) - 1);
}

static void assert_place_fails(const uint8_t *code, size_t len)
{
	struct insn_place place, poison;

	memset(&poison, 0xa5, sizeof(poison));
	place = poison;
	assert_int_equal(-EINVAL, insn_place_probe(code, len, 0, ENTRY, 1, true, &place));
	assert_memory_equal(&place, &poison, sizeof(place));
	assert_int_equal(-EINVAL, insn_check_return_probe(code, len, 0));
}

static void test_refused(void **state)
{
	(void)state;
	assert_place_fails(NULL, 0);
	assert_place_fails(NULL, 16);
	assert_place_fails(CODE(""));
	assert_place_fails(CODE("\x06\x55"));	  /* undecodable */
	assert_place_fails(CODE("\x48\x83\xec")); /* cut */
	assert_place_fails(CODE("\x41\x90\x55")); /* the kernel skips the xchg */
	assert_place_fails(CODE("\x66\x41\x90\x55"));
	assert_int_equal(-EINVAL, insn_check_return_probe(CODE("\x89\xd8\x41\x90\x55"), 2));
}

/* Every length of every function: no read beyond it, and never a place that is not inside. */
static void test_truncated(void **state)
{
	static const struct {
		const uint8_t *code;
		size_t len;
		size_t first; /* length of the first instruction */
	} functions[] = {
		{ CODE(glibc_malloc), 2 },
		{ CODE(glibc_free), 3 },
		{ CODE(glibc_posix_memalign), 7 },
		{ CODE(glibc_memalign), 7 },
		{ CODE(libstdcxx_new), 4 },
		{ CODE(jemalloc_malloc), 7 },
		{ CODE(jemalloc_free), 3 },
		{ CODE(musl_malloc), 5 },
		{ CODE(musl_libc_malloc), 10 },
	};
	struct insn_place place;
	const uint8_t *code;
	size_t i, len;

	(void)state;
	for (i = 0; i < ARRAY_LEN(functions); i++) {
		for (len = 0; len <= functions[i].len; len++) {
			code = guarded_copy(functions[i].code, len);
			if (len < functions[i].first) {
				assert_place_fails(code, len);
				continue;
			}
			assert_int_equal(0, insn_place_probe(code, len, 0, ENTRY, 1, true, &place));
			assert_true(place.offset < len);
			assert_int_equal(0, insn_check_return_probe(code, len, 0));
		}
	}

	/* glibc free: as soon as the je, then the push, is whole */
	assert_int_equal(
		0, insn_place_probe((const uint8_t *)glibc_free, 8, 0, ENTRY, 1, true, &place));
	assert_int_equal(place.offset, 0);
	assert_int_equal(
		0, insn_place_probe((const uint8_t *)glibc_free, 9, 0, ENTRY, 1, true, &place));
	assert_int_equal(place.offset, 3);
	assert_int_equal(
		0, insn_place_probe((const uint8_t *)glibc_free, 10, 0, ENTRY, 1, true, &place));
	assert_int_equal(place.offset, 9);
}

static const struct {
	const char *name;
	const uint8_t *code;
	size_t len;
	uint32_t offset;
	int ret;
} check_return_probe_cases[] = {
	{ "push;push;ret 0", CODE("\x55\x53\xc3"), 0, 0 },
	{ "push;push;ret 1", CODE("\x55\x53\xc3"), 1, -EINVAL },
	{ "push;push;ret 2", CODE("\x55\x53\xc3"), 2, -EINVAL },
	{ "push;push;ret 3", CODE("\x55\x53\xc3"), 3, -EINVAL },
	{ "far outside", CODE("\x55\x53\xc3"), UINT32_MAX, -EINVAL },
	{ "after push;pop", CODE("\x55\x5d\xc3"), 2, -EINVAL },
	{ "after sub;add", CODE("\x48\x83\xec\x08\x48\x83\xc4\x08\xc3"), 8, -EINVAL },
	{ "after mov", CODE("\x89\xd8\x55\xc3"), 2, 0 },
	{ "between instructions", CODE("\x89\xd8\x55\xc3"), 1, -EINVAL },
	{ "after je", CODE("\x48\x85\xff\x74\x10\x55"), 5, 0 },
	{ "after jrcxz", CODE("\xe3\x10\x55"), 2, 0 },
	{ "after jmp", CODE("\xeb\x10\x55"), 2, -EINVAL },
	{ "after jmp *", CODE("\xff\xe0\x55"), 2, -EINVAL },
	{ "after ret", CODE("\xc3\x55"), 1, -EINVAL },
	{ "after call", CODE("\xe8\x00\x10\x00\x00\x55"), 5, -EINVAL },
	{ "after syscall", CODE("\x0f\x05\x55"), 2, -EINVAL },
	{ "after int3", CODE("\xcc\x55"), 1, -EINVAL },
	{ "after ud2", CODE("\x0f\x0b\x55"), 2, -EINVAL },
	{ "after xbegin", CODE("\xc7\xf8\x10\x00\x00\x00\x55"), 6, -EINVAL },
	{ "after and", CODE("\x48\x83\xe4\xf0\x90"), 4, -EINVAL },
	{ "after mov to esp", CODE("\x89\xc4\x90"), 2, -EINVAL },
	{ "after mov to spl", CODE("\x40\xb4\x01\x90"), 3, -EINVAL },
	{ "after leave", CODE("\xc9\x90"), 1, -EINVAL },
	{ "after enter", CODE("\xc8\x10\x00\x00\x90"), 4, -EINVAL },
	{ "after xchg", CODE("\x48\x94\x90"), 2, -EINVAL },
	{ "after undecodable", CODE("\x06\x90"), 1, -EINVAL },
	{ "undecodable", CODE("\x89\xd8\x06"), 2, -EINVAL },
	{ "cut", CODE("\x89\xd8\xe8\x00\x00"), 2, -EINVAL },
	/* mov; nop; push; jmp to the nop, with one word more on the stack */
	{ "branch to it", CODE("\x89\xd8\x90\x55\xeb\xfc"), 2, -EINVAL },
	{ "branch before it", CODE("\x89\xd8\x89\xd8\x90\x55\xeb\xfa"), 4, -EINVAL },
	{ "branch into it", CODE("\x89\xd8\x55\xeb\xfc"), 2, -EINVAL },
	{ "branch behind it", CODE("\x89\xd8\x90\x55\xeb\xfd"), 2, 0 },
	{ "branch to 0", CODE("\x89\xd8\x90\x55\xeb\xfa"), 2, 0 },
	{ "entry, branch to 0", CODE("\x55\xeb\xfd"), 0, 0 },
	{ "forward je to it", CODE("\x74\x02\x89\xd8\x90"), 4, -EINVAL },
	{ "glibc free", CODE(glibc_free), 9, 0 },
	{ "glibc free, 2nd push", CODE(glibc_free), 14, -EINVAL },
	{ "glibc posix_memalign", CODE(glibc_posix_memalign), 7, 0 },
	{ "glibc posix_memalign", CODE(glibc_posix_memalign), 9, -EINVAL },
};

static void test_check_return_probe(void **state)
{
	uint8_t *code;
	size_t i;
	int ret;

	(void)state;
	for (i = 0; i < ARRAY_LEN(check_return_probe_cases); i++) {
		code = exact_copy(
			check_return_probe_cases[i].code, check_return_probe_cases[i].len);
		ret = insn_check_return_probe(
			code, check_return_probe_cases[i].len, check_return_probe_cases[i].offset);
		if (ret != check_return_probe_cases[i].ret)
			fail_msg("%s: got %d, want %d", check_return_probe_cases[i].name, ret,
				check_return_probe_cases[i].ret);
		free(code);
	}
	assert_int_equal(-EINVAL, insn_check_return_probe(NULL, 4, 0));
	assert_int_equal(-EINVAL, insn_check_return_probe(CODE(""), 0));
}

static const struct {
	const char *name;
	const uint8_t *code;
	size_t len;
	size_t ret_offset;
	long call; /* -1: none */
} call_before_cases[] = {
	{ "new -> malloc", CODE(libstdcxx_new), 28, 23 },
	{ "new -> handler", CODE(libstdcxx_new), 51, 49 },
	{ "new, no call", CODE(libstdcxx_new), 31, -1 },
	{ "posix_memalign", CODE(glibc_posix_memalign), 63, 58 },
	{ "noreturn is last", CODE("\x55\xe8\x00\x10\x00\x00"), 6, 1 },
	{ "syscall", CODE("\x90\x0f\x05\xc3"), 3, -1 },
	{ "call *8(%r12)", CODE("\x55\x41\xff\x54\x24\x08\xc3"), 6, 1 },
	{ "tls", CODE("\x66\x66\x48\xe8\x00\x10\x00\x00\xc3"), 8, 0 },
	{ "far", CODE("\x90\xff\x18\xc3"), 3, -1 },
	{ "jmp", CODE("\x90\xff\xe0\xc3"), 3, -1 },
	{ "start", CODE("\xe8\x00\x10\x00\x00\xc3"), 0, -1 },
	{ "one byte", CODE("\x90\xc3"), 1, -1 },
	{ "outside", CODE("\xe8\x00\x10\x00\x00\xc3"), 7, -1 },
	{ "far outside", CODE("\xe8\x00\x10\x00\x00\xc3"), SIZE_MAX, -1 },
	{ "inside a call", CODE("\xe8\x00\x10\x00\x00\xc3"), 4, -1 },
	/* ff d0 in an immediate is no call when decoding is in step */
	{ "immediate", CODE("\xb8\x00\x00\xff\xd0\xc3"), 5, -1 },
	/* windows that begin inside an instruction, or behind data: looking back decides */
	{ "after data, rel32", CODE("\x06\x06\xe8\x00\x10\x00\x00\xc3"), 7, 2 },
	{ "after data, *%rax", CODE("\x06\x06\xff\xd0\xc3"), 4, 2 },
	{ "after data, *%r12", CODE("\x06\x06\x41\xff\xd4\xc3"), 5, 2 },
	{ "after data, *d8", CODE("\x06\xff\x50\x10\xc3"), 4, 1 },
	{ "after data, *sib", CODE("\x06\xff\x14\xc5\x00\x10\x00\x00\xc3"), 8, 1 },
	{ "after data, *r12+d32", CODE("\x06\x41\xff\x94\x24\x00\x10\x00\x00\xc3"), 9, 1 },
	{ "after data, bnd", CODE("\x06\xf2\xe8\x00\x10\x00\x00\xc3"), 7, 1 },
	{ "after data, addr32", CODE("\x06\x67\xe8\x00\x10\x00\x00\xc3"), 7, 1 },
	{ "after data, notrack", CODE("\x06\x3e\xff\xd0\xc3"), 4, 1 },
	{ "after data, tls", CODE("\x06\x66\x66\x48\xe8\x00\x10\x00\x00\xc3"), 9, 1 },
	{ "after data, 41 66", CODE("\x06\x41\x66\xff\xd0\xc3"), 5, 2 },
	{ "after data, 41 is mov", CODE("\x06\x89\x41\x41\xff\xd4\xc3"), 6, 3 },
	{ "after data, *rsp+d32", CODE("\x06\xff\x94\x24\x00\x10\x00\x00\xc3"), 8, 1 },
	{ "after data, nothing", CODE("\x06\x06\x89\xd8\xc3"), 4, -1 },
	{ "over the end", CODE("\xb8\xff\xd0\xff\xd0\xc3\xc3"), 3, 1 },
};

static void test_call_before(void **state)
{
	size_t i, call;
	uint8_t *code;
	int ret;

	(void)state;
	for (i = 0; i < ARRAY_LEN(call_before_cases); i++) {
		bool none = call_before_cases[i].call < 0;

		code = exact_copy(call_before_cases[i].code, call_before_cases[i].len);
		call = 12345;
		ret = insn_call_before(
			code, call_before_cases[i].len, call_before_cases[i].ret_offset, &call);
		if (ret != (none ? -ENOENT : 0) ||
			call != (none ? 12345 : (size_t)call_before_cases[i].call))
			fail_msg("%s: got %d, %zu; want %ld", call_before_cases[i].name, ret, call,
				call_before_cases[i].call);
		free(code);
	}
	assert_int_equal(-ENOENT, insn_call_before(NULL, 4, 2, &call));
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Half noise, half pieces of prologues: noise alone seldom gets past two instructions. */
static void fill_random(uint8_t *code, size_t len, uint64_t *rng)
{
	static const struct {
		const uint8_t *code;
		size_t len;
	} pieces[] = {
		{ CODE("\xf3\x0f\x1e\xfa") },
		{ CODE("\x48\x85\xff") },
		{ CODE("\x74\x08") },
		{ CODE("\x75\xf0") },
		{ CODE("\x48\x89\xf8") },
		{ CODE("\x41\x54") },
		{ CODE("\x55") },
		{ CODE("\x90") },
		{ CODE("\x66\x90") },
		{ CODE("\xeb\xf4") },
		{ CODE("\xff\xd0") },
		{ CODE("\x31\xc0") },
		{ CODE("\x48\x83\xec\x18") },
		{ CODE("\x41\xff\xd4") },
		{ CODE("\xe8\x00\x10\x00\x00") },
	};
	bool noise = next_random(rng) & 1;
	size_t at = 0;

	while (at < len) {
		uint64_t r = next_random(rng);
		size_t i = (r >> 8) % ARRAY_LEN(pieces);

		if (noise || r % 8 == 0 || at + pieces[i].len > len) {
			code[at++] = (uint8_t)(r >> 32);
			continue;
		}
		memcpy(code + at, pieces[i].code, pieces[i].len);
		at += pieces[i].len;
	}
}

struct tally {
	unsigned int deep, deep_return, entry, failed, calls, no_calls;
};

static void try_place(const uint8_t *code, size_t len, uint64_t r, struct tally *tally)
{
	enum insn_probe probe = r & 1 ? RETURN : ENTRY;
	struct insn_place place, poison;
	int ret;

	memset(&poison, 0xa5, sizeof(poison));
	place = poison;
	ret = insn_place_probe(code, len, r, probe, (r >> 1) % 8, (r >> 4) & 1, &place);
	if (ret) {
		assert_int_equal(ret, -EINVAL);
		assert_memory_equal(&place, &poison, sizeof(place));
		tally->failed++;
		return;
	}
	assert_true(place.offset < len);
	assert_non_null(memchr(place.text, '\0', sizeof(place.text)));
	assert_true(place.sp_moved >= 0);
	if (!place.emulated || probe == RETURN)
		assert_int_equal(place.sp_moved, 0);
	if (!place.emulated)
		assert_int_equal(place.offset, 0);
	if (probe == RETURN)
		assert_int_equal(0, insn_check_return_probe(code, len, place.offset));
	tally->deep += place.offset > 0;
	tally->deep_return += place.offset > 0 && probe == RETURN;
	tally->entry += !place.emulated;
}

static void try_call(const ZydisDecoder *decoder, const uint8_t *code, size_t len,
	size_t ret_offset, struct tally *tally)
{
	ZydisDecodedInstruction insn;
	size_t call = SIZE_MAX;
	int ret;

	ret = insn_call_before(code, len, ret_offset, &call);
	if (ret) {
		assert_int_equal(ret, -ENOENT);
		assert_true(call == SIZE_MAX);
		tally->no_calls++;
		return;
	}
	assert_true(call < ret_offset && ret_offset <= len);
	assert_true(ZYAN_SUCCESS(
		ZydisDecoderDecodeInstruction(decoder, NULL, code + call, len - call, &insn)));
	assert_int_equal(insn.mnemonic, ZYDIS_MNEMONIC_CALL);
	assert_int_equal(call + insn.length, ret_offset);
	tally->calls++;
}

static void try_all(const ZydisDecoder *decoder, const uint8_t *code, size_t len, uint64_t r,
	struct tally *tally)
{
	try_place(code, len, r, tally);
	insn_check_return_probe(code, len, (uint32_t)(r >> 8) % 72);
	insn_check_return_probe(code, len, (uint32_t)r);
	try_call(decoder, code, len, (r >> 16) % 72, tally);
	try_call(decoder, code, len, len, tally);
}

static void test_random(void **state)
{
	struct tally tally = { 0 };
	uint64_t rng = 0x9e3779b97f4a7c15;
	ZydisDecoder decoder;
	uint8_t bytes[64];
	uint8_t *code;
	size_t i, len;

	(void)state;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (i = 0; i < 100000; i++) {
		len = i % (sizeof(bytes) + 1);
		fill_random(bytes, len, &rng);
		code = exact_copy(bytes, len);
		try_all(&decoder, code, len, next_random(&rng), &tally);
		free(code);
		try_all(&decoder, guarded_copy(bytes, len), len, next_random(&rng), &tally);
	}
	/* The cases above were reached, not only the early refusals. */
	assert_true(tally.deep > 1000);
	assert_true(tally.deep_return > 1000);
	assert_true(tally.entry > 1000);
	assert_true(tally.failed > 1000);
	assert_true(tally.calls > 1000);
	assert_true(tally.no_calls > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_glibc),
		cmocka_unit_test(test_other_allocators),
		cmocka_unit_test(test_emulated_forms),
		cmocka_unit_test(test_argument_writes),
		cmocka_unit_test(test_stack_pointer),
		cmocka_unit_test(test_skip_null),
		cmocka_unit_test(test_branches_into),
		cmocka_unit_test(test_search_ends),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_check_return_probe),
		cmocka_unit_test(test_call_before),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("insn", tests, NULL, NULL);
}
