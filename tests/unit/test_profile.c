// SPDX-License-Identifier: GPL-2.0-or-later
/* The data model: what makes a stack's id, and which sites a leak report lists. */
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
#include "../../user/model/leaks.h"
#include "../../user/model/profile.h"

#define CALL(module, address) ht_frame_native(HT_FRAME_CALL, module, address)
#define PC(module, address)   ht_frame_native(HT_FRAME_PC, module, address)

/* The id of a stack as the last of the profile. */
static uint64_t add(struct profile *p, const uint64_t *frames, uint16_t count)
{
	assert_int_equal(profile_add_stack(p, frames, count, 0), 0);
	return p->stacks[p->stack_count - 1].id;
}

#define ADD(p, ...)                                                                                \
	add(p, (const uint64_t[]){ __VA_ARGS__ },                                                  \
		(uint16_t)ARRAY_SIZE(((const uint64_t[]){ __VA_ARGS__ })))

static void add_module(struct profile *p, const char *path, const char *build_id)
{
	assert_int_equal(profile_add_module(p, path, build_id, NULL), 0);
}

/* --- profile --------------------------------------------------------------------------------- */

static void test_modules(void **state)
{
	struct profile p CLEANUP(profile_release) = { 0 };
	char path[] = "/lib/libc.so.6", build_id[] = "abcd", allocator[] = "glibc";

	(void)state;
	assert_int_equal(profile_add_module(&p, path, build_id, allocator), 0);
	memset(path, 'x', strlen(path)); /* it has copies */
	memset(build_id, 'x', strlen(build_id));
	memset(allocator, 'x', strlen(allocator));
	assert_int_equal(profile_add_module(&p, "", "", NULL), 0);
	assert_int_equal(p.module_count, 2);
	assert_string_equal(p.modules[0].path, "/lib/libc.so.6");
	assert_string_equal(p.modules[0].build_id, "abcd");
	assert_string_equal(p.modules[0].allocator, "glibc");
	assert_string_equal(p.modules[1].path, "");
	assert_null(p.modules[1].allocator);
	profile_release(&p);
	assert_null(p.modules);
	assert_int_equal(p.module_count, 0);
}

/* Many stacks of all lengths: the arrays grow, and what is in them stays. */
static void test_stacks(void **state)
{
	struct profile p CLEANUP(profile_release) = { 0 };
	uint64_t frames[HT_MAX_FRAMES];
	uint32_t total = 0;

	(void)state;
	add_module(&p, "/a", "aa");
	for (uint32_t i = 0; i < 2000; i++) {
		uint16_t count = (uint16_t)(i * 7 % (HT_MAX_FRAMES + 1));

		for (uint16_t k = 0; k < count; k++)
			frames[k] = CALL(0, i * 1000ULL + k);
		assert_int_equal(profile_add_stack(&p, frames, count, (uint16_t)(i & 3)), 0);
	}
	assert_int_equal(p.stack_count, 2000);
	for (uint32_t i = 0; i < p.stack_count; i++) {
		const struct profile_stack *s = &p.stacks[i];

		assert_int_equal(s->frame_count, i * 7 % (HT_MAX_FRAMES + 1));
		assert_int_equal(s->flags, i & 3);
		assert_int_equal(s->first_frame, total);
		for (uint16_t k = 0; k < s->frame_count; k++)
			assert_int_equal(p.frames[total + k], CALL(0, i * 1000ULL + k));
		total += s->frame_count;
	}
	assert_int_equal(p.frame_count, total);
	profile_release(&p);
	assert_null(p.stacks);
	assert_null(p.frames);
	assert_int_equal(p.stack_count + p.frame_count, 0);
}

static void test_empty_stack(void **state)
{
	struct profile p CLEANUP(profile_release) = { 0 };

	(void)state;
	assert_int_equal(profile_add_stack(&p, NULL, 0, 0), 0);
	assert_int_equal(p.stacks[0].frame_count, 0);
	assert_int_equal(p.stacks[0].first_frame, 0);
	add_module(&p, "/a", "aa");
	assert_true(ADD(&p, CALL(0, 1)) != p.stacks[0].id);
}

/* Other modules, in another order, at other paths: the same code, so the same stack. */
static void test_same_stack(void **state)
{
	struct profile p CLEANUP(profile_release) = { 0 }, q CLEANUP(profile_release) = { 0 };

	(void)state;
	add_module(&p, "/usr/bin/server", "11aa");
	add_module(&p, "/lib/libc.so.6", "22bb");
	add_module(&q, "/opt/unused.so", "33cc");
	add_module(&q, "/container/lib/libc.so.6", "22bb");
	add_module(&q, "/proc/1/root/usr/bin/server", "11aa");
	ADD(&q, CALL(0, 0x42)); /* stacks before it do not matter */
	assert_true(ADD(&p, CALL(1, 0x100), PC(0, 0x200), CALL(0, HT_FRAME_OFFSET_MAX)) ==
		    ADD(&q, CALL(1, 0x100), PC(2, 0x200), CALL(2, HT_FRAME_OFFSET_MAX)));
	assert_true(ADD(&p, CALL(0, 1)) == ADD(&q, CALL(2, 1)));
	assert_true(ADD(&p, CALL(0, 1)) != ADD(&q, CALL(1, 1)));
}

