// SPDX-License-Identifier: GPL-2.0-or-later
/* Groups, differences, filters and trees, over stacks made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../user/base/err.h"
#include "../../user/model/account.h"
#include "../../user/model/compare.h"
#include "../../user/model/tree.h"

#define SITES 64

struct world {
	struct code code;
	struct places places;
	struct site_figures sites[SITES];
	struct snapshot snapshot;
};

static const struct filter everything = { .max_bytes = UINT64_MAX };

static const char *intern(struct world *w, const char *text)
{
	return text ? strings_intern(&w->code.texts, text, strlen(text)) : NULL;
}

static void add_module(struct world *w, const char *path)
{
	struct code_module m = { intern(w, path), intern(w, ""), NULL };

	buffer_append(&w->code.modules, &m, sizeof(m));
}

/* A frame whose functions are given innermost first, up to a NULL. */
static uint32_t add_frame(
	struct world *w, uint32_t module, const char *file, const char *const *names)
{
	struct code_frame f = { .module = module,
		.kind = "native",
		.address = code_frame_count(&w->code) * 16,
		.first_level = (uint32_t)(w->code.levels.length / sizeof(struct code_level)) };

	for (; *names; names++, f.level_count++) {
		struct code_level l = { **names ? intern(w, *names) : NULL, intern(w, file), 7 };

		buffer_append(&w->code.levels, &l, sizeof(l));
	}
	buffer_append(&w->code.frames, &f, sizeof(f));
	return code_frame_count(&w->code) - 1;
}

static uint32_t one(struct world *w, uint32_t module, const char *file, const char *name)
{
	const char *names[] = { name, NULL };

	return add_frame(w, module, file, names);
}

/* A stack of frames, the leaf first, that holds blocks. */
static void add_site(
	struct world *w, const uint32_t *frames, uint32_t n, uint64_t count, uint64_t size)
{
	struct code_stack s = { .id = code_stack_count(&w->code) + 100,
		.key = code_stack_count(&w->code) + 100,
		.first_frame = (uint32_t)(w->code.stack_frames.length / sizeof(*frames)),
		.frame_count = n };

	buffer_append(&w->code.stack_frames, frames, n * sizeof(*frames));
	buffer_append(&w->code.stacks, &s, sizeof(s));
	w->sites[w->snapshot.site_count++] =
		(struct site_figures){ .stack = code_stack_count(&w->code) - 1,
			.alloc_count = 2 * count,
			.alloc_bytes = 2 * count * size,
			.live_count = count,
			.live_bytes = count * size };
}

static void finish(struct world *w)
{
	w->snapshot.sites = w->sites;
	assert_int_equal(places_make(&w->places, &w->code), 0);
}

static void world_release(struct world *w)
{
	places_release(&w->places);
	code_release(&w->code);
}

/*
 * main -> work -> work -> leaf      10 blocks of 100
 * main -> work -> [inlined] leaf     5 blocks of 10
 * main -> leaf                       1 block of 7
 */
static void make_world(struct world *w)
{
	const char *inlined[] = { "leaf", "middle", NULL };
	uint32_t main_, work, leaf, both;

	*w = (struct world){ 0 };
	add_module(w, "/bin/program");
	add_module(w, "/lib/x/library.so");
	main_ = one(w, 0, "/src/main.c", "main");
	work = one(w, 0, "/src/work.c", "work");
	leaf = one(w, 1, "/lib/src/leaf.c", "leaf");
	both = add_frame(w, 1, "/lib/src/leaf.c", inlined);
	add_site(w, (uint32_t[]){ leaf, work, work, main_ }, 4, 10, 100);
	add_site(w, (uint32_t[]){ both, work, main_ }, 3, 5, 10);
	add_site(w, (uint32_t[]){ leaf, main_ }, 2, 1, 7);
	finish(w);
}

static const struct group *find(const struct grouping *g, const char *function)
{
	for (uint32_t i = 0; i < g->count; i++)
		if (g->groups[i].place && g->groups[i].place->function &&
			!strcmp(g->groups[i].place->function, function))
			return &g->groups[i];
	return NULL;
}

static void a_function_counts_once_in_a_stack(void **state)
{
	struct grouping g = { 0 };
	struct world w;

	(void)state;
	make_world(&w);
	assert_int_equal(
		group_sites(&g, &w.snapshot, &w.places, BY_FUNCTION, &everything, METRIC_LIVE), 0);
	group_sort(&g, METRIC_LIVE);
	assert_int_equal(g.count, 4);
	assert_int_equal(g.sum.live_bytes, 1057);
	assert_int_equal(find(&g, "leaf")->self.live_bytes, 1057);
	assert_int_equal(find(&g, "leaf")->total_bytes, 1057);
	assert_int_equal(find(&g, "work")->self.live_bytes, 0);
	assert_int_equal(find(&g, "work")->total_bytes, 1050);
	assert_int_equal(find(&g, "work")->total_count, 15);
	assert_int_equal(find(&g, "middle")->total_bytes, 50);
	assert_int_equal(find(&g, "main")->total_bytes, 1057);
	assert_ptr_equal(find(&g, "leaf"), &g.groups[0]);
	group_release(&g);
	world_release(&w);
}

