// SPDX-License-Identifier: GPL-2.0-or-later
/* Names of JIT code: the map's text, which anyone may have written, and the file. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../user/symbol/perfmap.h"
#include "../../user/symbol/symbolizer.h"
#include "../../user/target/rooted.h"

/* The name that a text gives an address; "" for none. Valid until the next call. */
static const char *name_in(const char *text, size_t length, uint64_t address, uint64_t *start)
{
	static char name[8192];
	struct buffer out CLEANUP_BUFFER = { 0 };
	const struct perfmap_answer *a;

	assert_int_equal(perfmap_find(text, length, &address, 1, &out), 0);
	assert_true(out.length >= sizeof(*a));
	a = (const void *)out.data;
	assert_true(a->name <= out.length && a->name_length <= out.length - a->name);
	snprintf(name, sizeof(name), "%.*s", (int)a->name_length, out.data + a->name);
	if (start)
		*start = a->start;
	return name;
}

static void expect(const char *text, uint64_t address, const char *name)
{
	assert_string_equal(name_in(text, strlen(text), address, NULL), name);
}

static void test_lines(void **state)
{
	static const char text[] = "7f00 10 first\n"
				   "0x7f10 0x10 second one\n"
				   "7F20 0a third";
	uint64_t start;

	(void)state;
	expect(text, 0x7eff, "");
	expect(text, 0x7f00, "first");
	expect(text, 0x7f0f, "first");
	expect(text, 0x7f10, "second one");
	expect(text, 0x7f29, "third");
	expect(text, 0x7f2a, "");
	assert_string_equal(name_in(text, strlen(text), 0x7f1f, &start), "second one");
	assert_int_equal(start, 0x7f10);
}

/* Code is moved and its place used again: the last line for an address is right. */
static void test_latest(void **state)
{
	static const char text[] = "1000 100 old\n"
				   "1040 20 inside\n"
				   "1100 100 other\n"
				   "1080 100 across\n"
				   "1000 10 new\n";

	(void)state;
	expect(text, 0x1005, "new");
	expect(text, 0x1010, "old");
	expect(text, 0x1040, "inside");
	expect(text, 0x105f, "inside");
	expect(text, 0x1060, "old");
	expect(text, 0x1080, "across");
	expect(text, 0x117f, "across");
	expect(text, 0x1180, "other");
}

static void test_nonsense(void **state)
{
	static const char *const lines[] = { "", " ", "1000", "1000 ", "1000 100", "1000 100 ",
		"1000  100 x", "g000 100 x", "1000 1g0 x", "-1000 100 x", "1000 0 x",
		"11111111111111111 100 x", "1000 ffffffffffffffff x", "0x 100 x", "0x1000 0x x" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		char text[256];

		expect(lines[i], 0x1000, "");
		/* a broken line costs itself only */
		snprintf(text, sizeof(text), "1000 10 good\n%s\n2000 10 fine\n", lines[i]);
		expect(text, 0x1000, "good");
		expect(text, 0x2000, "fine");
	}
	assert_string_equal(name_in("1000 10 a\0b\n", 12, 0x1000, NULL), "a");
	assert_string_equal(name_in(NULL, 0, 0x1000, NULL), "");
	expect("ffffffffffffff00 ff x\n", 0xffffffffffffff00, "x");
}

/* Many lines over many addresses: each address is named once, however often it is covered. */
static void test_overlapping(void **state)
{
	enum { ADDRESSES = 2000, LINES = 20000 };
	struct buffer text CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	uint64_t addresses[ADDRESSES];
	const struct perfmap_answer *a;

	(void)state;
	for (uint64_t i = 0; i < ADDRESSES; i++)
		addresses[i] = 0x10000 + i * 8;
	for (int i = 0; i < LINES; i++)
		buffer_format(&text, "%x ffffff n%d\n", i % 7 ? 0x10000 : 0x10000 + i % 4096, i);
	assert_int_equal(
		perfmap_find((const char *)text.data, text.length, addresses, ADDRESSES, &out), 0);
	a = (const void *)out.data;
	for (size_t i = 0; i < ADDRESSES; i++)
		assert_true(a[i].name_length && a[i].start <= addresses[i]);
	assert_true(out.length < ADDRESSES * (sizeof(*a) + 8) + 4096);
}

