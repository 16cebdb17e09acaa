// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The step of the unwinder, as the kernel half runs it, over recorded stacks of this very program:
 * copies of stack and registers, walked after the fact, against what the C library's own unwinder said
 * at that moment. And over stacks made by hand, where steps must fail.
 */
#include <alloca.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../user/target/unwind.h"

/* Stack memory as it was: a walk that crosses from a signal's stack to another one reads both. */
struct region {
	uint64_t start;
	size_t bytes;
	uint8_t *copy;
};

struct ht_reader {
	struct region regions[2];
	int count;
};

static int read_word(struct ht_reader *r, uint64_t address, __u64 *word)
{
	for (int i = 0; i < r->count; i++) {
		const struct region *region = &r->regions[i];

		if (address < region->start ||
			address - region->start > region->bytes - sizeof(*word))
			continue;
		memcpy(word, region->copy + (address - region->start), sizeof(*word));
		return 0;
	}
	return -1;
}

#define read_user(reader, address, word) read_word(reader, address, word)
#include "../../include/unwind_step.h"

/* --- code of this process -------------------------------------------------------------------------- */

#define MODULES_MAX 64
#define FRAMES_MAX  256

static struct module {
	uint64_t start, end, bias;
	struct buffer table;
} modules[MODULES_MAX];
static int module_count;

static int add_module(struct dl_phdr_info *info, size_t size, void *context)
{
	const char *path = *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";
	struct module *m = &modules[module_count];
	int fd CLEANUP_CLOSE = open(path, O_RDONLY | O_CLOEXEC);

	(void)size;
	(void)context;
	if (fd < 0 || module_count == MODULES_MAX ||
		parse_file(&unwind_parser, fd, &(struct buffer){ 0 }, &m->table))
		return 0;
	m->start = UINT64_MAX;
	m->bias = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		m->start = start < m->start ? start : m->start;
		m->end = start + p->p_memsz > m->end ? start + p->p_memsz : m->end;
	}
	module_count++;
	return 0;
}

static int read_modules(void **state)
{
	(void)state;
	dl_iterate_phdr(add_module, NULL);
	return module_count < 2;
}

static int release_modules(void **state)
{
	(void)state;
	for (int i = 0; i < module_count; i++)
		buffer_release(&modules[i].table);
	return 0;
}

static uint64_t rule_of(uint64_t pc)
{
	for (int i = 0; i < module_count; i++)
		if (pc >= modules[i].start && pc < modules[i].end)
			return unwind_find(
				(const void *)modules[i].table.data, pc - modules[i].bias);
	return HT_CFA_NONE;
}

/* --- recording --------------------------------------------------------------------------------------- */

struct recording {
	struct ht_reader stack;
	struct ht_walk walk;
	void *caller;		    /* of the recording function */
	void *expected[FRAMES_MAX]; /* return addresses, that one among the first */
	int expected_count;
};

static struct recording recording;
static uint8_t signal_stack[65536] __attribute__((aligned(4096)));

/* By hand: of frames that are not its own the address sanitizer allows no memcpy. */
static __attribute__((noinline, no_sanitize("address"))) void copy_words(
	uint64_t *to, const volatile uint64_t *from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		to[i] = from[i];
}

static void copy_region(uint64_t start, uint64_t end)
{
	struct region *r = &recording.stack.regions[recording.stack.count++];

	*r = (struct region){ start, end - start, malloc(end - start) };
	assert_non_null(r->copy);
	copy_words((uint64_t *)(void *)r->copy, (const uint64_t *)(uintptr_t)start,
		(end - start) / sizeof(uint64_t));
}

static uint64_t stack_end(void)
{
	pthread_attr_t attributes;
	size_t bytes;
	void *start;

	assert_int_equal(pthread_getattr_np(pthread_self(), &attributes), 0);
	assert_int_equal(pthread_attr_getstack(&attributes, &start, &bytes), 0);
	pthread_attr_destroy(&attributes);
	return (uint64_t)(uintptr_t)start + bytes;
}

/* Takes all down: what is called from here writes below the frames that matter. */
static __attribute__((noinline)) void record(void)
{
	struct recording *r = &recording;
	uint64_t sp, bp, bx, pc, low = (uint64_t)(uintptr_t)signal_stack, limit = stack_end(),
				 floor;
	bool on_signal_stack;

	r->stack.count = 0;
	r->caller = __builtin_return_address(0);
	r->expected_count = backtrace(r->expected, FRAMES_MAX);
	__asm__ volatile("mov %%rsp, %0\n\tmov %%rbp, %1\n\tmov %%rbx, %2\n\tlea 0f(%%rip), %3\n0:"
			 : "=r"(sp), "=r"(bp), "=r"(bx), "=r"(pc));
	r->walk = (struct ht_walk){ .pc = pc, .sp = sp, .bp = bp, .bx = bx };
	on_signal_stack = sp - low < sizeof(signal_stack);
	floor = sp;
	if (on_signal_stack) {
		copy_region(sp, low + sizeof(signal_stack));
		floor = limit - 65536;
	}
	copy_region(floor, limit);
}

