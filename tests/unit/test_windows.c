// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../../user/model/windows.h"

/* A window in which site i allocated count[i] blocks of 10 bytes, and freed all but live[i]. */
static struct snapshot window(uint32_t sites, const uint64_t *count, const uint64_t *live)
{
	struct snapshot s = { .site_count = sites };

	s.sites = calloc(sites, sizeof(*s.sites));
	assert_non_null(s.sites);
	for (uint32_t i = 0; i < sites; i++) {
		s.sites[i] = (struct site_figures){ .stack = i,
			.alloc_count = count[i],
			.alloc_bytes = 10 * count[i],
			.free_count = count[i] - live[i],
			.free_bytes = 10 * (count[i] - live[i]),
			.live_count = live[i],
			.live_bytes = 10 * live[i] };
		s.totals.alloc_count += count[i];
		s.totals.alloc_bytes += 10 * count[i];
		s.totals.free_count += count[i] - live[i];
		s.totals.free_bytes += 10 * (count[i] - live[i]);
		s.totals.live_count += live[i];
		s.totals.live_bytes += 10 * live[i];
	}
	return s;
}

static void add(struct windows *w, uint32_t sites, const uint64_t *count, const uint64_t *live,
	struct span span)
{
	struct snapshot s = window(sites, count, live);

	assert_int_equal(windows_add(w, &s, &span), 0);
	snapshot_release(&s);
}

static void test_sums_are_scaled_by_own_time(void **state)
{
	struct windows w = { 0 };
	struct span none = { 0 }, whole = { .wall_s = 10, .cpu_s = 9, .own_s = 8 };
	struct snapshot s = window(0, NULL, NULL);

	(void)state;
	add(&w, 1, (uint64_t[]){ 100 }, (uint64_t[]){ 3 }, (struct span){ 1, 1, 0.5 });
	/* A site that came later. */
	add(&w, 2, (uint64_t[]){ 50, 7 }, (uint64_t[]){ 1, 7 }, (struct span){ 1, 0.8, 0.3 });
	assert_int_equal(windows_apply(&w, &s, &none, &whole), 0);
	assert_true(s.windowed);
	assert_int_equal(s.mode.windows, 2);
	assert_float_equal(s.mode.coverage, 0.2, 1e-9);
	assert_float_equal(s.mode.scale, 10, 1e-9);
	assert_false(s.mode.rough);
	assert_int_equal(s.site_count, 2);
	assert_int_equal(s.sites[0].alloc_count, 1500);
	assert_int_equal(s.sites[0].alloc_bytes, 15000);
	assert_int_equal(s.sites[0].survived_count, 40);
	assert_int_equal(s.totals.samples.alloc_count, 157);
	assert_int_equal(s.sites[1].survived_bytes, 700);
	assert_int_equal(s.sites[1].stack, 1);
	assert_int_equal(s.sites[0].live_count + s.sites[1].live_count, 0);
	assert_int_equal(s.totals.alloc_count, 1570);
	assert_int_equal(s.totals.survived_count, 110);
	/* Of what was seen the books are exact. */
	assert_int_equal(s.totals.samples.alloc_count,
		s.totals.samples.free_count + s.totals.samples.live_count);
	snapshot_release(&s);
	windows_clear(&w);
}

static void test_the_open_window_counts(void **state)
{
	struct windows w = { 0 };
	struct span open = { 1, 1, 1 }, whole = { .wall_s = 4, .cpu_s = 4, .own_s = 4 };
	struct snapshot s = window(2, (uint64_t[]){ 10, 20 }, (uint64_t[]){ 0, 2 });

	(void)state;
	add(&w, 1, (uint64_t[]){ 10 }, (uint64_t[]){ 1 }, (struct span){ 1, 1, 1 });
	assert_int_equal(windows_apply(&w, &s, &open, &whole), 0);
	assert_int_equal(s.mode.windows, 2);
	assert_int_equal(s.sites[0].alloc_count, 40);
	assert_int_equal(s.sites[0].survived_count, 2);
	assert_int_equal(s.sites[1].survived_count, 4);
	assert_int_equal(s.totals.survived_bytes, 60);
	snapshot_release(&s);
	windows_clear(&w);
}

static void test_nothing_seen(void **state)
{
	struct windows w = { 0 };
	struct span none = { 0 }, whole = { .wall_s = 4, .cpu_s = 4, .own_s = 4 };
	struct snapshot s = window(1, (uint64_t[]){ 0 }, (uint64_t[]){ 0 });

	(void)state;
	assert_int_equal(windows_apply(&w, &s, &none, &whole), 0);
	assert_float_equal(s.mode.coverage, 0, 0);
	assert_int_equal(s.totals.alloc_count, 0);
	snapshot_release(&s);
	windows_clear(&w);
}

/* All of a window went to probes: no division by what is left. */
static void test_no_time_of_its_own(void **state)
{
	struct windows w = { 0 };
	struct span none = { 0 }, whole = { .wall_s = 10, .cpu_s = 10, .own_s = 9 };
	struct snapshot s = window(0, NULL, NULL);

	(void)state;
	add(&w, 1, (uint64_t[]){ 1000 }, (uint64_t[]){ 0 }, (struct span){ 0.1, 0.1, 0 });
	assert_int_equal(windows_apply(&w, &s, &none, &whole), 0);
	assert_true(s.mode.rough);
	assert_true(s.mode.scale > 90 && s.mode.scale < 1e5);
	snapshot_release(&s);
	windows_clear(&w);
}

/* A process that slept all the time has no CPU time to go by. */
static void test_sleeper(void **state)
{
	struct windows w = { 0 };
	struct span none = { 0 }, whole = { .wall_s = 10 };
	struct snapshot s = window(0, NULL, NULL);

	(void)state;
	add(&w, 1, (uint64_t[]){ 5 }, (uint64_t[]){ 0 }, (struct span){ .wall_s = 2 });
	assert_int_equal(windows_apply(&w, &s, &none, &whole), 0);
	assert_int_equal(s.sites[0].alloc_count, 25);
	snapshot_release(&s);
	windows_clear(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums_are_scaled_by_own_time),
		cmocka_unit_test(test_the_open_window_counts),
		cmocka_unit_test(test_nothing_seen),
		cmocka_unit_test(test_no_time_of_its_own),
		cmocka_unit_test(test_sleeper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
