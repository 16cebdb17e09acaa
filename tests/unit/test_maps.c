// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/PID/maps: our own, with names that were made to confuse, and broken ones. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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

#include "../../user/target/maps.h"

static size_t entry_count(const struct buffer *out)
{
	assert_int_equal(out->length % sizeof(struct map_entry), 0);
	return out->length / sizeof(struct map_entry);
}

static const struct map_entry *entry(const struct buffer *out, size_t i)
{
	assert_true(i < entry_count(out));
	return (const struct map_entry *)(const void *)out->data + i;
}

/* Parses an exact copy on the heap, so that reading beyond it shows under ASan; the paths are
 * offsets, and hold for the original as well. */
static int parse_bytes(const char *text, size_t length, struct buffer *out)
{
	char *copy = malloc(length);
	int result;

	assert_true(copy || !length);
	if (length)
		memcpy(copy, text, length);
	buffer_clear(out);
	result = maps_parse(copy, length, out);
	free(copy);
	return result;
}

static int parse(const char *text, struct buffer *out)
{
	return parse_bytes(text, strlen(text), out);
}

static void assert_path(const char *text, const struct map_entry *m, const char *path)
{
	assert_int_equal(m->path_length, strlen(path));
	assert_memory_equal(text + m->path, path, m->path_length);
}

/* --- our own --------------------------------------------------------------------------------- */

/* The same line by scanf, which knows nothing of maps_parse(). */
static void compare_line(const char *text, const char *line, const struct map_entry *m)
{
	unsigned long long start, end, offset, inode;
	unsigned int major, minor;
	char copy[4400], permissions[5], path[4200] = "";
	size_t n = strcspn(line, "\n");

	assert_true(n < sizeof(copy));
	memcpy(copy, line, n);
	copy[n] = 0;
	assert_true(sscanf(copy, "%llx-%llx %4s %llx %x:%x %llu %4199[^\n]", &start, &end,
			    permissions, &offset, &major, &minor, &inode, path) >= 7);
	assert_int_equal(m->start, start);
	assert_int_equal(m->end, end);
	assert_int_equal(m->offset, offset);
	assert_int_equal(m->device, (uint64_t)major << 32 | minor);
	assert_int_equal(m->inode, inode);
	assert_int_equal(m->executable, permissions[2] == 'x');
	n = strlen(path);
	if (m->deleted) {
		assert_true(n > 10 && !strcmp(path + n - 10, " (deleted)"));
		path[n - 10] = 0;
	}
	assert_path(text, m, path);
}

static void test_self(void **state)
{
	struct buffer text CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	uint64_t here = (uintptr_t)test_self, stack = (uintptr_t)&text;
	bool found_code = false, found_stack = false;
	const char *line;
	size_t i = 0;

	(void)state;
	assert_int_equal(buffer_read_file(&text, "/proc/self/maps", 1 << 20), 0);
	line = buffer_string(&text);
	assert_int_equal(parse_bytes(line, text.length, &out), 0);
	for (; *line; line = strchr(line, '\n') + 1, i++) {
		const struct map_entry *m = entry(&out, i);

		compare_line((const char *)text.data, line, m);
		found_code |= here >= m->start && here < m->end && m->executable && m->inode;
		found_stack |= stack >= m->start && stack < m->end && !m->executable;
		assert_true(!i || m->start >= entry(&out, i - 1)->end);
	}
	assert_int_equal(i, entry_count(&out));
	assert_true(found_code);
	assert_true(found_stack);
}

/* Maps a file of this name in a new directory, and removes it. Returns the directory. */
static void *map_file(char *directory, const char *name, bool unlink_it)
{
	char path[512];
	void *at;
	int fd;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 8192), 0);
	at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 4096);
	assert_true(at != MAP_FAILED);
	close(fd);
	if (unlink_it)
		assert_int_equal(unlink(path), 0);
	return at;
}

static void check_mapped(const char *name, const char *shown, bool unlink_it)
{
	struct buffer text CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	char directory[] = "/tmp/test_maps.XXXXXX", path[512];
	const struct map_entry *m;
	void *at = map_file(directory, name, unlink_it);
	struct stat st;
	size_t i = 0;

	assert_int_equal(buffer_read_file(&text, "/proc/self/maps", 1 << 20), 0);
	assert_int_equal(maps_parse((const char *)text.data, text.length, &out), 0);
	while (entry(&out, i)->start != (uintptr_t)at)
		i++;
	m = entry(&out, i);
	assert_int_equal(m->end, (uintptr_t)at + 4096);
	assert_int_equal(m->offset, 4096);
	assert_true(m->executable);
	assert_int_equal(m->deleted, unlink_it);
	snprintf(path, sizeof(path), "%s/%s", directory, shown);
	assert_path((const char *)text.data, m, path);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (!unlink_it) {
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(m->inode, st.st_ino);
		unlink(path);
	}
	munmap(at, 4096);
	rmdir(directory);
}

