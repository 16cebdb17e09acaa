// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the running kernel offers, and what the loader makes of it. Needs root; linked with trace/
 * and libbpf, unlike the unit tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../user/trace/choose.h"
#include "../../user/trace/features.h"
#include "../../user/trace/keeper.h"
#include "../../user/trace/kernel.h"

static const struct table_limits small = { 1000, 100, 100 };

static void need_root(void)
{
	if (geteuid())
		skip();
}

static int load(struct kernel *k, struct tables *t, enum link_kind kind)
{
	int error = kernel_open(k, kind);

	if (!error)
		error = tables_configure(t, k, &small);
	return error ? error : kernel_load(k);
}

static void release(struct kernel *k, struct tables *t)
{
	tables_unmap(t);
	kernel_close(k);
}

/* --- features -------------------------------------------------------------------------------- */

static void features_have_a_remedy_or_are_there(void **state)
{
	struct features f;

	(void)state;
	need_root();
	features_probe(&f);
	for (int i = 0; i < FEATURES; i++) {
		assert_non_null(f.all[i].key);
		assert_non_null(f.all[i].name);
		if (!f.all[i].error)
			assert_null(f.all[i].remedy);
		else if (i != LINK_SESSION && i != LINK_SESSION_CTX)
			assert_non_null(f.all[i].remedy);
	}
	assert_false(!f.all[LINK_SESSION].error && !f.all[LINK_SESSION_CTX].error);
}

/* What the trials promise, the loads keep; and what they deny does not load. */
static void objects_load_where_the_features_say_so(void **state)
{
	struct features f;

	(void)state;
	need_root();
	features_probe(&f);
	for (enum link_kind kind = 0; kind < LINK_KINDS; kind++) {
		struct kernel k = { 0 };
		struct tables t = { 0 };
		int error = load(&k, &t, kind);

		release(&k, &t);
		if (kind <= LINK_SESSION_CTX || !f.all[kind].error)
			assert_int_equal(!error, !f.all[kind].error);
	}
}

/* --- the two signatures of the session's kfunc ------------------------------------------------ */

static void a_foreign_signature_is_refused_and_the_loader_goes_on(void **state)
{
	struct features f;
	struct kernel k = { 0 };
	struct tables t = { 0 };
	enum link_kind foreign;

	(void)state;
	need_root();
	features_probe(&f);
	if (f.all[LINK_SESSION].error && f.all[LINK_SESSION_CTX].error)
		skip();
	foreign = f.all[LINK_SESSION].error ? LINK_SESSION : LINK_SESSION_CTX;
	assert_int_not_equal(load(&k, &t, foreign), 0);
	release(&k, &t);
	assert_null(k.object);
	assert_int_equal(choose_link(&k, &t, &small, LINK_ONLY_SESSION), 0);
	assert_string_equal(link_kind_name(k.kind), "session");
	assert_int_not_equal(k.kind, foreign);
	release(&k, &t);
}

static void each_choice_is_kept_to(void **state)
{
	static const enum link_kind kinds[] = {
		[LINK_ONLY_MULTI] = LINK_MULTI, [LINK_ONLY_PERF] = LINK_PERF
	};

	(void)state;
	need_root();
	for (enum link_choice choice = LINK_ONLY_MULTI; choice <= LINK_ONLY_PERF; choice++) {
		struct kernel k = { 0 };
		struct tables t = { 0 };

		if (features_try_link(kinds[choice]))
			continue;
		assert_int_equal(choose_link(&k, &t, &small, choice), 0);
		assert_int_equal(k.kind, kinds[choice]);
		release(&k, &t);
	}
}

/* --- closing --------------------------------------------------------------------------------- */

static int threads_started, threads_joined, started_before_the_first_join;

int __real_pthread_create(
	pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *argument);
int __wrap_pthread_create(
	pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *argument);
int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result);

int __wrap_pthread_create(
	pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *argument)
{
	threads_started++;
	return __real_pthread_create(thread, attr, run, argument);
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
	if (!threads_joined++)
		started_before_the_first_join = threads_started;
	return __real_pthread_join(thread, result);
}

#define DESCRIPTORS 17