static void release_recording(void)
{
	for (int i = 0; i < recording.stack.count; i++)
		free(recording.stack.regions[i].copy);
	recording.stack.count = 0;
}

/* Walks what was recorded: every frame as expected, and then the root. */
static void check_recording(void)
{
	struct recording *r = &recording;
	struct ht_walk w = r->walk;
	int status = HT_STEP_INTERRUPTED, first = 0;

	while (first < r->expected_count && r->expected[first] != r->caller)
		first++;
	assert_true(r->expected_count > first + 3);
	for (int i = first; i < r->expected_count; i++) {
		uint64_t at = status == HT_STEP_CALLED ? w.pc - 1 : w.pc;

		status = ht_step(&r->stack, &w, rule_of(at));
		assert_true(status == HT_STEP_CALLED || status == HT_STEP_INTERRUPTED);
		assert_int_equal(w.pc, (uint64_t)(uintptr_t)r->expected[i]);
	}
	assert_int_equal(ht_step(&r->stack, &w, rule_of(w.pc - 1)), HT_STEP_ROOT);
	release_recording();
}

/* --- shapes of stacks ---------------------------------------------------------------------------------- */

#define BARE	     __attribute__((noinline, noclone, optimize("omit-frame-pointer")))
#define AFTER_CALL() __asm__ volatile("" : : : "memory") /* no tail call */

static BARE void deep(int left)
{
	if (left)
		deep(left - 1);
	else
		record();
	AFTER_CALL();
}

static BARE void variable(int bytes)
{
	volatile char *p = alloca((size_t)bytes);

	p[0] = 1;
	deep(bytes % 5);
	AFTER_CALL();
}

/* The stack pointer is aligned down: the CFA is an expression. */
static BARE void aligned(int bytes)
{
	volatile char wide[64] __attribute__((aligned(128)));

	wide[0] = (char)bytes;
	assert_int_equal((uintptr_t)wide % 128, 0);
	variable(bytes);
	AFTER_CALL();
}

static int compare(const void *a, const void *b)
{
	static bool done;

	if (!done) {
		done = true;
		deep(3);
	}
	return *(const int *)a - *(const int *)b;
}

static void test_plain(void **state)
{
	(void)state;
	for (int depth = 0; depth < 100; depth += 33) {
		deep(depth);
		check_recording();
	}
}

static void test_frame_pointers_and_without_mixed(void **state)
{
	(void)state;
	variable(100);
	check_recording();
	aligned(1000);
	check_recording();
}

static void test_called_by_the_c_library(void **state)
{
	int numbers[] = { 3, 1, 2 };

	(void)state;
	qsort(numbers, 3, sizeof(int), compare);
	check_recording();
}

static void *in_thread(void *argument)
{
	aligned(100);
	return argument;
}

static void test_thread(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, in_thread, NULL), 0);
	pthread_join(thread, NULL);
	check_recording();
}

static void on_signal(int number)
{
	(void)number;
	deep(2);
}

static void interrupted(int flags)
{
	const stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof(signal_stack) };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	assert_int_equal(sigaltstack(&stack, NULL), 0);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	raise(SIGUSR1);
	check_recording();
}

static void test_signal(void **state)
{
	(void)state;
	interrupted(0);
	interrupted(SA_ONSTACK);
}

/* A fault on the first instruction of a function: its frame is not yet there. */
static BARE void faulting(void)
{
	__asm__ volatile("ud2");
}

static sigjmp_buf after_fault;

static void on_fault(int number)
{
	(void)number;
	deep(1);
	siglongjmp(after_fault, 1);
}

static void test_interrupted_prologue(void **state)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_ONSTACK }, before;

	(void)state;
	assert_int_equal(sigaction(SIGILL, &action, &before), 0);
	if (!sigsetjmp(after_fault, 1))
		faulting();
	check_recording();
	sigaction(SIGILL, &before, NULL);
}

/* --- steps made by hand ------------------------------------------------------------------------------------ */

#define BASE 0x7ffd00001000ULL

static uint64_t words[64];
static struct ht_reader hand = { .regions = { { BASE, sizeof(words), (uint8_t *)words } },
	.count = 1 };

static int step(struct ht_walk *w, uint64_t rule)
{
	return ht_step(&hand, w, rule);
}