static void test_other_stack(void **state)
{
	struct profile p CLEANUP(profile_release) = { 0 };
	uint64_t ids[16];
	size_t n = 0;

	(void)state;
	add_module(&p, "/a", "11aa");
	add_module(&p, "/a", "11ab");
	add_module(&p, "/a", "");
	add_module(&p, "/b", "");
	ids[n++] = ADD(&p, CALL(0, 1), CALL(0, 2));
	ids[n++] = ADD(&p, CALL(0, 2), CALL(0, 1)); /* order */
	ids[n++] = ADD(&p, CALL(0, 1), CALL(0, 3)); /* address */
	ids[n++] = ADD(&p, CALL(1, 1), CALL(0, 2)); /* build id */
	ids[n++] = ADD(&p, CALL(0, 1), CALL(1, 2));
	ids[n++] = ADD(&p, CALL(2, 1), CALL(0, 2)); /* none: the file's name */
	ids[n++] = ADD(&p, CALL(3, 1), CALL(0, 2));
	ids[n++] = ADD(&p, PC(0, 1), CALL(0, 2)); /* interrupted there, not calling */
	ids[n++] = ADD(&p, CALL(0, 1));		  /* shorter and longer */
	ids[n++] = ADD(&p, CALL(0, 1), CALL(0, 2), CALL(0, 2));
	ids[n++] = ADD(&p, CALL(0, 1), ht_frame_raw(0, 2));
	ids[n++] = ADD(&p, CALL(0, 1), ht_frame_native(HT_FRAME_MARKER, 0, 2));
	assert_true(n <= ARRAY_SIZE(ids));
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (ids[i] == ids[k])
				fail_msg("stacks %zu and %zu have one id", k, i);
	assert_true(ADD(&p, CALL(0, 1), CALL(0, 2)) == ids[0]);
}

/* A file without a build id is known by its name, not by where it lies. */
static void test_no_build_id(void **state)
{
	struct profile p CLEANUP(profile_release) = { 0 };

	(void)state;
	add_module(&p, "/usr/bin/server", "");
	add_module(&p, "/proc/1/root/bin/server", "");
	add_module(&p, "server", "");
	add_module(&p, "/usr/bin/server2", "");
	assert_true(ADD(&p, CALL(0, 5)) == ADD(&p, CALL(1, 5)));
	assert_true(ADD(&p, CALL(0, 5)) == ADD(&p, CALL(2, 5)));
	assert_true(ADD(&p, CALL(0, 5)) != ADD(&p, CALL(3, 5)));
	/* Addresses of a JIT differ from run to run: they are no part of the id. */
	assert_true(ADD(&p, CALL(0, 5), ht_frame_raw(1, 0x7f0000001000)) ==
		    ADD(&p, CALL(0, 5), ht_frame_raw(2, 0x7f0000002000)));
	/* a module that is not in the list: no crash */
	assert_true(ADD(&p, CALL(77, 5)) != ADD(&p, CALL(0, 5)));
}

/* Ids lie in recordings, in dashboards, in suppressions: a change of the hash breaks them all. */
static void test_golden_id(void **state)
{
	struct profile p CLEANUP(profile_release) = { 0 };

	(void)state;
	add_module(&p, "/a", "0123456789abcdef");
	assert_int_equal(ADD(&p, CALL(0, 0x1234), PC(0, 0x5678)), 0x8006f31165e86000);
}

/* A reader elsewhere that is given tails has in the end the same as the original. */
static void test_tails(void **state)
{
	struct profile p CLEANUP(profile_release) = { 0 }, copy CLEANUP(profile_release) = { 0 };

	(void)state;
	for (uint32_t round = 0; round < 9; round++) {
		uint32_t modules = copy.module_count, stacks = copy.stack_count;
		struct profile tail CLEANUP(profile_release) = { 0 };

		for (uint32_t i = 0; i < round; i++) {
			add_module(&p, "/bin/program", "abcd");
			ADD(&p, CALL(i, 1), CALL(i, round));
			add(&p, NULL, 0);
		}
		assert_int_equal(profile_tail(&p, modules, stacks, &tail), 0);
		assert_int_equal(tail.module_count, round);
		assert_int_equal(tail.stack_count, 2 * round);
		assert_int_equal(profile_append(&copy, &tail), 0);
		assert_int_equal(tail.module_count, 0);
		assert_int_equal(copy.module_count, p.module_count);
		assert_int_equal(copy.stack_count, p.stack_count);
		assert_int_equal(copy.frame_count, p.frame_count);
	}
	assert_string_equal(copy.modules[copy.module_count - 1].build_id, "abcd");
	assert_memory_equal(copy.stacks, p.stacks, p.stack_count * sizeof(*p.stacks));
	assert_memory_equal(copy.frames, p.frames, p.frame_count * sizeof(*p.frames));
}