static void test_mapped_files(void **state)
{
	(void)state;
	check_mapped("plain", "plain", false);
	check_mapped("two  blanks ", "two  blanks ", false);
	check_mapped(" leads", " leads", false);
	check_mapped("line\nend", "line\\012end", false);
	check_mapped("\n7f0000000000-7f0000001000 r-xp 0 0:0 0",
		"\\0127f0000000000-7f0000001000 r-xp 0 0:0 0", false);
	check_mapped("\x01\x1b[31m\xff", "\x01\x1b[31m\xff", false);
	check_mapped("gone", "gone", true);
	check_mapped("gone (deleted)", "gone (deleted)", true);
}

/* --- texts ----------------------------------------------------------------------------------- */

static const char example[] =
	"00400000-00452000 r-xp 00001000 08:02 173521      /usr/bin/with a blank\n"
	"00651000-00652000 r--p 00051000 103:0a 173521     /lib/libx.so (deleted)\n"
	"7ffc3a2b1000-7ffc3a2d2000 rw-p 00000000 00:00 0   [stack]\n"
	"7ffc3a2d2000-7ffc3a2d3000 --xs 00000000 00:00 0 \n"
	"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
	"fffffffffffffffe-ffffffffffffffff r-xp ffffffffffffffff ffffffff:ffffffff "
	"18446744073709551615 /a\\012b\n";

static void test_fields(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };

	(void)state;
	assert_int_equal(parse(example, &out), 0);
	assert_int_equal(entry_count(&out), 6);
	assert_int_equal(entry(&out, 0)->start, 0x400000);
	assert_int_equal(entry(&out, 0)->end, 0x452000);
	assert_int_equal(entry(&out, 0)->offset, 0x1000);
	assert_int_equal(entry(&out, 0)->device, 8ULL << 32 | 2);
	assert_int_equal(entry(&out, 0)->inode, 173521);
	assert_true(entry(&out, 0)->executable && !entry(&out, 0)->deleted);
	assert_path(example, entry(&out, 0), "/usr/bin/with a blank");
	assert_int_equal(entry(&out, 1)->device, 0x103ULL << 32 | 10);
	assert_true(!entry(&out, 1)->executable && entry(&out, 1)->deleted);
	assert_path(example, entry(&out, 1), "/lib/libx.so");
	assert_path(example, entry(&out, 2), "[stack]");
	assert_int_equal(entry(&out, 2)->inode, 0);
	assert_path(example, entry(&out, 3), "");
	assert_true(entry(&out, 3)->executable);
	assert_path(example, entry(&out, 4), "[vsyscall]");
	assert_int_equal(entry(&out, 5)->end, UINT64_MAX);
	assert_int_equal(entry(&out, 5)->offset, UINT64_MAX);
	assert_int_equal(entry(&out, 5)->inode, UINT64_MAX);
	assert_int_equal(entry(&out, 5)->device, UINT64_MAX);
	assert_path(example, entry(&out, 5), "/a\\012b");
}

static void test_ends(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };

	(void)state;
	assert_int_equal(parse("", &out), 0);
	assert_int_equal(entry_count(&out), 0);
	/* the last line without its newline */
	assert_int_equal(parse_bytes(example, sizeof(example) - 2, &out), 0);
	assert_int_equal(entry_count(&out), 6);
	assert_path(example, entry(&out, 5), "/a\\012b");
	/* appended to what is there */
	assert_int_equal(maps_parse(example, sizeof(example) - 1, &out), 0);
	assert_int_equal(entry_count(&out), 12);
	assert_path(example, entry(&out, 7), "/lib/libx.so");
}

static void test_deleted(void **state)
{
#define LINE "1000-2000 r-xp 0 8:1 5 "
	struct buffer out CLEANUP_BUFFER = { 0 };

	(void)state;
	assert_int_equal(parse(LINE "/x (deleted)\n", &out), 0);
	assert_true(entry(&out, 0)->deleted);
	assert_int_equal(entry(&out, 0)->path_length, 2);
	assert_int_equal(parse(LINE "/x(deleted)\n", &out), 0);
	assert_false(entry(&out, 0)->deleted);
	assert_int_equal(parse(LINE "/x (deleted) \n", &out), 0);
	assert_false(entry(&out, 0)->deleted);
	assert_int_equal(parse(LINE "/x (deleted) (deleted)\n", &out), 0);
	assert_true(entry(&out, 0)->deleted);
	assert_int_equal(entry(&out, 0)->path_length, 12);
	assert_int_equal(parse(LINE "(deleted)\n", &out), 0);
	assert_false(entry(&out, 0)->deleted);
	assert_int_equal(parse(LINE "/memfd:a b (deleted)", &out), 0);
	assert_true(entry(&out, 0)->deleted);
#undef LINE
}

