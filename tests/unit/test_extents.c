// SPDX-License-Identifier: GPL-2.0-or-later
/* Parts of an array: taken, given back, joined; against a plain map of what is in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/base/extents.h"

#define SIZE 500

static void takes_and_joins(void **state)
{
	struct extents e;
	uint32_t a, b, c;

	(void)state;
	assert_int_equal(extents_init(&e, 10), 0);
	assert_int_equal(extents_take(&e, 4, &a), 0);
	assert_int_equal(extents_take(&e, 3, &b), 0);
	assert_int_equal(extents_take(&e, 3, &c), 0);
	assert_int_equal(extents_take(&e, 1, &c), -ENOSPC);
	assert_int_equal(extents_give(&e, (struct extent){ a, 4 }), 0);
	assert_int_equal(extents_give(&e, (struct extent){ 7, 3 }), 0);
	assert_int_equal(extents_take(&e, 7, &a), -ENOSPC);
	assert_int_equal(extents_give(&e, (struct extent){ b, 3 }), 0);
	assert_int_equal(e.free_count, 1);
	assert_int_equal(extents_take(&e, 10, &a), 0);
	assert_int_equal(a, 0);
	extents_release(&e);
}

static void random_parts_never_overlap(void **state)
{
	struct extent parts[64] = { 0 };
	uint8_t used[SIZE] = { 0 };
	struct extents e;

	(void)state;
	srand(7);
	assert_int_equal(extents_init(&e, SIZE), 0);
	for (int step = 0; step < 20000; step++) {
		struct extent *p = &parts[rand() % 64];

		if (p->count) {
			memset(used + p->first, 0, p->count);
			assert_int_equal(extents_give(&e, *p), 0);
			p->count = 0;
			continue;
		}
		p->count = (uint32_t)rand() % 30 + 1;
		if (extents_take(&e, p->count, &p->first)) {
			p->count = 0;
			continue;
		}
		for (uint32_t i = 0; i < p->count; i++) {
			assert_true(p->first + i < SIZE);
			assert_int_equal(used[p->first + i], 0);
			used[p->first + i] = 1;
		}
	}
	for (int i = 0; i < 64; i++)
		if (parts[i].count)
			assert_int_equal(extents_give(&e, parts[i]), 0);
	assert_int_equal(e.free_count, 1);
	assert_int_equal(e.free[0].count, SIZE);
	extents_release(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_and_joins),
		cmocka_unit_test(random_parts_never_overlap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
