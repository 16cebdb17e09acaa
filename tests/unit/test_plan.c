// SPDX-License-Identifier: GPL-2.0-or-later
/* The probe plan: of the C library that runs here, and of functions made by hand. */
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
#include <unistd.h>

#include <cmocka.h>

#include "../../user/target/plan.h"

#define CODE(s) (s), sizeof(s) - 1

static char libc_path[4096];

static int find_libc(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	(void)data;
	if (!strstr(info->dlpi_name, "/libc.so"))
		return 0;
	snprintf(libc_path, sizeof(libc_path), "%s", info->dlpi_name);
	return 1;
}

static int setup(void **state)
{
	(void)state;
	return dl_iterate_phdr(find_libc, NULL) == 1 ? 0 : -1;
}

/* What image_read() makes of a mapped file. */
static void module_open(struct module *m, const char *path)
{
	struct buffer in CLEANUP_BUFFER = { 0 };

	*m = (struct module){ .path = strdup(path), .fd = open(path, O_RDONLY | O_CLOEXEC) };
	assert_true(m->path && m->fd >= 0);
	assert_int_equal(allocator_names(&in), 0);
	assert_int_equal(parse_file(&elf_parser, m->fd, &in, &m->elf), 0);
	m->allocator = allocator_of(module_elf(m));
}

static void module_release(struct module *m)
{
	free(m->path);
	close(m->fd);
	buffer_release(&m->elf);
}

/* Is the name one of those that "=" joins? */
static bool has_name(const struct plan_probe *probe, const char *name)
{
	char names[PLAN_FUNCTION], *at = names, *part;

	snprintf(names, sizeof(names), "%s", probe->function);
	while ((part = strsep(&at, "=")))
		if (!strcmp(part, name))
			return true;
	return false;
}

static const struct plan_probe *probe_of(const struct plan *plan, const char *name)
{
	for (uint32_t i = 0; i < plan->count; i++)
		if (has_name(&plan->probes[i], name))
			return &plan->probes[i];
	return NULL;
}

static uint32_t name_index(const char *name)
{
	uint32_t i = 0;

	while (strcmp(allocator_functions[i].name, name))
		assert_true(++i < allocator_function_count);
	return i;
}

/* --- the C library --------------------------------------------------------------------------- */

static void check_role(const struct plan *plan, const char *name, enum ht_role role)
{
	const struct plan_probe *probe = probe_of(plan, name);

	if (!probe)
		fail_msg("%s has no probe", name);
	assert_int_equal(probe->role, role);
	assert_int_equal(probe->returns, role != HT_ROLE_FREE);
}

static void test_libc_functions(void **state)
{
	struct plan plan CLEANUP(plan_release) = { 0 };
	struct module libc CLEANUP(module_release);

	(void)state;
	module_open(&libc, libc_path);
	assert_string_equal(libc.allocator, "glibc");
	assert_int_equal(plan_add_module(&plan, 3, &libc), 0);
	check_role(&plan, "malloc", HT_ROLE_MALLOC);
	check_role(&plan, "calloc", HT_ROLE_CALLOC);
	check_role(&plan, "realloc", HT_ROLE_REALLOC);
	check_role(&plan, "reallocarray", HT_ROLE_REALLOCARRAY);
	check_role(&plan, "posix_memalign", HT_ROLE_POSIX_MEMALIGN);
	check_role(&plan, "memalign", HT_ROLE_ALIGNED);
	check_role(&plan, "aligned_alloc", HT_ROLE_ALIGNED);
	check_role(&plan, "valloc", HT_ROLE_MALLOC);
	check_role(&plan, "pvalloc", HT_ROLE_MALLOC);
	check_role(&plan, "free", HT_ROLE_FREE);
	for (uint32_t i = 0; i < plan.count; i++)
		assert_int_equal(plan.probes[i].module, 3);
}

