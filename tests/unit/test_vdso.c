// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's code in a process is a module as others are, with a file and names. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../user/symbol/symbolizer.h"
#include "../../user/target/image.h"

static uint32_t find_vdso(const struct image *image)
{
	uint32_t found = UINT32_MAX;

	for (uint32_t i = 0; i < image->module_count; i++) {
		if (strcmp(image->modules[i].path, MODULE_VDSO))
			continue;
		assert_int_equal(found, UINT32_MAX); /* one only */
		found = i;
	}
	assert_int_not_equal(found, UINT32_MAX);
	return found;
}

/* The file holds the very bytes, so that whoever looks for .eh_frame in it finds that too. */
static void check_bytes(const struct module *m, const uint8_t *mapped)
{
	uint8_t *bytes;
	struct stat st;

	assert_true(m->fd >= 0);
	assert_int_equal(fstat(m->fd, &st), 0);
	assert_true(st.st_size > 0 && st.st_size % 4096 == 0);
	bytes = malloc((size_t)st.st_size);
	assert_non_null(bytes);
	assert_int_equal(pread(m->fd, bytes, (size_t)st.st_size, 0), st.st_size);
	assert_memory_equal(bytes, mapped, (size_t)st.st_size);
	free(bytes);
}

static void check_name(const struct module *m)
{
	static const char name[] = "__vdso_gettimeofday";
	struct buffer in = { .data = (uint8_t *)name, .length = sizeof(name) };
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct symbolizer *s = symbolizer_new();
	const struct elf_info *info;
	struct symbol symbol;
	uint64_t frame;

	assert_int_equal(parse_file(&elf_parser, m->fd, &in, &out), 0);
	info = (const void *)out.data;
	assert_int_equal(info->function_count, 1);
	assert_non_null(s);
	frame = ht_frame_native(HT_FRAME_PC, 0, info->functions[0].address + 1);
	assert_int_equal(symbolizer_set_module(s, 0, m->path, m->fd), 0);
	assert_int_equal(symbolizer_add(s, &frame, 1), 0);
	symbol = symbolizer_find(s, frame);
	assert_non_null(symbol.levels[0].function);
	/* "gettimeofday" is a weak name of it */
	assert_non_null(strstr(symbol.levels[symbol.level_count - 1].function, "gettimeofday"));
	symbolizer_free(s);
}

static void test_vdso(void **state)
{
	uintptr_t base = getauxval(AT_SYSINFO_EHDR);
	struct image image CLEANUP(image_release) = { 0 };
	struct process process;
	uint32_t id, modules, ranges = 0;

	(void)state;
	if (!base) {
		print_message("skipped: this kernel maps no vDSO\n");
		skip();
	}
	assert_int_equal(process_open(getpid(), &process), 0);
	assert_int_equal(image_read(&image, &process), 0);
	id = find_vdso(&image);
	check_bytes(&image.modules[id], (const uint8_t *)base);
	assert_non_null(module_elf(&image.modules[id]));
	assert_true(module_elf(&image.modules[id])->build_id_length > 0);
	for (uint32_t i = 0; i < image.range_count; i++) {
		if (image.ranges[i].module != id)
			continue;
		ranges++;
		assert_true(base >= image.ranges[i].start && base < image.ranges[i].end);
		assert_int_equal(image.ranges[i].bias, base);
	}
	assert_int_equal(ranges, 1);
	check_name(&image.modules[id]);
	/* known from then on */
	modules = image.module_count;
	assert_int_equal(image_read(&image, &process), 0);
	assert_int_equal(image.module_count, modules);
	assert_int_equal(find_vdso(&image), id);
	process_close(&process);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vdso),
	};

	return cmocka_run_group_tests_name("vdso", tests, NULL, NULL);
}