static void test_plausible(void **state)
{
	(void)state;
	assert_true(ht_plausible_cfa(BASE, BASE + 8));
	assert_true(ht_plausible_cfa(BASE, BASE + 8 + HT_FRAME_BYTES_MAX));
	assert_false(ht_plausible_cfa(BASE, BASE + 16 + HT_FRAME_BYTES_MAX));
	assert_false(ht_plausible_cfa(BASE, BASE)); /* would be a step on the spot */
	assert_false(ht_plausible_cfa(BASE, BASE - 8));
	assert_false(ht_plausible_cfa(BASE, BASE + 12));
	assert_false(ht_plausible_cfa(BASE, 0));
	assert_false(ht_plausible_cfa(BASE, UINT64_MAX));
}

static void test_registers_are_read_late(void **state)
{
	struct ht_walk w = { .pc = 1, .sp = BASE, .bp = 77 };

	(void)state;
	words[0] = BASE + 64; /* rbp, saved at CFA - 16 */
	words[1] = 0x1234;
	words[8] = 99;
	words[9] = 0x5678;
	assert_int_equal(step(&w, ht_rule(HT_CFA_SP, 0, 16, -2, 0)), HT_STEP_CALLED);
	assert_int_equal(w.pc, 0x1234);
	assert_int_equal(w.bp_at, BASE);
	assert_int_equal(w.bp, 77);
	assert_int_equal(step(&w, HT_RULE_FRAME_POINTER), HT_STEP_CALLED);
	assert_int_equal(w.pc, 0x5678);
	assert_int_equal(w.sp, BASE + 80);
	assert_int_equal(w.bp_at, BASE + 64);
}

/* The dynamic linker's resolver finds its frame by rbx, which what it calls has saved. */
static void test_by_rbx(void **state)
{
	struct ht_walk w = { .pc = 1, .sp = BASE, .bx = 5 };

	(void)state;
	words[0] = BASE + 48; /* rbx, saved at CFA - 16 */
	words[1] = 0x1234;
	words[8] = 0x5678;
	assert_int_equal(step(&w, ht_rule(HT_CFA_SP, 0, 16, 0, 2)), HT_STEP_CALLED);
	assert_int_equal(w.bx_at, BASE);
	assert_int_equal(step(&w, ht_rule(HT_CFA_BX, 0, 24, 0, 1)), HT_STEP_CALLED);
	assert_int_equal(w.pc, 0x5678);
	assert_int_equal(w.sp, BASE + 72);
	assert_int_equal(w.bx_at, BASE + 64);
}

/* A stub pushes its number before it jumps: one word more from there on. */
static void test_plt(void **state)
{
	struct ht_walk w = { .pc = 0x1000, .sp = BASE };

	(void)state;
	words[0] = 0x1234;
	words[1] = 0x5678;
	assert_int_equal(step(&w, ht_rule(HT_CFA_PLT, 0, 11, 0, 0)), HT_STEP_CALLED);
	assert_int_equal(w.pc, 0x1234);
	w = (struct ht_walk){ .pc = 0x100b, .sp = BASE };
	assert_int_equal(step(&w, ht_rule(HT_CFA_PLT, 0, 11, 0, 0)), HT_STEP_CALLED);
	assert_int_equal(w.pc, 0x5678);
}

static void test_kept_on_the_stack(void **state)
{
	struct ht_walk w = { .pc = 1, .sp = BASE, .bp = BASE + 32 };

	(void)state;
	words[2] = BASE + 64; /* hand-written code keeps its old rsp */
	words[8] = 0x1234;
	assert_int_equal(step(&w, ht_rule(HT_CFA_SP_DEREF, 0, 8 << 16 | 16, 0, 0)), HT_STEP_CALLED);
	assert_int_equal(w.sp, BASE + 72);
	assert_int_equal(w.pc, 0x1234);
	w = (struct ht_walk){ .pc = 1, .sp = BASE, .bp = BASE + 32 };
	words[3] = BASE + 128; /* compilers keep the CFA below rbp, and rbp at rbp */
	words[15] = 0x5678;
	assert_int_equal(step(&w, ht_rule(HT_CFA_BP_DEREF, HT_RULE_AT_BP, (uint16_t)-8, 0, 2)),
		HT_STEP_CALLED);
	assert_int_equal(w.pc, 0x5678);
	assert_int_equal(w.bp_at, BASE + 32);
	assert_int_equal(w.bx_at, BASE + 16);
}