/* Each probe lies in a function of each of its names, and tells where in the file and where in
 * memory. */
static void check_place(const struct plan_probe *probe, const struct module *m)
{
	const struct elf_info *info = module_elf(m);
	unsigned int around = 0;

	for (uint32_t i = 0; i < info->function_count; i++) {
		const struct elf_function *f = &info->functions[i];

		if (!allocator_is_function(f->name) || probe->offset < f->offset ||
			probe->offset - f->offset >= f->bytes)
			continue;
		assert_int_equal(probe->address - f->address, probe->offset - f->offset);
		assert_true(has_name(probe, allocator_functions[f->name].name));
		around++;
	}
	assert_true(around > 0);
}

static void test_libc_places(void **state)
{
	struct plan plan CLEANUP(plan_release) = { 0 };
	struct module libc CLEANUP(module_release);

	(void)state;
	module_open(&libc, libc_path);
	assert_int_equal(plan_add_module(&plan, 0, &libc), 0);
	assert_true(plan.count >= 8);
	for (uint32_t i = 0; i < plan.count; i++) {
		const struct plan_probe *probe = &plan.probes[i];

		for (uint32_t k = 0; k < i; k++)
			assert_true(plan.probes[k].offset != probe->offset);
		check_place(probe, &libc);
		assert_true(strlen(probe->text) > 0);
		if (!probe->returns)
			continue;
		assert_int_equal(probe->pushed, 0);
		assert_int_equal(plan_check_return(probe, &libc), 0);
	}
}

/* The length of a push of a register, 0 when it is another instruction. */
static unsigned int push_length(const uint8_t *code)
{
	unsigned int prefix = code[0] == 0x41;

	return code[prefix] >= 0x50 && code[prefix] <= 0x57 ? prefix + 1 : 0;
}

static void test_libc_misplaced(void **state)
{
	struct plan plan CLEANUP(plan_release) = { 0 };
	struct module libc CLEANUP(module_release);
	struct plan_probe probe;
	unsigned int deeper;
	uint8_t code[2];

	(void)state;
	module_open(&libc, libc_path);
	assert_int_equal(plan_add_module(&plan, 0, &libc), 0);
	assert_non_null(probe_of(&plan, "malloc"));
	probe = *probe_of(&plan, "malloc");
	assert_int_equal(pread(libc.fd, code, sizeof(code), (off_t)probe.offset), sizeof(code));
	deeper = push_length(code);
	if (!deeper) {
		print_message("skipped: malloc's probe is not on a push: \"%s\"\n", probe.text);
		skip();
	}
	assert_int_equal(plan_check_return(&probe, &libc), 0);
	probe.offset += deeper;
	assert_int_equal(plan_check_return(&probe, &libc), -EINVAL);
	probe.offset -= deeper;
	probe.pushed = 1;
	assert_int_equal(plan_check_return(&probe, &libc), -EINVAL);
	probe.pushed = 0;
	probe.offset = 0; /* in no function */
	assert_int_equal(plan_check_return(&probe, &libc), -EINVAL);
}

/* --- made by hand ---------------------------------------------------------------------------- */

#define HAND_SPACE   128 /* bytes a function */
#define HAND_OFFSET  0x1000
#define HAND_ADDRESS 0x401000

struct hand_function {
	const char *name;
	const char *code;
	size_t bytes;
	uint32_t place; /* functions of one place are aliases */
};

static void hand_add(struct module *m, const struct hand_function *h)
{
	struct elf_function *f = buffer_extend(&m->elf, sizeof(*f));
	struct elf_info *info = (void *)m->elf.data;
	uint64_t at = (uint64_t)h->place * HAND_SPACE;

	assert_true(f && h->bytes <= HAND_SPACE);
	info->function_count++;
	*f = (struct elf_function){ .name = name_index(h->name),
		.address = HAND_ADDRESS + at,
		.offset = HAND_OFFSET + at,
		.bytes = h->bytes };
	assert_int_equal(pwrite(m->fd, h->code, h->bytes, (off_t)f->offset), (ssize_t)h->bytes);
}