/* --- the file -------------------------------------------------------------------------------- */

static char map_path[64];

static void write_map(const char *mode, const char *text)
{
	FILE *map = fopen(map_path, mode);

	assert_non_null(map);
	fputs(text, map);
	fclose(map);
}

static int setup(void **state)
{
	(void)state;
	snprintf(map_path, sizeof(map_path), "/tmp/perf-%d.map", getpid());
	unlink(map_path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(map_path);
	return 0;
}

static struct symbol look_up(struct symbolizer *s, uint64_t address)
{
	uint64_t frame = ht_frame_raw(0, address);

	assert_int_equal(symbolizer_add(s, &frame, 1), 0);
	return symbolizer_find(s, frame);
}

static void test_symbolizer(void **state)
{
	struct symbolizer *s = symbolizer_new();
	struct symbol symbol;
	const char *name;

	(void)state;
	assert_non_null(s);
	assert_int_equal(symbolizer_set_process(s, getpid()), 0);
	symbol = look_up(s, 0x7f0000001008); /* there is no map yet */
	assert_null(symbol.levels[0].function);
	assert_false(symbol.jit);
	write_map("w", "7f0000001000 10 compiled\n");
	symbol = look_up(s, 0x7f0000001008);
	assert_int_equal(symbol.level_count, 1);
	assert_string_equal(symbol.levels[0].function, "compiled");
	assert_int_equal(symbol.address, 0x7f0000001008);
	assert_int_equal(symbol.function_offset, 8);
	assert_true(symbol.jit);
	name = symbol.levels[0].function;
	assert_null(look_up(s, 0x7f0000002008).levels[0].function);
	/* It grows: what had no name gets one, what had one was seen while that was right. */
	write_map("a", "7f0000002000 10 later\n7f0000001000 10 moved\n");
	assert_string_equal(look_up(s, 0x7f0000002008).levels[0].function, "later");
	assert_ptr_equal(look_up(s, 0x7f0000001008).levels[0].function, name);
	assert_string_equal(look_up(s, 0x7f0000001009).levels[0].function, "moved");
	symbolizer_free(s);
}

/* A link that anyone can lay into /tmp, a FIFO that would block, a file of someone else. */
static void test_not_ours(void **state)
{
	struct perfmap_owner owner = perfmap_owner_of(getpid()), other;
	int root = rooted_directory(0), fd;

	(void)state;
	assert_true(root >= 0);
	assert_int_equal(owner.pid, getpid()); /* as it sees itself */
	assert_int_equal(owner.uid, geteuid());
	assert_true(perfmap_open(root, &owner) < 0);
	assert_int_equal(mkfifo(map_path, 0600), 0);
	assert_true(perfmap_open(root, &owner) < 0);
	unlink(map_path);
	assert_int_equal(symlink("/etc/passwd", map_path), 0);
	assert_true(perfmap_open(root, &owner) < 0);
	unlink(map_path);
	write_map("w", "1000 10 x\n");
	fd = perfmap_open(root, &owner);
	assert_true(fd >= 0);
	close(fd);
	if (!geteuid()) {
		assert_int_equal(chown(map_path, 12345, 12345), 0);
		assert_true(perfmap_open(root, &owner) < 0);
		other = owner;
		other.uid = 12345;
		fd = perfmap_open(root, &other);
		assert_true(fd >= 0);
		close(fd);
	}
	owner = perfmap_owner_of(0x7fffffff);
	assert_true(perfmap_open(root, &owner) < 0);
	close(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_latest),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_overlapping),
		cmocka_unit_test_setup_teardown(test_symbolizer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_ours, setup, teardown),
	};

	return cmocka_run_group_tests_name("perfmap", tests, NULL, NULL);
}