/* Right above a signal frame every register is known, further up those that are saved. */
static void test_interrupted_registers(void **state)
{
	const uint64_t rule = ht_rule(HT_CFA_REGISTER, 0, 16 << 8 | 10, 0, 0);
	struct ht_walk w = { .pc = 1, .sp = BASE };

	(void)state;
	words[HT_SIGNAL_R8 / 8 + 2] = BASE + 272; /* r10 */
	words[HT_SIGNAL_RSP / 8] = BASE + 256;
	words[HT_SIGNAL_RIP / 8] = 0x1000;
	words[35] = 0x1234;
	assert_int_equal(step(&w, ht_rule(HT_CFA_SIGNAL, 0, 0, 0, 0)), HT_STEP_INTERRUPTED);
	assert_int_equal(w.pc, 0x1000);
	assert_int_equal(w.bp_at, BASE + HT_SIGNAL_RBP);
	assert_int_equal(step(&w, rule), HT_STEP_CALLED);
	assert_int_equal(w.pc, 0x1234);
	assert_int_equal(w.sp, BASE + 288);
	assert_int_equal(step(&w, rule), HT_UNWIND_REGISTER);
}

static void test_steps_that_fail(void **state)
{
	const struct ht_walk start = { .pc = 1, .sp = BASE, .bp = BASE - 64 };
	const struct {
		uint64_t rule;
		int status;
	} cases[] = {
		{ ht_rule(HT_CFA_END, 0, 0, 0, 0), HT_STEP_ROOT },
		{ ht_rule(HT_CFA_NONE, 0, 0, 0, 0), HT_UNWIND_UNSUPPORTED },
		{ ht_rule(HT_CFA_UNSUPPORTED, 0, 0, 0, 0), HT_UNWIND_UNSUPPORTED },
		{ ht_rule(HT_CFA_SP, 0, 0, 0, 0), HT_UNWIND_BAD_FRAME },
		{ ht_rule(HT_CFA_SP, 0, -8, 0, 0), HT_UNWIND_BAD_FRAME },
		{ ht_rule(HT_CFA_SP, 0, 13, 0, 0), HT_UNWIND_BAD_FRAME },
		{ ht_rule(HT_CFA_SP, 0, 4096, 0, 0), HT_UNWIND_UNREADABLE },
		{ HT_RULE_FRAME_POINTER, HT_UNWIND_BAD_FRAME },
		{ HT_RULE_FRAME_POINTER | HT_RULE_FALLBACK, HT_UNWIND_NO_ROWS },
		{ ht_rule(HT_CFA_REGISTER, 0, 8 << 8 | 10, 0, 0), HT_UNWIND_REGISTER },
		{ ht_rule(HT_CFA_SP_DEREF, 0, 4096, 0, 0), HT_UNWIND_UNREADABLE },
		{ ht_rule(HT_CFA_BP_DEREF, 0, 0, 0, 0), HT_UNWIND_UNREADABLE },
		{ ht_rule(HT_CFA_SIGNAL, 0, 4096, 0, 0), HT_UNWIND_UNREADABLE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ht_walk w = start;

		assert_int_equal(step(&w, cases[i].rule), cases[i].status);
	}
	struct ht_walk w = start;
	w.bp_at = HT_LOST_AT;
	assert_int_equal(step(&w, HT_RULE_FRAME_POINTER), HT_UNWIND_REGISTER);
	w.bp_at = 0;
	w.bp = 0;
	assert_int_equal(step(&w, HT_RULE_FRAME_POINTER | HT_RULE_FALLBACK), HT_STEP_ROOT);
}

/* Whatever rules and words say, a walk goes up, or over a signal frame, or ends. */
static void test_any_rule_ends(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		struct ht_walk w = { .sp = BASE, .bp = BASE + 8 * (uint64_t)(round % 64) };

		for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			words[i] = round % 2 ? seed : BASE + (seed >> 55 << 3);
		}
		for (int steps = 0; steps < 127; steps++) {
			uint64_t sp = w.sp, rule = (seed = seed * 3 + 1) >> (steps % 7);
			int status = step(&w, rule & 0xff00ffffffULL);

			if (status == HT_STEP_ROOT || status >= 0)
				break;
			if (status == HT_STEP_CALLED)
				assert_true(w.sp > sp);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_frame_pointers_and_without_mixed),
		cmocka_unit_test(test_called_by_the_c_library),
		cmocka_unit_test(test_thread),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_interrupted_prologue),
		cmocka_unit_test(test_plausible),
		cmocka_unit_test(test_registers_are_read_late),
		cmocka_unit_test(test_by_rbx),
		cmocka_unit_test(test_plt),
		cmocka_unit_test(test_kept_on_the_stack),
		cmocka_unit_test(test_interrupted_registers),
		cmocka_unit_test(test_steps_that_fail),
		cmocka_unit_test(test_any_rule_ends),
	};

	return cmocka_run_group_tests(tests, read_modules, release_modules);
}