static void hand_open(struct module *m, const struct hand_function *functions, size_t count)
{
	struct elf_info *info;

	*m = (struct module){ .path = strdup("/hand/made"),
		.fd = memfd_create("test_plan", MFD_CLOEXEC) };
	info = buffer_extend(&m->elf, sizeof(*info));
	assert_true(m->path && m->fd >= 0 && info);
	info->machine = EM_X86_64;
	info->type = ET_DYN;
	info->has_symbols = 1;
	for (size_t i = 0; i < count; i++)
		hand_add(m, &functions[i]);
	m->allocator = "other";
}

/* push %rbp; push %rbx; ret */
#define PUSHES CODE("\x55\x53\xc3")
/* test %rdi,%rdi; je +6; push %rbp; push %rbx; pop %rbx; pop %rbp; ret */
#define FREE_CODE CODE("\x48\x85\xff\x74\x04\x55\x53\x5b\x5d\xc3")
/* push %rbp; mov %rsi,%rdi; ret: the arguments change behind the push */
#define ONE_PUSH CODE("\x55\x48\x89\xf7\xc3")
/* xchg %r8,%rax: what the kernel executes wrongly, and refuses to be a place */
#define UNPLACEABLE CODE("\x49\x90\xc3")

static void test_aliases(void **state)
{
	static const struct hand_function functions[] = {
		{ "memalign", PUSHES, 0 },
		{ "malloc", PUSHES, 1 },
		{ "aligned_alloc", PUSHES, 0 },
		{ "free", FREE_CODE, 2 },
		{ "cfree", FREE_CODE, 2 },
		{ "free_sized", FREE_CODE, 2 },
		{ "valloc", PUSHES, 1 },
	};
	struct plan plan CLEANUP(plan_release) = { 0 };
	struct module m CLEANUP(module_release);

	(void)state;
	hand_open(&m, functions, ARRAY_SIZE(functions));
	assert_int_equal(plan_add_module(&plan, 0, &m), 0);
	assert_int_equal(plan.count, 3);
	assert_string_equal(plan.probes[0].function, "memalign=aligned_alloc");
	assert_string_equal(plan.probes[1].function, "malloc=valloc");
	assert_string_equal(plan.probes[2].function, "free=cfree=free_sized");
	assert_int_equal(plan.probes[0].offset, HAND_OFFSET);
	assert_int_equal(plan.probes[0].address, HAND_ADDRESS);
	assert_int_equal(plan.probes[1].offset, HAND_OFFSET + HAND_SPACE);
	assert_true(plan.probes[0].emulated);
	assert_string_equal(plan.probes[0].text, "push %rbp");

	/* the same file offset of another module is another place */
	assert_int_equal(plan_add_module(&plan, 1, &m), 0);
	assert_int_equal(plan.count, 6);
	assert_int_equal(plan.probes[2].module, 0);
	assert_int_equal(plan.probes[3].module, 1);
}

/* More names than there is room for are cut, not written elsewhere. */
static void test_many_aliases(void **state)
{
	static const struct hand_function function = { "free_aligned_sized", FREE_CODE, 0 };
	struct plan plan CLEANUP(plan_release) = { 0 };
	struct module m CLEANUP(module_release);

	(void)state;
	hand_open(&m, &function, 1);
	for (int i = 0; i < 20; i++)
		hand_add(&m, &function);
	assert_int_equal(plan_add_module(&plan, 0, &m), 0);
	assert_int_equal(plan.count, 1);
	assert_true(strlen(plan.probes[0].function) < PLAN_FUNCTION);
	assert_int_equal(plan.probes[0].offset, HAND_OFFSET + 5);
}