static void every_grouping_adds_up_to_the_same(void **state)
{
	struct world w;

	(void)state;
	make_world(&w);
	w.sites[3] = (struct site_figures){ .stack = CODE_NONE, .live_count = 1, .live_bytes = 3 };
	w.snapshot.site_count = 4;
	for (int by = BY_STACK; by <= BY_THREAD; by++) {
		struct grouping g = { 0 };
		uint64_t sum = 0;

		assert_int_equal(group_sites(&g, &w.snapshot, &w.places, (enum group_by)by,
					 &everything, METRIC_LIVE),
			0);
		for (uint32_t i = 0; i < g.count; i++)
			sum += g.groups[i].self.live_bytes;
		assert_int_equal(sum, 1060);
		assert_int_equal(g.sum.live_bytes, 1060);
		group_release(&g);
	}
	world_release(&w);
}

static uint64_t shown(struct world *w, const char *text)
{
	struct filter f = { 0 };
	struct grouping g = { 0 };
	uint64_t bytes;

	assert_int_equal(filter_parse(&f, text), 0);
	assert_int_equal(group_sites(&g, &w->snapshot, &w->places, BY_STACK, &f, METRIC_LIVE), 0);
	bytes = g.sum.live_bytes;
	group_release(&g);
	filter_release(&f);
	return bytes;
}

static void filters_include_and_exclude(void **state)
{
	struct world w;

	(void)state;
	make_world(&w);
	assert_int_equal(shown(&w, NULL), 1057);
	assert_int_equal(shown(&w, "function=work"), 1050);
	assert_int_equal(shown(&w, "!function=work"), 7);
	assert_int_equal(shown(&w, "function=m[ai]*"), 1057);
	assert_int_equal(shown(&w, "function=middle,function=nothing"), 50);
	assert_int_equal(shown(&w, "function=work,!function=middle"), 1000);
	assert_int_equal(shown(&w, "direct.function=work"), 0);
	assert_int_equal(shown(&w, "direct.function=leaf"), 1057);
	/* The innermost is the inlined one. */
	assert_int_equal(shown(&w, "direct.function=middle"), 0);
	assert_int_equal(shown(&w, "module=library.so"), 1057);
	assert_int_equal(shown(&w, "module=/lib/*"), 1057);
	assert_int_equal(shown(&w, "!module=program"), 0);
	assert_int_equal(shown(&w, "file=work.c,size>=51"), 1000);
	assert_int_equal(shown(&w, "size<=50"), 57);
	assert_int_equal(shown(&w, "size<=50,size>=50"), 50);
	world_release(&w);
}

static void what_is_no_filter_is_refused(void **state)
{
	static const char *const bad[] = { "x", "function", "function=", "=x", "!", "direct.",
		"!size>=1", "size>=", "size>=x", "size<1", "size>=2,size<=1", "functions=x" };
	struct buffer many CLEANUP_BUFFER = { 0 }, messages CLEANUP_BUFFER = { 0 };
	struct filter f;

	(void)state;
	log_capture(&messages);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		buffer_clear(&messages);
		assert_int_equal(filter_parse(&f, bad[i]), -EINVAL);
		assert_non_null(strstr(buffer_string(&messages), "--filter: "));
	}
	for (int i = 0; i <= FILTER_MAX_TERMS; i++)
		buffer_text(&many, "file=x,");
	assert_int_equal(filter_parse(&f, buffer_string(&many)), -EINVAL);
	log_capture(NULL);
}

