// SPDX-License-Identifier: GPL-2.0-or-later
/* Intervals of mappings: each operation by hand, and all of them against a table of single pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../user/target/intervals.h"

#define SITES 8

struct gone {
	uint64_t bytes[SITES];
};

static void count_gone(void *context, uint32_t site, uint64_t bytes)
{
	struct gone *gone = context;

	assert_true(site < SITES);
	gone->bytes[site] += bytes;
}

static void assert_interval(
	const struct intervals *v, size_t i, uint64_t start, uint64_t end, uint32_t site)
{
	assert_true(i < v->count);
	assert_int_equal(v->all[i].start, start);
	assert_int_equal(v->all[i].end, end);
	assert_int_equal(v->all[i].site, site);
}

static void mapped_over(void **state)
{
	struct intervals v = { 0 };
	struct gone gone = { 0 };

	(void)state;
	assert_int_equal(intervals_map(&v, 1000, 1000, 1, count_gone, &gone), 0);
	assert_int_equal(intervals_map(&v, 1200, 100, 2, count_gone, &gone), 0);
	assert_int_equal(v.count, 3);
	assert_interval(&v, 0, 1000, 1200, 1);
	assert_interval(&v, 1, 1200, 1300, 2);
	assert_interval(&v, 2, 1300, 2000, 1);
	assert_int_equal(gone.bytes[1], 100);
	assert_int_equal(gone.bytes[2], 0);
	/* Over all of them, and beyond both ends. */
	assert_int_equal(intervals_map(&v, 500, 2000, 3, count_gone, &gone), 0);
	assert_int_equal(v.count, 1);
	assert_interval(&v, 0, 500, 2500, 3);
	assert_int_equal(gone.bytes[1], 1000);
	assert_int_equal(gone.bytes[2], 100);
	intervals_release(&v);
}

static void unmapped_in_parts(void **state)
{
	struct intervals v = { 0 };
	struct gone gone = { 0 };

	(void)state;
	intervals_map(&v, 1000, 1000, 1, count_gone, &gone);
	intervals_map(&v, 3000, 1000, 2, count_gone, &gone);
	/* The end of one, a hole, and the start of the other. */
	assert_int_equal(intervals_unmap(&v, 1500, 2000, count_gone, &gone), 0);
	assert_int_equal(v.count, 2);
	assert_interval(&v, 0, 1000, 1500, 1);
	assert_interval(&v, 1, 3500, 4000, 2);
	assert_int_equal(gone.bytes[1], 500);
	assert_int_equal(gone.bytes[2], 500);
	/* The middle. */
	assert_int_equal(intervals_unmap(&v, 1100, 100, count_gone, &gone), 0);
	assert_int_equal(v.count, 3);
	assert_interval(&v, 0, 1000, 1100, 1);
	assert_interval(&v, 1, 1200, 1500, 1);
	/* Nothing there, nothing asked. */
	assert_int_equal(intervals_unmap(&v, 1100, 100, count_gone, &gone), 0);
	assert_int_equal(intervals_unmap(&v, 1200, 0, count_gone, &gone), 0);
	assert_int_equal(v.count, 3);
	/* A range that would wrap around ends with the addresses. */
	assert_int_equal(intervals_unmap(&v, 0, UINT64_MAX, count_gone, &gone), 0);
	assert_int_equal(v.count, 0);
	assert_int_equal(gone.bytes[1] + gone.bytes[2], 2000);
	intervals_release(&v);
}

static void neighbours_of_a_site_are_one(void **state)
{
	struct intervals v = { 0 };
	struct gone gone = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		intervals_map(&v, 4096 * i, 4096, 1, count_gone, &gone);
	assert_int_equal(v.count, 1);
	intervals_map(&v, 4096 * 1000, 4096, 2, count_gone, &gone);
	assert_int_equal(v.count, 2);
	assert_int_equal(gone.bytes[1], 0);
	intervals_release(&v);
}

