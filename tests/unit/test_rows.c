// SPDX-License-Identifier: GPL-2.0-or-later
/* One list of cells as a text table and as JSON; and the list of checks that doctor makes one from. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../user/model/checks.h"
#include "../../user/render/rows.h"

enum { NAME, SIZE, TIME, WORDS, FLAG, HIDDEN, TEXT_ONLY, BELOW, COLUMNS };
static const struct column columns[COLUMNS] = {
	[NAME] = { "NAME", "name", COLUMN_TEXT },
	[SIZE] = { "SIZE", "size_bytes", COLUMN_BYTES },
	[TIME] = { "TIME", "time_s", COLUMN_SECONDS },
	[WORDS] = { "WORDS", "words", COLUMN_LIST },
	[FLAG] = { NULL, "flag", COLUMN_BOOL },
	[HIDDEN] = { NULL, "hidden", COLUMN_NUMBER },
	[TEXT_ONLY] = { "LAST", NULL, COLUMN_TEXT },
	[BELOW] = { "remedy", "remedy", COLUMN_BELOW },
};

static void fill(struct rows *r)
{
	struct cell *row = rows_add(r);

	row[NAME].text = "a\033\"\xff";
	row[SIZE].number = 1 << 20;
	row[TIME].number = 1.25;
	row[WORDS].text = "one+two";
	row[FLAG].number = 1;
	row[HIDDEN].number = 0.5;
	row[TEXT_ONLY].text = "end";
	row[BELOW].text = "do this";
	row = rows_add(r);
	row[SIZE].number = row[TIME].number = row[HIDDEN].number = -1;
	row = rows_add(r);
	row[NAME].text = "longer name";
	row[SIZE].number = 9;
	row[WORDS].text = "";
}

static void test_text(void **state)
{
	struct rows r CLEANUP(rows_release) = { .columns = columns, .column_count = COLUMNS };
	struct buffer out CLEANUP_BUFFER = { 0 };

	(void)state;
	fill(&r);
	rows_render_text(&r, false, &out);
	assert_string_equal(buffer_string(&out), "NAME             SIZE   TIME  WORDS    LAST\n"
						 "a?\"?         1.00 MiB  1.2 s  one+two  end\n"
						 "    remedy: do this\n"
						 "-                   -      -  -        -\n"
						 "longer name       9 B   0 ms  -        -\n");
}

static void test_json(void **state)
{
	struct rows r CLEANUP(rows_release) = { .columns = columns, .column_count = COLUMNS };
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct json j = { .out = &out };

	(void)state;
	fill(&r);
	json_open(&j, NULL, '{');
	rows_render_json(&r, "rows", &j);
	json_close(&j, '}');
	assert_string_equal(buffer_string(&out),
		"{\"rows\":["
		"{\"name\":\"a\\u001b\\\"\\ufffd\",\"size_bytes\":1048576,\"time_s\":1.250,"
		"\"words\":[\"one\",\"two\"],\"flag\":true,\"hidden\":0.500,\"remedy\":\"do "
		"this\"},"
		"{\"name\":null,\"size_bytes\":null,\"time_s\":null,\"words\":null,\"flag\":false,"
		"\"hidden\":null,\"remedy\":null},"
		"{\"name\":\"longer name\",\"size_bytes\":9,\"time_s\":0.000,\"words\":[],"
		"\"flag\":false,\"hidden\":0,\"remedy\":null}]}");
}

static void test_empty(void **state)
{
	struct rows r CLEANUP(rows_release) = { .columns = columns, .column_count = COLUMNS };
	struct buffer out CLEANUP_BUFFER = { 0 }, text CLEANUP_BUFFER = { 0 };
	struct json j = { .out = &out };

	(void)state;
	rows_render_json(&r, NULL, &j);
	assert_string_equal(buffer_string(&out), "[]");
	rows_render_text(&r, true, &text);
	assert_string_equal(buffer_string(&text), "\033[1mNAME  SIZE  TIME  WORDS  LAST\033[0m\n");
}

static void test_checks(void **state)
{
	struct checks c CLEANUP(checks_release) = { 0 };

	(void)state;
	checks_value(&c, "about none: ignored");
	checks_add(&c, "kernel", CHECK_OK, "first %d", 1);
	checks_bytes(&c, 2048);
	checks_add(&c, "cost", CHECK_MISSING, "second");
	checks_why(&c, "once");
	checks_why(&c, "%s", "again");
	checks_remedy(&c, "%d things", 2);
	assert_int_equal(c.error, 0);
	assert_int_equal(c.count, 2);
	assert_string_equal(c.all[0].name, "first 1");
	assert_string_equal(c.all[0].value, "2.00 KiB");
	assert_string_equal(c.all[0].unit, "bytes");
	assert_true(c.all[0].number == 2048);
	assert_null(c.all[0].why);
	assert_string_equal(c.all[1].group, "cost");
	assert_string_equal(c.all[1].why, "again");
	assert_string_equal(c.all[1].remedy, "2 things");
	assert_true(isnan(c.all[1].number));
	assert_string_equal(check_state_name(c.all[1].state), "missing");
	checks_ns(&c, 9.24);
	assert_string_equal(c.all[1].value, "9.2 ns");
	checks_ns(&c, 2403.4);
	assert_string_equal(c.all[1].value, "2,403 ns");
	checks_rate(&c, 21000.5);
	assert_string_equal(c.all[1].value, "21,000/s");
	checks_count(&c, 1234);
	assert_string_equal(c.all[1].value, "1,234");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