/* --- selection ------------------------------------------------------------------------------- */

/* alloc, live, aged: count and bytes; failed */
#define SITE(ac, ab, lc, lb, gc, gb, failures)                                                     \
	{                                                                                          \
		.alloc_count = (ac), .alloc_bytes = (ab), .live_count = (lc), .live_bytes = (lb),  \
		.aged_count = (gc), .aged_bytes = (gb), .failed_count = (failures)                 \
	}

static void assert_selected(struct site_figures *sites, uint32_t site_count,
	enum leaks_filter filter, uint32_t top, const uint32_t *want, uint32_t count)
{
	const struct snapshot s = { .sites = sites, .site_count = site_count };
	struct leaks_selection selection CLEANUP(leaks_release) = { 0 };

	assert_int_equal(leaks_select(&s, filter, top, &selection), 0);
	assert_int_equal(selection.count, count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(selection.sites[i], want[i]);
}

#define ASSERT_SELECTED(sites, filter, top, ...)                                                   \
	assert_selected(sites, ARRAY_SIZE(sites), filter, top, (const uint32_t[]){ __VA_ARGS__ },  \
		ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })))

static void test_order(void **state)
{
	static struct site_figures sites[] = {
		SITE(9, 900, 5, 500, 1, 100, 0),
		SITE(9, 900, 5, 500, 2, 300, 0),
		SITE(9, 900, 5, 500, 3, 300, 0), /* more blocks */
		SITE(9, 900, 6, 600, 1, 100, 0), /* more live */
		SITE(9, 950, 5, 500, 1, 100, 0), /* more allocated */
		SITE(9, 900, 5, 500, 1, 100, 0), /* as the first one: behind it */
		SITE(9, 1ULL << 62, 9, 1ULL << 61, 0, 0, 0),
		SITE(9, 900, 9, 1ULL << 63, 9, 1ULL << 63, 0),
	};

	(void)state;
	ASSERT_SELECTED(sites, LEAKS_AGED, 0, 7, 2, 1, 3, 4, 0, 5);
	ASSERT_SELECTED(sites, LEAKS_ALL, 0, 7, 2, 1, 3, 4, 0, 5, 6);
}

static void test_filter(void **state)
{
	static struct site_figures sites[] = {
		SITE(0, 0, 0, 0, 0, 0, 0),   /* never used */
		SITE(5, 50, 1, 10, 0, 0, 0), /* nothing of the age */
		SITE(5, 50, 0, 0, 0, 0, 0),  /* all freed */
		SITE(5, 0, 2, 0, 2, 0, 0),   /* blocks of no bytes */
		SITE(0, 0, 0, 0, 0, 0, 3),   /* only failures */
		SITE(5, 50, 1, 10, 1, 10, 0),
	};

	(void)state;
	ASSERT_SELECTED(sites, LEAKS_AGED, 0, 5, 3);
	ASSERT_SELECTED(sites, LEAKS_ALL, 0, 5, 3, 1, 2, 4);
}

static void test_top(void **state)
{
	static struct site_figures sites[] = {
		SITE(1, 1, 1, 1, 1, 1, 0),
		SITE(1, 2, 1, 2, 1, 2, 0),
		SITE(1, 3, 1, 3, 1, 3, 0),
	};

	(void)state;
	ASSERT_SELECTED(sites, LEAKS_AGED, 1, 2);
	ASSERT_SELECTED(sites, LEAKS_AGED, 2, 2, 1);
	ASSERT_SELECTED(sites, LEAKS_AGED, 3, 2, 1, 0);
	ASSERT_SELECTED(sites, LEAKS_AGED, 4, 2, 1, 0);
	ASSERT_SELECTED(sites, LEAKS_AGED, UINT32_MAX, 2, 1, 0);
	ASSERT_SELECTED(sites, LEAKS_AGED, 0, 2, 1, 0);
	assert_selected(NULL, 0, LEAKS_ALL, 5, NULL, 0);
	assert_selected(sites, 0, LEAKS_AGED, 0, NULL, 0);
}

static void test_release(void **state)
{
	struct snapshot s = { .site_count = 3, .events = 5, .totals.live_bytes = 7 };
	struct leaks_selection selection = { 0 };

	(void)state;
	s.sites = calloc(3, sizeof(*s.sites));
	assert_non_null(s.sites);
	assert_int_equal(leaks_select(&s, LEAKS_ALL, 0, &selection), 0);
	leaks_release(&selection);
	assert_null(selection.sites);
	leaks_release(&selection);
	snapshot_release(&s);
	assert_null(s.sites);
	assert_int_equal(s.site_count + s.events + s.totals.live_bytes, 0);
	snapshot_release(&s); /* twice is as good as once */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modules),
		cmocka_unit_test(test_tails),
		cmocka_unit_test(test_stacks),
		cmocka_unit_test(test_empty_stack),
		cmocka_unit_test(test_same_stack),
		cmocka_unit_test(test_other_stack),
		cmocka_unit_test(test_no_build_id),
		cmocka_unit_test(test_golden_id),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_release),
	};

	return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