static void test_roles(void **state)
{
	struct plan plan CLEANUP(plan_release) = { 0 };
	struct module m CLEANUP(module_release);

	(void)state;
	hand_open(&m, NULL, 0);
	for (uint32_t i = 0; i < allocator_function_count; i++)
		hand_add(&m, &(struct hand_function){ allocator_functions[i].name, ONE_PUSH, i });
	assert_int_equal(plan_add_module(&plan, 0, &m), 0);
	assert_int_equal(plan.count, allocator_function_count);
	for (uint32_t i = 0; i < plan.count; i++) {
		const struct plan_probe *probe = &plan.probes[i];

		assert_string_equal(probe->function, allocator_functions[i].name);
		assert_int_equal(probe->role, allocator_functions[i].role);
		assert_int_equal(probe->returns, probe->role != HT_ROLE_FREE);
		assert_int_equal(probe->offset, HAND_OFFSET + (uint64_t)i * HAND_SPACE);
		assert_int_equal(probe->pushed, 0);
		if (probe->returns)
			assert_int_equal(plan_check_return(probe, &m), 0);
	}
}

/* A release skips NULL, and may stand where the stack pointer has moved; what returns may not. */
static void test_depth(void **state)
{
	static const struct hand_function functions[] = {
		/* push imm8, which is not emulated; push %rbp; ret */
		{ "malloc", CODE("\x6a\x10\x55\xc3"), 0 },
		{ "free", CODE("\x6a\x10\x55\xc3"), 1 },
		{ "calloc", FREE_CODE, 2 },
		{ "cfree", FREE_CODE, 3 },
	};
	struct plan plan CLEANUP(plan_release) = { 0 };
	struct module m CLEANUP(module_release);

	(void)state;
	hand_open(&m, functions, ARRAY_SIZE(functions));
	assert_int_equal(plan_add_module(&plan, 0, &m), 0);
	assert_int_equal(plan.count, 4);
	assert_int_equal(plan.probes[0].address, HAND_ADDRESS);
	assert_false(plan.probes[0].emulated);
	assert_int_equal(plan.probes[0].pushed, 0);
	assert_int_equal(plan.probes[1].address, HAND_ADDRESS + HAND_SPACE + 2);
	assert_true(plan.probes[1].emulated);
	assert_int_equal(plan.probes[1].pushed, 1);
	assert_int_equal(plan.probes[2].address, HAND_ADDRESS + 2 * HAND_SPACE + 3);
	assert_int_equal(plan.probes[2].pushed, 0);
	assert_int_equal(plan.probes[3].address, HAND_ADDRESS + 3 * HAND_SPACE + 5);
}

static void test_check_return(void **state)
{
	static const struct hand_function functions[] = {
		{ "malloc", PUSHES, 0 },
		{ "calloc", FREE_CODE, 1 },
		{ "free", FREE_CODE, 2 },
	};
	/* bytes from the function's first one, and the verdict */
	static const struct {
		uint32_t function, at;
		int result;
	} cases[] = {
		{ 0, 0, 0 }, { 0, 1, -EINVAL },		     /* behind one push */
		{ 0, 2, -EINVAL }, { 0, 3, -EINVAL },	     /* behind the function */
		{ 1, 0, 0 }, { 1, 3, 0 }, { 1, 1, -EINVAL }, /* inside an instruction */
		{ 1, 5, 0 }, { 1, 6, -EINVAL },
		{ 1, 9, -EINVAL }, /* a path without pushes leads here, and one with */
	};
	struct plan plan CLEANUP(plan_release) = { 0 };
	struct module m CLEANUP(module_release);

	(void)state;
	hand_open(&m, functions, ARRAY_SIZE(functions));
	assert_int_equal(plan_add_module(&plan, 0, &m), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct plan_probe probe = plan.probes[cases[i].function];

		probe.offset = HAND_OFFSET + (uint64_t)cases[i].function * HAND_SPACE + cases[i].at;
		if (plan_check_return(&probe, &m) != cases[i].result)
			fail_msg("%s+%u: want %d", probe.function, cases[i].at, cases[i].result);
	}
}

