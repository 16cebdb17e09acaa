// SPDX-License-Identifier: GPL-2.0-or-later
/* The cache of unwind tables: what comes back, and what it does not believe. */
#include <errno.h>
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

#include "../../user/target/unwind_rows.h"
#include "../../user/target/unwind_cache.h"

static char base[] = "/tmp/heaptap-cache-test-XXXXXX";
static const struct elf_info elf = { .build_id_length = 4, .build_id = { 0xde, 0xad, 0xbe, 0xef } };

static void make_table(struct buffer *out)
{
	struct unwind_info info = { .magic = UNWIND_MAGIC, .version = UNWIND_VERSION };
	struct unwind_rows rows CLEANUP(unwind_rows_release) = { 0 };

	assert_int_equal(unwind_rows_begin(&rows, 0x1000, 0x9000), 0);
	for (uint64_t at = 0x1000; at < 0x8000; at += 24)
		unwind_rows_add(&rows, at, ht_rule(HT_CFA_SP, 0, (int32_t)(at % 640), 0, 0));
	buffer_append(out, &info, sizeof(info));
	assert_int_equal(unwind_rows_finish(&rows, out), 0);
	assert_int_equal(unwind_check(out->data, out->length), 0);
}

static const char *path(const char *name)
{
	static char text[256];

	snprintf(text, sizeof(text), "%s/heaptap/%s", base, name);
	return text;
}

static const char *file_name(void)
{
	static char name[64];

	snprintf(name, sizeof(name), "deadbeef-64.v%u", UNWIND_VERSION);
	return name;
}

static int load(int dir, struct buffer *out)
{
	return unwind_cache_load(dir, &elf, 100, out);
}

static int set_up(void **state)
{
	(void)state;
	return !mkdtemp(base) || setenv("XDG_CACHE_HOME", base, 1);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	return system(command); /* NOLINT */
}

static void test_stored_and_loaded(void **state)
{
	struct buffer table CLEANUP_BUFFER = { 0 }, found CLEANUP_BUFFER = { 0 };
	int dir CLEANUP_CLOSE = unwind_cache_open();

	(void)state;
	assert_true(dir >= 0);
	make_table(&table);
	assert_int_equal(load(dir, &found), -ENOENT);
	unwind_cache_store(dir, &elf, 100, &table);
	assert_int_equal(load(dir, &found), 0);
	assert_int_equal(found.length, table.length);
	assert_memory_equal(found.data, table.data, table.length);
	/* Another file of the same build id is another table. */
	assert_int_equal(unwind_cache_load(dir, &elf, 101, &found), -ENOENT);
	/* Twice is no error. */
	unwind_cache_store(dir, &elf, 100, &table);
	assert_int_equal(load(dir, &found), 0);
}

static void test_broken_files(void **state)
{
	struct buffer table CLEANUP_BUFFER = { 0 }, found CLEANUP_BUFFER = { 0 };
	int dir CLEANUP_CLOSE = unwind_cache_open();

	(void)state;
	make_table(&table);
	unwind_cache_store(dir, &elf, 100, &table);
	assert_int_equal(truncate(path(file_name()), (off_t)table.length - 1), 0);
	assert_int_equal(load(dir, &found), -EINVAL);
	assert_int_equal(found.length, 0);
	assert_int_equal(truncate(path(file_name()), 0), 0);
	assert_int_equal(load(dir, &found), -EINVAL);
	unwind_cache_store(dir, &elf, 100, &table);
	assert_int_equal(load(dir, &found), 0);
}

static void test_files_of_others(void **state)
{
	struct buffer table CLEANUP_BUFFER = { 0 }, found CLEANUP_BUFFER = { 0 };
	int dir CLEANUP_CLOSE = unwind_cache_open();
	char elsewhere[300];

	(void)state;
	make_table(&table);
	unwind_cache_store(dir, &elf, 100, &table);
	assert_int_equal(chmod(path(file_name()), 0622), 0);
	assert_int_equal(load(dir, &found), -EPERM);
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", base);
	assert_int_equal(rename(path(file_name()), elsewhere), 0);
	assert_int_equal(chmod(elsewhere, 0600), 0);
	assert_int_equal(symlink(elsewhere, path(file_name())), 0);
	assert_int_equal(load(dir, &found), -ENOENT);
	/* A link there is replaced, not followed. */
	unwind_cache_store(dir, &elf, 100, &table);
	assert_int_equal(load(dir, &found), 0);
}

static void test_directories_of_others(void **state)
{
	char directory[256];
	int fd;

	(void)state;
	snprintf(directory, sizeof(directory), "%s/heaptap", base);
	assert_int_equal(chmod(directory, 0777), 0);
	assert_int_equal(unwind_cache_open(), -EPERM);
	assert_int_equal(chmod(directory, 0700), 0);
	fd = unwind_cache_open();
	assert_true(fd >= 0);
	close(fd);
}

static void test_bounded(void **state)
{
	struct buffer table CLEANUP_BUFFER = { 0 };
	int dir CLEANUP_CLOSE = unwind_cache_open();
	int count = 0;

	(void)state;
	make_table(&table);
	for (uint64_t i = 0; i < UNWIND_CACHE_FILES + 40; i++)
		unwind_cache_store(dir, &elf, 1000 + i, &table);
	for (uint64_t i = 0; i < UNWIND_CACHE_FILES + 40; i++) {
		struct buffer found CLEANUP_BUFFER = { 0 };

		count += !unwind_cache_load(dir, &elf, 1000 + i, &found);
	}
	assert_true(count <= UNWIND_CACHE_FILES);
	assert_true(count >= UNWIND_CACHE_FILES - 10);
}

static void test_who_may_share(void **state)
{
	char name[300];
	uint64_t bytes;
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "%s/file", base);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 777), 0);
	assert_true(unwind_may_share(fd, &elf, &bytes));
	assert_int_equal(bytes, 777);
	assert_false(unwind_may_share(fd, &(struct elf_info){ 0 }, &bytes));
	assert_false(unwind_may_share(fd, NULL, &bytes));
	assert_int_equal(fchmod(fd, 0666), 0);
	assert_false(unwind_may_share(fd, &elf, &bytes));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stored_and_loaded),
		cmocka_unit_test(test_broken_files),
		cmocka_unit_test(test_files_of_others),
		cmocka_unit_test(test_directories_of_others),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_who_may_share),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