static void moved(void **state)
{
	struct intervals v = { 0 };
	struct gone gone = { 0 };

	(void)state;
	intervals_map(&v, 1000, 500, 1, count_gone, &gone);
	intervals_map(&v, 1500, 500, 2, count_gone, &gone);
	/* Elsewhere and larger: what is moved keeps its sites, the rest is the mover's. */
	assert_int_equal(intervals_move(&v, 1000, 1000, 9000, 1500, 3, count_gone, &gone), 0);
	assert_int_equal(v.count, 3);
	assert_interval(&v, 0, 9000, 9500, 1);
	assert_interval(&v, 1, 9500, 10000, 2);
	assert_interval(&v, 2, 10000, 10500, 3);
	assert_int_equal(gone.bytes[1] + gone.bytes[2] + gone.bytes[3], 0);
	/* In place and smaller. */
	assert_int_equal(intervals_move(&v, 9000, 1500, 9000, 700, 4, count_gone, &gone), 0);
	assert_int_equal(v.count, 2);
	assert_interval(&v, 1, 9500, 9700, 2);
	assert_int_equal(gone.bytes[2], 300);
	assert_int_equal(gone.bytes[3], 500);
	/* In place and larger, over something else. */
	intervals_map(&v, 9700, 100, 5, count_gone, &gone);
	assert_int_equal(intervals_move(&v, 9000, 700, 9000, 1000, 4, count_gone, &gone), 0);
	assert_interval(&v, 2, 9700, 10000, 4);
	assert_int_equal(gone.bytes[5], 100);
	/* Of nothing: a second mapping of the same pages. */
	assert_int_equal(intervals_move(&v, 9000, 0, 20000, 1000, 6, count_gone, &gone), 0);
	assert_interval(&v, 3, 20000, 21000, 6);
	assert_interval(&v, 0, 9000, 9500, 1);
	intervals_release(&v);
}

static void found(void **state)
{
	struct intervals v = { 0 };
	struct gone gone = { 0 };

	(void)state;
	assert_null(intervals_find(&v, 1000));
	intervals_map(&v, 1000, 1000, 1, count_gone, &gone);
	assert_null(intervals_find(&v, 999));
	assert_int_equal(intervals_find(&v, 1000)->site, 1);
	assert_int_equal(intervals_find(&v, 1999)->site, 1);
	assert_null(intervals_find(&v, 2000));
	intervals_visit(&v, 1900, 1000, count_gone, &gone);
	assert_int_equal(gone.bytes[1], 100);
	assert_int_equal(v.count, 1);
	intervals_release(&v);
}

/* --- against single pages ----------------------------------------------------------------------- */

#define PAGES 256
#define PAGE  4096

struct model {
	uint8_t site[2 * PAGES]; /* 0: not mapped */
	struct gone gone;
};

static void model_set(struct model *m, size_t from, size_t pages, uint8_t site)
{
	for (size_t i = from; i < from + pages; i++) {
		m->gone.bytes[m->site[i]] += m->site[i] ? PAGE : 0;
		m->site[i] = site;
	}
}

static void model_move(
	struct model *m, size_t from, size_t old, size_t to, size_t pages, uint8_t site)
{
	uint8_t kept[PAGES];
	size_t n = old < pages ? old : pages;

	memcpy(kept, m->site + from, n);
	memset(m->site + from, 0, n);
	model_set(m, from + n, old - n, 0);
	model_set(m, to, pages, 0);
	memcpy(m->site + to, kept, n);
	model_set(m, to + n, pages - n, site);
}

static void assert_same(const struct intervals *v, const struct model *m, const struct gone *gone)
{
	size_t at = 0;

	for (size_t i = 0; i < v->count; i++) {
		assert_true(v->all[i].start < v->all[i].end);
		for (; at * PAGE < v->all[i].start; at++)
			assert_int_equal(m->site[at], 0);
		for (; at * PAGE < v->all[i].end; at++)
			assert_int_equal(m->site[at], v->all[i].site);
	}
	for (; at < 2 * PAGES; at++)
		assert_int_equal(m->site[at], 0);
	assert_memory_equal(gone, &m->gone, sizeof(*gone));
}

static void like_single_pages(void **state)
{
	struct intervals v = { 0 };
	struct model m = { 0 };
	struct gone gone = { 0 };

	(void)state;
	srand(1);
	for (int step = 0; step < 20000; step++) {
		size_t from = (size_t)rand() % PAGES, pages = (size_t)rand() % 64 + 1;
		size_t to = (size_t)rand() % PAGES, larger = (size_t)rand() % 64 + 1;
		uint8_t site = (uint8_t)(rand() % (SITES - 1) + 1);

		switch (rand() % 3) {
		case 0:
			intervals_map(&v, from * PAGE, pages * PAGE, site, count_gone, &gone);
			model_set(&m, from, pages, site);
			break;
		case 1:
			intervals_unmap(&v, from * PAGE, pages * PAGE, count_gone, &gone);
			model_set(&m, from, pages, 0);
			break;
		default:
			/* The kernel moves to where the old pages are not, or not at all. */
			if (to != from && to < from + pages && from < to + larger)
				to = from;
			intervals_move(&v, from * PAGE, pages * PAGE, to * PAGE, larger * PAGE,
				site, count_gone, &gone);
			model_move(&m, from, pages, to, larger, site);
		}
		assert_same(&v, &m, &gone);
	}
	intervals_release(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mapped_over),
		cmocka_unit_test(unmapped_in_parts),
		cmocka_unit_test(neighbours_of_a_site_are_one),
		cmocka_unit_test(moved),
		cmocka_unit_test(found),
		cmocka_unit_test(like_single_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