/* The code is read again: a file that changed behind the plan is found out. */
static void test_changed_code(void **state)
{
	static const struct hand_function function = { "malloc", CODE("\x66\x90\x55\xc3"), 0 };
	struct plan plan CLEANUP(plan_release) = { 0 };
	struct module m CLEANUP(module_release);
	struct plan_probe probe;

	(void)state;
	hand_open(&m, &function, 1);
	assert_int_equal(plan_add_module(&plan, 0, &m), 0);
	probe = plan.probes[0];
	probe.offset = HAND_OFFSET + 2;
	assert_int_equal(plan_check_return(&probe, &m), 0);
	assert_int_equal(pwrite(m.fd, "\x54\x54", 2, HAND_OFFSET), 2); /* push %rsp, twice */
	assert_int_equal(plan_check_return(&probe, &m), -EINVAL);
	assert_int_equal(ftruncate(m.fd, HAND_OFFSET), 0);
	assert_int_equal(plan_check_return(&probe, &m), -EINVAL);
	buffer_clear(&m.elf);
	assert_int_equal(plan_check_return(&probe, &m), -EINVAL);
}

/* A function without a place is left out; the others stay. */
static void test_unplaceable(void **state)
{
	static const struct hand_function functions[] = {
		{ "malloc", UNPLACEABLE, 0 },
		{ "calloc", CODE("\x06\x06"), 1 }, /* no instruction of 64-bit code */
		{ "realloc", ONE_PUSH, 2 },
		{ "free", FREE_CODE, 3 },
	};
	struct plan plan CLEANUP(plan_release) = { 0 };
	struct module m CLEANUP(module_release);

	(void)state;
	hand_open(&m, functions, ARRAY_SIZE(functions));
	hand_add(&m, &(struct hand_function){ "valloc", ONE_PUSH, 4 });
	assert_int_equal(ftruncate(m.fd, HAND_OFFSET + 4 * HAND_SPACE), 0); /* valloc is cut off */
	assert_int_equal(plan_add_module(&plan, 0, &m), 0);
	assert_int_equal(plan.count, 2);
	assert_string_equal(plan.probes[0].function, "realloc");
	assert_string_equal(plan.probes[1].function, "free");
}

static void test_nothing(void **state)
{
	static const struct hand_function function = { "malloc", PUSHES, 0 };
	struct plan plan CLEANUP(plan_release) = { 0 };
	struct module m CLEANUP(module_release);
	struct image image = { .modules = &m, .module_count = 1 };
	struct elf_info *info;
	int fd;

	(void)state;
	hand_open(&m, &function, 1);
	m.allocator = NULL; /* malloc without free is no allocator */
	assert_int_equal(plan_make(&plan, &image), -ENXIO);
	m.allocator = "other";
	info = (void *)m.elf.data;
	info->machine = EM_AARCH64;
	assert_int_equal(plan_make(&plan, &image), -ENXIO);
	info->machine = EM_X86_64;
	fd = TAKE_FD(m.fd);
	assert_int_equal(plan_make(&plan, &image), -ENXIO);
	m.fd = fd;
	assert_int_equal(plan.count, 0);
	assert_int_equal(plan_make(&plan, &image), 0);
	assert_int_equal(plan.count, 1);
	plan_release(&plan);
	assert_null(plan.probes);
	assert_int_equal(plan.count, 0);
	image.module_count = 0;
	assert_int_equal(plan_make(&plan, &image), -ENXIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libc_functions),
		cmocka_unit_test(test_libc_places),
		cmocka_unit_test(test_libc_misplaced),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_many_aliases),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_check_return),
		cmocka_unit_test(test_changed_code),
		cmocka_unit_test(test_unplaceable),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests_name("plan", tests, setup, NULL);
}
