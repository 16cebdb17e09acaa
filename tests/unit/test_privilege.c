// SPDX-License-Identifier: GPL-2.0-or-later
/* Which capabilities a set lacks, and how that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../user/base/cleanup.h"
#include "../../user/target/privilege.h"

#define CAP(number) (1ULL << (number))
#define EVERYTHING  ((1U << PRIVILEGES) - 1)

/* Numbers of linux/capability.h. */
static void test_lacking(void **state)
{
	(void)state;
	assert_int_equal(privilege_lacking(0, EVERYTHING), EVERYTHING);
	assert_int_equal(privilege_lacking(UINT64_MAX, EVERYTHING), 0);
	assert_int_equal(privilege_lacking(0, 0), 0);
	assert_int_equal(privilege_lacking(CAP(39), PRIVILEGE_BPF), 0);
	assert_int_equal(privilege_lacking(CAP(38), PRIVILEGE_PERFMON), 0);
	assert_int_equal(privilege_lacking(CAP(19), PRIVILEGE_SYS_PTRACE), 0);
	assert_int_equal(privilege_lacking(CAP(2), PRIVILEGE_DAC_READ_SEARCH), 0);
	assert_int_equal(privilege_lacking(CAP(40), PRIVILEGE_CHECKPOINT_RESTORE), 0);
	assert_int_equal(
		privilege_lacking(CAP(39), PRIVILEGE_BPF | PRIVILEGE_PERFMON), PRIVILEGE_PERFMON);
}

/* The kernel takes CAP_SYS_ADMIN for what was split from it, and for nothing else. */
static void test_admin(void **state)
{
	(void)state;
	assert_int_equal(privilege_lacking(CAP(21), EVERYTHING),
		PRIVILEGE_SYS_PTRACE | PRIVILEGE_DAC_READ_SEARCH);
	assert_int_equal(
		privilege_lacking(~CAP(21), EVERYTHING | PRIVILEGE_SYS_ADMIN), PRIVILEGE_SYS_ADMIN);
}

static void test_texts(void **state)
{
	char text[PRIVILEGE_TEXT];

	(void)state;
	assert_string_equal(privilege_names(text, 0), "");
	assert_string_equal(privilege_names(text, PRIVILEGE_BPF), "CAP_BPF");
	assert_string_equal(privilege_names(text, PRIVILEGE_SYS_PTRACE | PRIVILEGE_BPF),
		"CAP_BPF and CAP_SYS_PTRACE");
	/* setcap forgets what it is not told: the usual ones are always there. */
	assert_string_equal(privilege_remedy(text, PRIVILEGE_PERFMON),
		"run as root, or setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search,"
		"cap_checkpoint_restore+ep on heaptap");
	assert_non_null(strstr(
		privilege_remedy(text, PRIVILEGE_SYS_ADMIN), ",cap_sys_admin+ep on heaptap"));
}

/* The longest text is whole. */
static void test_room(void **state)
{
	char text[PRIVILEGE_TEXT];
	size_t length;

	(void)state;
	length = strlen(privilege_names(text, EVERYTHING)) + strlen(" are missing: ") +
		 strlen(privilege_remedy(text, EVERYTHING));
	assert_true(length < PRIVILEGE_TEXT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lacking),
		cmocka_unit_test(test_admin),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