/* As tracemalloc.StatisticDiff: the greatest absolute difference first, then size, then counts. */
static void differences_are_sorted_as_compare_to_sorts(void **state)
{
	static const uint64_t figures[][4] = {
		/* old: count, size; new: count, size */
		{ 10, 100, 10, 100 },
		{ 10, 100, 0, 0 },
		{ 0, 0, 5, 100 },
		{ 10, 10, 20, 10 },
		{ 20, 10, 10, 10 },
		{ 1, 500, 1, 1000 },
		{ 0, 7, 3, 0 },
	};
	enum { N = ARRAY_SIZE(figures) };
	static const enum change_kind kinds[] = { CHANGE_GONE, CHANGE_GROWN, CHANGE_NEW,
		CHANGE_GROWN, CHANGE_SHRUNK, CHANGE_SAME, CHANGE_NEW };
	static const int64_t bytes[] = { -1000, 500, 500, 100, -100, 0, 0 };
	struct grouping old = { 0 }, new = { 0 };
	struct comparison c = { 0 };
	struct world w = { 0 };
	uint32_t frame;

	(void)state;
	add_module(&w, "/bin/program");
	frame = one(&w, 0, "/src/main.c", "main");
	for (int i = 0; i < N; i++)
		add_site(&w, &frame, 1, figures[i][0], figures[i][1]);
	finish(&w);
	assert_int_equal(
		group_sites(&old, &w.snapshot, &w.places, BY_STACK, &everything, METRIC_LIVE), 0);
	for (int i = 0; i < N; i++) {
		w.sites[i].live_count = figures[i][2];
		w.sites[i].live_bytes = figures[i][2] * figures[i][3];
	}
	assert_int_equal(
		group_sites(&new, &w.snapshot, &w.places, BY_STACK, &everything, METRIC_LIVE), 0);
	assert_int_equal(compare_groupings(&c, &old, &new, METRIC_LIVE), 0);
	assert_int_equal(c.count, N);
	for (int i = 0; i < N; i++) {
		assert_int_equal(c.all[i].bytes, bytes[i]);
		assert_int_equal(c.all[i].kind, kinds[i]);
	}
	/* The same difference: what is larger now comes first. */
	assert_int_equal(c.all[1].new->self.live_bytes, 1000);
	compare_release(&c);
	/* Of nothing to something, and back. */
	group_release(&old);
	assert_int_equal(compare_groupings(&c, &old, &new, METRIC_LIVE), 0);
	assert_int_equal(c.count, N);
	assert_null(c.all[0].old);
	compare_release(&c);
	assert_int_equal(compare_groupings(&c, &new, &old, METRIC_LIVE), 0);
	assert_int_equal(c.all[0].bytes, -1000);
	assert_null(c.all[0].new);
	compare_release(&c);
	group_release(&new);
	world_release(&w);
}

static uint64_t sum_of_self(const struct tree *t)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < t->count; i++)
		sum += t->nodes[i].self_bytes;
	return sum;
}

static void trees_hold_all_either_way(void **state)
{
	struct tree t = { 0 };
	struct world w;
	const struct tree_node *n;

	(void)state;
	make_world(&w);
	assert_int_equal(tree_make(&t, &w.snapshot, &w.places, false, &everything, METRIC_LIVE), 0);
	assert_int_equal(t.nodes[0].total_bytes, 1057);
	assert_int_equal(sum_of_self(&t), 1057);
	n = &t.nodes[t.nodes[0].first_child];
	assert_string_equal(n->place->function, "main");
	assert_int_equal(n->total_bytes, 1057);
	assert_int_equal(n->next, 0);
	n = &t.nodes[n->first_child]; /* the largest first */
	assert_string_equal(n->place->function, "work");
	assert_int_equal(n->total_bytes, 1050);
	assert_string_equal(t.nodes[n->next].place->function, "leaf");
	tree_release(&t);
	assert_int_equal(tree_make(&t, &w.snapshot, &w.places, true, &everything, METRIC_LIVE), 0);
	assert_int_equal(sum_of_self(&t), 1057);
	n = &t.nodes[t.nodes[0].first_child];
	assert_string_equal(n->place->function, "leaf");
	assert_int_equal(n->total_count, 16);
	tree_release(&t);
	world_release(&w);
}

static void a_tree_has_a_greatest_depth(void **state)
{
	enum { DEEP = 3 * TREE_MAX_DEPTH };
	static uint32_t frames[DEEP];
	struct tree t = { 0 };
	struct world w = { 0 };
	char name[16];

	(void)state;
	add_module(&w, "/bin/program");
	for (uint32_t i = 0; i < DEEP; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		frames[i] = one(&w, 0, NULL, name);
	}
	add_site(&w, frames, DEEP, 3, 5);
	finish(&w);
	assert_int_equal(tree_make(&t, &w.snapshot, &w.places, false, &everything, METRIC_LIVE), 0);
	assert_int_equal(t.count, TREE_MAX_DEPTH + 1);
	assert_int_equal(sum_of_self(&t), 15);
	tree_release(&t);
	world_release(&w);
}

static void the_account_adds_up_or_says_that_it_does_not_know(void **state)
{
	struct usage now = { .rss = 100, .rss_file = 30, .rss_shmem = 10, .rss_anon = 60 },
		     start = { .rss_anon = 20 };
	struct account a;

	(void)state;
	account_make(&a, &now, &start, 25);
	assert_true(a.complete);
	assert_int_equal(a.before + a.live + a.rest, a.anon);
	assert_int_equal(a.rest, 15);
	account_make(&a, &now, &start, 55);
	assert_int_equal(a.rest, -15);
	account_make(&a, &now, NULL, 25);
	assert_false(a.complete);
	start.rss_anon = -1;
	account_make(&a, &now, &start, 25);
	assert_false(a.complete);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_counts_once_in_a_stack),
		cmocka_unit_test(every_grouping_adds_up_to_the_same),
		cmocka_unit_test(filters_include_and_exclude),
		cmocka_unit_test(what_is_no_filter_is_refused),
		cmocka_unit_test(differences_are_sorted_as_compare_to_sorts),
		cmocka_unit_test(trees_hold_all_either_way),
		cmocka_unit_test(a_tree_has_a_greatest_depth),
		cmocka_unit_test(the_account_adds_up_or_says_that_it_does_not_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
