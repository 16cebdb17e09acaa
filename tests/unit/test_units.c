// SPDX-License-Identifier: GPL-2.0-or-later
/* Durations, sizes and counts: what is understood, what is refused, and how figures are rounded. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../user/base/cleanup.h"
#include "../../user/base/clock.h"
#include "../../user/base/units.h"

#define UNTOUCHED 0x5a5a5a5a5a5a5a5aULL
#define KIB	  1024ULL
#define MIB	  (KIB * KIB)
#define GIB	  (KIB * MIB)
#define TIB	  (KIB * GIB)

struct parse_case {
	const char *text;
	int result;
	uint64_t value;
};

typedef int (*parse_text)(const char *text, uint64_t *value);

static void run_parse_cases(parse_text parse, const struct parse_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		/* an exact copy: reading behind the end shows under ASan */
		char *text = strdup(cases[i].text);
		uint64_t value = UNTOUCHED, want = cases[i].result ? UNTOUCHED : cases[i].value;
		int result;

		assert_non_null(text);
		result = parse(text, &value);
		if (result != cases[i].result || value != want)
			fail_msg("\"%s\": got %d, %llu; want %d, %llu", text, result,
				(unsigned long long)value, cases[i].result,
				(unsigned long long)want);
		free(text);
	}
}

static void test_parse_duration(void **state)
{
	static const struct parse_case cases[] = {
		{ "5s", 0, 5 * NS_PER_S },
		{ "5", 0, 5 * NS_PER_S },
		{ "0", 0, 0 },
		{ "0s", 0, 0 },
		{ "007s", 0, 7 * NS_PER_S },
		{ "200ms", 0, 200 * NS_PER_MS },
		{ "200MS", 0, 200 * NS_PER_MS },
		{ "1.5m", 0, 90 * NS_PER_S },
		{ "1.5min", 0, 90 * NS_PER_S },
		{ ".5s", 0, 500 * NS_PER_MS },
		{ "5.s", 0, 5 * NS_PER_S },
		{ "2h", 0, 7200 * NS_PER_S },
		{ "1d", 0, 86400 * NS_PER_S },
		{ "7us", 0, 7000 },
		{ "3ns", 0, 3 },
		{ "0.4ns", 0, 0 },
		{ "0.6ns", 0, 1 },
		{ "106000d", 0, 106000ULL * 86400 * NS_PER_S }, /* 290 years: nearly 2^63 ns */
		{ "107000d", -ERANGE, 0 },
		{ "1e300d", -ERANGE, 0 },
		{ "1e400s", -ERANGE, 0 },
		{ "99999999999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ ".", -EINVAL, 0 },
		{ ".s", -EINVAL, 0 },
		{ "5 s", -EINVAL, 0 },
		{ " 5s", -EINVAL, 0 },
		{ "5s ", -EINVAL, 0 },
		{ "5s5", -EINVAL, 0 },
		{ "5sec", -EINVAL, 0 },
		{ "5k", -EINVAL, 0 },
		{ "5y", -EINVAL, 0 },
		{ "1.2.3s", -EINVAL, 0 },
		{ "1,5s", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
		{ "-0", -EINVAL, 0 },
		{ "+1s", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "0X10s", -EINVAL, 0 },
		{ "0x1p3", -EINVAL, 0 },
		{ "nan", -EINVAL, 0 },
		{ "inf", -EINVAL, 0 },
		{ "infinity", -EINVAL, 0 },
		{ "\xff", -EINVAL, 0 },
		{ "5\xc2\xb5s", -EINVAL, 0 },
	};

	(void)state;
	run_parse_cases(parse_duration, cases, ARRAY_SIZE(cases));
}

static void test_parse_size(void **state)
{
	static const struct parse_case cases[] = {
		{ "4096", 0, 4096 },
		{ "0", 0, 0 },
		{ "1b", 0, 1 },
		{ "64K", 0, 64 * KIB },
		{ "64k", 0, 64 * KIB },
		{ "64KB", 0, 64 * KIB },
		{ "64KiB", 0, 64 * KIB },
		{ "1.5MiB", 0, 3 * MIB / 2 },
		{ "1m", 0, MIB },
		{ "2G", 0, 2 * GIB },
		{ "2GiB", 0, 2 * GIB },
		{ "3T", 0, 3 * TIB },
		{ "3tib", 0, 3 * TIB },
		{ "4294967296", 0, 4 * GIB },
		{ "8000000T", 0, 8000000 * TIB },
		{ "8388608T", -ERANGE, 0 }, /* 2^63 */
		{ "18446744073709551616", -ERANGE, 0 },
		{ "1e400", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ "4 K", -EINVAL, 0 },
		{ " 4K", -EINVAL, 0 },
		{ "4K ", -EINVAL, 0 },
		{ "4Ki", -EINVAL, 0 },
		{ "4KK", -EINVAL, 0 },
		{ "4s", -EINVAL, 0 },
		{ "4P", -EINVAL, 0 },
		{ "-4K", -EINVAL, 0 },
		{ "+4K", -EINVAL, 0 },
		{ "0x1000", -EINVAL, 0 },
		{ "nan", -EINVAL, 0 },
		{ "inf", -EINVAL, 0 },
	};

	(void)state;
	run_parse_cases(parse_size, cases, ARRAY_SIZE(cases));
}

static int parse_any_number(const char *text, uint64_t *value)
{
	return parse_number(text, 0, UINT64_MAX, value);
}

static int parse_small_number(const char *text, uint64_t *value)
{
	return parse_number(text, 10, 20, value);
}

static void test_parse_number(void **state)
{
	static const struct parse_case any[] = {
		{ "0", 0, 0 },
		{ "42", 0, 42 },
		{ "0042", 0, 42 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "99999999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "1\n", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1.0", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "1k", -EINVAL, 0 },
		{ "x", -EINVAL, 0 },
	};
	static const struct parse_case small[] = {
		{ "9", -ERANGE, 0 },
		{ "10", 0, 10 },
		{ "20", 0, 20 },
		{ "21", -ERANGE, 0 },
	};

	(void)state;
	run_parse_cases(parse_any_number, any, ARRAY_SIZE(any));
	run_parse_cases(parse_small_number, small, ARRAY_SIZE(small));
}

/* The text of the size a formatter promises, exactly: a longer one is found by ASan. */
static char *new_text(void)
{
	char *text = malloc(UNITS_TEXT);

	assert_non_null(text);
	memset(text, '#', UNITS_TEXT);
	return text;
}

static void test_format_bytes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },
		{ 1, "1 B" },
		{ 812, "812 B" },
		{ 1023, "1023 B" },
		{ KIB, "1.00 KiB" },
		{ KIB + 5, "1.00 KiB" },
		{ KIB + 6, "1.01 KiB" },
		{ 5 * MIB / 4, "1.25 MiB" },
		{ 10234, "9.99 KiB" }, /* 9.9941 */
		{ 10235, "10.0 KiB" }, /* 9.9951: three digits either way */
		{ 102348, "99.9 KiB" },
		{ 102349, "100 KiB" },
		{ 999 * KIB, "999 KiB" },
		{ 1023 * KIB, "1023 KiB" },
		{ 1048063, "1023 KiB" }, /* 1023.499 */
		{ 1048064, "1.00 MiB" }, /* 1023.5: never "1024 KiB" */
		{ MIB - 1, "1.00 MiB" },
		{ 1023 * MIB + MIB / 2, "1.00 GiB" },
		{ MIB, "1.00 MiB" },
		{ 1023 * MIB, "1023 MiB" },
		{ GIB, "1.00 GiB" },
		{ 4 * GIB, "4.00 GiB" },
		{ 12 * TIB, "12.0 TiB" },
		{ KIB * TIB, "1.00 PiB" },
		{ MIB * TIB, "1.00 EiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	char *text = new_text();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ptr_equal(format_bytes(text, cases[i].bytes), text);
		assert_string_equal(text, cases[i].text);
	}
	free(text);
}