static void descriptors_are_closed_side_by_side(void **state)
{
	struct descriptors d = { 0 };
	int fds[DESCRIPTORS];

	(void)state;
	for (int i = 0; i < DESCRIPTORS; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_true(fds[i] >= 0);
		assert_int_equal(descriptors_add(&d, fds[i]), 0);
	}
	threads_started = threads_joined = 0;
	descriptors_close(&d);
	assert_int_equal(started_before_the_first_join, DESCRIPTORS);
	assert_int_equal(threads_joined, DESCRIPTORS);
	for (int i = 0; i < DESCRIPTORS; i++)
		assert_int_equal(fcntl(fds[i], F_GETFD), -1);
	assert_int_equal(d.count, 0);
}

/* --- keepers: what they keep is the writing end of a pipe ------------------------------------- */

static int keep_end(const void *pipe_ends, struct descriptors *made)
{
	const int *ends = pipe_ends;

	close(ends[0]);
	return descriptors_add(made, ends[1]);
}

static int fail_to_keep(const void *pipe_ends, struct descriptors *made)
{
	keep_end(pipe_ends, made);
	return -ENOANO;
}

/* The reading end: at its end once nobody keeps the other one. */
static int start_with_pipe(struct keeper *k, const struct keeper *others, uint32_t count)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(keeper_start(k, keep_end, ends, others, count), 0);
	close(ends[1]);
	return ends[0];
}

static void a_keeper_keeps_until_it_is_stopped(void **state)
{
	struct keeper k;
	char byte;
	int end = start_with_pipe(&k, NULL, 0);

	(void)state;
	assert_true(keeper_lives(&k));
	fcntl(end, F_SETFL, O_NONBLOCK);
	assert_int_equal(read(end, &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
	keeper_stop(&k);
	assert_int_equal(read(end, &byte, 1), 0);
	close(end);
}

static void a_keeper_that_cannot_make_it_says_why(void **state)
{
	struct keeper k;
	char byte;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(keeper_start(&k, fail_to_keep, ends, NULL, 0), -ENOANO);
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

static void a_killed_keeper_is_noticed(void **state)
{
	struct keeper k;
	char byte;
	int end = start_with_pipe(&k, NULL, 0);

	(void)state;
	kill(k.pid, SIGKILL);
	assert_int_equal(read(end, &byte, 1), 0);
	/* Its exit closes one descriptor after the other. */
	while (keeper_lives(&k))
		usleep(1000);
	keeper_stop(&k);
	close(end);
}

/* A later keeper must not keep an earlier one from noticing that heaptap is gone. */
static void keepers_end_with_their_channel_alone(void **state)
{
	struct keeper k[2];
	char byte;
	int first = start_with_pipe(&k[0], NULL, 0), second = start_with_pipe(&k[1], k, 1);

	(void)state;
	/* As if heaptap had been killed: no more than its own descriptors are closed. */
	close(k[0].channel);
	k[0].channel = -1;
	assert_int_equal(read(first, &byte, 1), 0);
	assert_true(keeper_lives(&k[1]));
	keeper_stop(&k[0]);
	keeper_stop(&k[1]);
	assert_int_equal(read(second, &byte, 1), 0);
	close(first);
	close(second);
}

static void a_channel_inherited_by_a_later_keeper_stops_all_the_same(void **state)
{
	struct keeper k[2];
	char byte;
	int first = start_with_pipe(&k[0], NULL, 0), second = start_with_pipe(&k[1], NULL, 0);

	(void)state;
	keeper_stop(&k[0]);
	assert_int_equal(read(first, &byte, 1), 0);
	keeper_stop(&k[1]);
	close(first);
	close(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features_have_a_remedy_or_are_there),
		cmocka_unit_test(objects_load_where_the_features_say_so),
		cmocka_unit_test(a_foreign_signature_is_refused_and_the_loader_goes_on),
		cmocka_unit_test(each_choice_is_kept_to),
		cmocka_unit_test(descriptors_are_closed_side_by_side),
		cmocka_unit_test(a_keeper_keeps_until_it_is_stopped),
		cmocka_unit_test(a_keeper_that_cannot_make_it_says_why),
		cmocka_unit_test(a_killed_keeper_is_noticed),
		cmocka_unit_test(keepers_end_with_their_channel_alone),
		cmocka_unit_test(a_channel_inherited_by_a_later_keeper_stops_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