static void test_malformed(void **state)
{
	static const char *const texts[] = {
		"\n",
		"garbage\n",
		"1000-2000 r-xp 0 8:1 5 /a\n\n",
		"1000-2000 r-xp 0 8:1 5 /a\ngarbage\n1000-2000 r-xp 0 8:1 5 /b\n",
		" 1000-2000 r-xp 0 8:1 5 /a\n",
		"1000 2000 r-xp 0 8:1 5 /a\n",
		"1000-2000  r-xp 0 8:1 5 /a\n",
		"1000-2000 r-x 0 8:1 5 /a\n",
		"1000-2000 r-xpp 0 8:1 5 /a\n",
		"1000-2000 r-xp 0 8,1 5 /a\n",
		"1000-2000 r-xp 0 8:1 /a\n",
		"1000-2000 r-xp 0 8:1 x5 /a\n",
		"1000-2000 r-xp -1 8:1 5 /a\n",
		"0x1000-0x2000 r-xp 0 8:1 5 /a\n",
		"2000-1000 r-xp 0 8:1 5 /a\n",
		"1000-1000 r-xp 0 8:1 5 /a\n",
		"10000000000000000-20000000000000000 r-xp 0 8:1 5 /a\n",
		"1000-10000000000000000 r-xp 0 8:1 5 /a\n",
		"1000-2000 r-xp 10000000000000000 8:1 5 /a\n",
		"1000-2000 r-xp 0 8:1 18446744073709551616 /a\n",
		"1000-2000 r-xp 0 8:1 99999999999999999999999999 /a\n",
	};
	struct buffer out CLEANUP_BUFFER = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (parse(texts[i], &out) != -EINVAL)
			fail_msg("\"%s\" was not refused", texts[i]);
}

/* Cut anywhere before the inode a line is malformed; behind, it has a shorter inode or path. */
static void test_truncated(void **state)
{
	static const char line[] = "00400000-00452000 r-xp 00001000 08:02 173521   /usr/bin/x";
	struct buffer out CLEANUP_BUFFER = { 0 };
	size_t inode = (size_t)(strstr(line, "173521") - line);
	const struct map_entry *m;

	(void)state;
	for (size_t n = 1; n <= strlen(line); n++) {
		if (n <= inode) {
			assert_int_equal(parse_bytes(line, n, &out), -EINVAL);
			continue;
		}
		assert_int_equal(parse_bytes(line, n, &out), 0);
		m = entry(&out, 0);
		assert_true(m->path <= n && m->path + m->path_length == n);
		assert_true(n < inode + 6 ? m->inode < 173521 : m->inode == 173521);
	}
}

/* --- noise ----------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Changes, inserts, removes or cuts; prefers the bytes that mean something. Returns the length. */
static size_t mutate(char *text, size_t length, uint64_t *rng)
{
	static const char telling[] = "\n\n -:/[]0159afxrwp\0\xff";
	uint64_t r = next_random(rng);
	size_t at = length ? (r >> 32) % length : 0;
	char byte = r & 8 ? telling[(r >> 4) % (sizeof(telling) - 1)] : (char)(r >> 8);

	switch (length ? r % 8 : 4) {
	case 0:
		return at;
	case 1:
	case 2:
		memmove(text + at, text + at + 1, length - at - 1);
		return length - 1;
	case 3:
	case 4:
		memmove(text + at + 1, text + at, length - at);
		text[at] = byte;
		return length + 1;
	default:
		text[at] = byte;
		return length;
	}
}

static void check_noise(const char *text, size_t length, struct buffer *out, unsigned int *good)
{
	int result = parse_bytes(text, length, out);

	if (result) {
		assert_int_equal(result, -EINVAL);
		return;
	}
	++*good;
	for (size_t i = 0; i < entry_count(out); i++) {
		const struct map_entry *m = entry(out, i);

		assert_true(m->start < m->end);
		assert_true((size_t)m->path + m->path_length <= length);
		assert_null(memchr(text + m->path, '\n', m->path_length));
	}
}

static void test_noise(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	uint64_t rng = 0x9e3779b97f4a7c15;
	char text[sizeof(example) + 16];
	unsigned int good = 0, rounds = 100000;

	(void)state;
	for (unsigned int n = 0; n < rounds; n++) {
		size_t first = next_random(&rng) % (sizeof(example) - 1);
		size_t length = sizeof(example) - 1 - first;
		int mutations = 1 + (int)(next_random(&rng) % 8);

		/* from some line on */
		while (first && example[first - 1] != '\n')
			first--, length++;
		memcpy(text, example + first, length);
		while (mutations--)
			length = mutate(text, length, &rng);
		check_noise(text, length, &out, &good);
	}
	/* Neither all refused nor all taken: the mutations reach the parser's inside. */
	assert_true(good > rounds / 20 && good < rounds * 19 / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_mapped_files),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_deleted),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests_name("maps", tests, NULL, NULL);
}