static void test_format_count(void **state)
{
	static const struct {
		uint64_t count;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 7, "7" },
		{ 999, "999" },
		{ 1000, "1,000" },
		{ 12345, "12,345" },
		{ 999999, "999,999" },
		{ 1000000, "1,000,000" },
		{ 1234567, "1,234,567" },
		{ UINT64_MAX, "18,446,744,073,709,551,615" },
	};
	char *text = new_text();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ptr_equal(format_count(text, cases[i].count), text);
		assert_string_equal(text, cases[i].text);
	}
	free(text);
}

static void test_format_duration(void **state)
{
	static const struct {
		double seconds;
		const char *text;
	} cases[] = {
		{ 0, "0 ms" },
		{ -5, "0 ms" },
		{ 0.0004, "0 ms" },
		{ 0.0006, "1 ms" },
		{ 0.85, "850 ms" },
		{ 0.9994, "999 ms" },
		{ 0.9996, "1.0 s" },
		{ 1, "1.0 s" },
		{ 12.34, "12.3 s" },
		{ 60, "60.0 s" },
		{ 99.94, "99.9 s" },
		{ 100, "1m 40s" },
		{ 245, "4m 05s" },
		{ 3599, "59m 59s" },
		{ 3600, "1h 00m" },
		{ 11520, "3h 12m" },
		{ 86399, "23h 59m" },
		{ 86400, "1d 00h" },
		{ 2 * 86400 + 4 * 3600, "2d 04h" },
		{ 1000.0 * 86400, "1000d 00h" },
	};
	char *text = new_text();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ptr_equal(format_duration(text, cases[i].seconds), text);
		assert_string_equal(text, cases[i].text);
	}
	free(text);
}

/* What is printed is understood again: scripts paste figures. */
static void test_there_and_back(void **state)
{
	char text[UNITS_TEXT], *blank;
	uint64_t parsed;

	(void)state;
	for (uint64_t bytes = 1; bytes < 4 * TIB; bytes = bytes * 9 / 7 + 1) {
		format_bytes(text, bytes);
		assert_true(strlen(text) <= 8);
		blank = strchr(text, ' ');
		assert_non_null(blank);
		memmove(blank, blank + 1, strlen(blank));
		assert_int_equal(parse_size(text, &parsed), 0);
		/* three digits */
		assert_true(parsed >= bytes - bytes / 150 && parsed <= bytes + bytes / 150);
	}
}

static void test_format_clock(void **state)
{
	char text[CLOCK_TEXT];

	(void)state;
	assert_string_equal(clock_format(text, 0), "1970-01-01T00:00:00.000Z");
	assert_string_equal(
		clock_format(text, 1767225600ULL * NS_PER_S), "2026-01-01T00:00:00.000Z");
	assert_string_equal(clock_format(text, 1767225599ULL * NS_PER_S + NS_PER_S - 1),
		"2025-12-31T23:59:59.999Z");
	assert_string_equal(clock_format(text, 951782400ULL * NS_PER_S + 7 * NS_PER_MS),
		"2000-02-29T00:00:00.007Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_duration),
		cmocka_unit_test(test_parse_size),
		cmocka_unit_test(test_parse_number),
		cmocka_unit_test(test_format_bytes),
		cmocka_unit_test(test_format_count),
		cmocka_unit_test(test_format_duration),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_format_clock),
	};

	return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
