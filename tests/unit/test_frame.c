// SPDX-License-Identifier: GPL-2.0-or-later
/* The frame word at the borders of its fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../include/frame.h"
#include "../../user/base/cleanup.h"

#define MODULE_MAX ((1U << HT_FRAME_MODULE_BITS) - 1)

static void test_native(void **state)
{
	static const enum ht_frame_tag tags[] = { HT_FRAME_NONE, HT_FRAME_CALL, HT_FRAME_PC,
		HT_FRAME_PYTHON, HT_FRAME_KERNEL, HT_FRAME_MARKER };
	static const __u32 modules[] = { 0, 1, 0x80000, MODULE_MAX - 1, MODULE_MAX };
	static const __u64 offsets[] = { 0, 1, 0xffffffff, 0x100000000, 1ULL << 39,
		HT_FRAME_OFFSET_MAX - 1, HT_FRAME_OFFSET_MAX };

	(void)state;
	for (size_t t = 0; t < ARRAY_SIZE(tags); t++)
		for (size_t m = 0; m < ARRAY_SIZE(modules); m++)
			for (size_t o = 0; o < ARRAY_SIZE(offsets); o++) {
				__u64 frame = ht_frame_native(tags[t], modules[m], offsets[o]);

				assert_int_equal(ht_frame_tag(frame), tags[t]);
				assert_int_equal(ht_frame_module(frame), modules[m]);
				assert_int_equal(ht_frame_offset(frame), offsets[o]);
			}
}

static void test_raw(void **state)
{
	static const __u32 slots[] = { 0, 1, 0x7fff, 0x8000, 0xffff };
	static const __u64 addresses[] = { 0, 1, 0xffffffff, 0x7f1234567890, HT_FRAME_RAW_MAX - 1,
		HT_FRAME_RAW_MAX };

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(slots); s++)
		for (size_t a = 0; a < ARRAY_SIZE(addresses); a++) {
			__u64 frame = ht_frame_raw(slots[s], addresses[a]);

			/* Whatever the slot's top bits are, they do not change the tag. */
			assert_int_equal(ht_frame_tag(frame), HT_FRAME_RAW);
			assert_int_equal(ht_frame_raw_slot(frame), slots[s]);
			assert_int_equal(ht_frame_raw_address(frame), addresses[a]);
		}
}

/* Kernel-half addresses and slots of more bits must not spill into other fields. */
static void test_raw_is_cut(void **state)
{
	__u64 frame = ht_frame_raw(0xabc12345, ~0ULL);

	(void)state;
	assert_int_equal(ht_frame_tag(frame), HT_FRAME_RAW);
	assert_int_equal(ht_frame_raw_slot(frame), 0x2345);
	assert_int_equal(ht_frame_raw_address(frame), HT_FRAME_RAW_MAX);
	assert_int_equal(ht_frame_raw_address(ht_frame_raw(3, 1ULL << 47)), 0);
	assert_int_equal(ht_frame_raw_slot(ht_frame_raw(3, 1ULL << 47)), 3);
}

/* The words themselves: they lie in recordings and in kernel memory. */
static void test_layout(void **state)
{
	(void)state;
	assert_int_equal(ht_frame_native(HT_FRAME_CALL, 2, 0x1234), 0x1000020000001234);
	assert_int_equal(
		ht_frame_native(HT_FRAME_PC, MODULE_MAX, HT_FRAME_OFFSET_MAX), 0x2fffffffffffffff);
	assert_int_equal(ht_frame_raw(0, 0), 0x8000000000000000);
	assert_int_equal(ht_frame_raw(0xffff, HT_FRAME_RAW_MAX), 0xffffffffffffffff);
	assert_int_equal(ht_frame_raw(1, 0x10), 0x8000800000000010);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_native),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_raw_is_cut),
		cmocka_unit_test(test_layout),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
