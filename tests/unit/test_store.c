// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Recordings: what was written is read back, figure by figure, through keyframes, thinning, failed writes and several
 * targets; and files that are none, damaged or meant to harm are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../user/base/buffer.h"
#include "../../user/base/clock.h"
#include "../../user/base/err.h"
#include "../../user/store/reader.h"
#include "../../user/store/schema.h"
#include "../../user/store/writer.h"

#define STACKS	  40
#define SNAPSHOTS 150 /* more than two keyframes */

static char directory[] = "/tmp/heaptap-store-XXXXXX";
static char path[96];

static const struct writer_options keep_all = { UINT64_MAX, WRITER_THIN_NS };

/* --- a program ----------------------------------------------------------------------------------- */

struct program {
	struct profile profile;
	struct site_figures sites[STACKS];
	bool sampled; /* which has no count of all events */
	struct site_estimates estimates[STACKS];
	struct totals totals;
	uint64_t random;
};

static uint64_t random_of(struct program *p, uint64_t below)
{
	p->random = p->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (p->random >> 33) % below;
}

static void make_program(struct program *p)
{
	*p = (struct program){ .random = 1 };
	assert_int_equal(profile_add_module(&p->profile, "/bin/program", "abcd", NULL), 0);
	assert_int_equal(profile_add_module(&p->profile, "/lib/libc.so", "ef01", "glibc"), 0);
	assert_int_equal(profile_add_stack(&p->profile, NULL, 0, 0), 0);
	for (uint64_t s = 1; s < STACKS; s++) {
		uint64_t frames[3] = { ht_frame_native(HT_FRAME_CALL, 1, 0x100 + s),
			ht_frame_native(HT_FRAME_CALL, 0, 0x2000 + s % 7),
			ht_frame_raw(3, 0x7f0000001000 + s % 3) };

		assert_int_equal(profile_add_stack(&p->profile, frames, s % 5 ? 3 : 2,
					 s % 4 ? 0 : HT_STACK_TRUNCATED),
			0);
	}
	p->sampled = true;
	for (uint32_t s = 0; s < STACKS; s++)
		p->sites[s] = (struct site_figures){ .stack = s, .thread = s % 2 ? 77 : 0 };
}

static void work(struct program *p, double now_s)
{
	for (uint32_t s = 0; s < STACKS; s++) {
		struct site_figures *f = &p->sites[s];
		uint64_t n = random_of(p, 3) ? 0 : random_of(p, 1000);
		uint64_t freed = random_of(p, f->live_count + n + 1);

		f->alloc_count += n;
		f->alloc_bytes += n * (s + 1);
		f->free_count += freed;
		f->free_bytes += freed * (s + 1);
		f->live_count += n - freed;
		f->live_bytes += (n - freed) * (s + 1);
		f->aged_count = f->live_count / 2;
		f->aged_bytes = f->live_bytes / 2;
		f->temporary_count += n / 4;
		f->temporary_bytes += n / 4 * (s + 1);
		f->failed_count += s == 3;
		f->oldest_s = f->live_count ? now_s / 2 : 0;
		/* Of one site a block is lost now and then. */
		if (s == 5 && f->live_count > 1) {
			f->live_count--;
			f->live_bytes -= s + 1;
		}
		p->estimates[s].variance.live_bytes =
			s == 7 && f->alloc_count ? (double)random_of(p, 1000) / 7 : 0;
		p->totals.live_bytes += (n - freed) * (s + 1);
	}
}

static void snapshot_of(struct program *p, uint32_t number, struct snapshot *s)
{
	*s = (struct snapshot){ .realtime_ns = 1000 * NS_PER_S + number * NS_PER_S,
		.min_age_s = 1.5,
		.rules.sample_bytes = 1,
		.totals = p->totals,
		.sampled = p->sampled,
		.sites = p->sites,
		.estimates = p->estimates,
		.site_count = STACKS };
	s->totals.peak_live_bytes = number;
	s->lost[0] = number;
	s->unwind[1] = 7;
	s->events = 5;
}

/* A session of its own: its number is the target's. */
static void add_target(struct writer *w, pid_t pid, uint32_t *target)
{
	uint32_t scope;

	struct process process = {
		.pid = pid, .comm = "program", .exe = "/bin/program", .cgroup = "/x"
	};
	struct target_facts facts = { 0, &process, 1000 * NS_PER_S, "exact", "asked for", "session",
		"a label" };

	assert_int_equal(writer_add_scope(w, &scope), 0);
	facts.scope = scope;
	assert_int_equal(writer_add_target(w, &facts, target), 0);
	assert_int_equal(scope, *target);
}

static struct writer *create(const struct writer_options *options)
{
	struct writer *w = NULL;

	unlink(path);
	assert_int_equal(writer_create(&w, path, options), 0);
	return w;
}

static int add(struct writer *w, uint32_t target, struct program *p, uint32_t number,
	enum snapshot_kind kind, const char *label)
{
	struct moment moment = { .kind = kind,
		.label = label,
		.elapsed_ns = number * NS_PER_S,
		.usage = { .rss = 4096 * (int64_t)number, .pss = -1, .host_cpu = 0.25 } };
	struct snapshot s;
	uint32_t id;

	snapshot_of(p, number, &s);
	return writer_add_snapshot(w, target, &s, &moment, &id);
}

/* --- comparing ----------------------------------------------------------------------------------- */

static const struct site_figures *find(
	const struct recording *r, const struct snapshot *s, uint64_t id, uint32_t thread)
{
	for (uint32_t i = 0; i < s->site_count; i++) {
		const struct site_figures *f = &s->sites[i];

		if (f->stack != CODE_NONE && f->thread == thread &&
			code_stack(recording_code(r), f->stack)->id == id)
			return f;
	}
	return NULL;
}

static void same_figures(const struct site_figures *a, const struct site_figures *b)
{
	assert_int_equal(a->alloc_count, b->alloc_count);
	assert_int_equal(a->alloc_bytes, b->alloc_bytes);
	assert_int_equal(a->free_count, b->free_count);
	assert_int_equal(a->free_bytes, b->free_bytes);
	assert_int_equal(a->live_count, b->live_count);
	assert_int_equal(a->live_bytes, b->live_bytes);
	assert_int_equal(a->aged_count, b->aged_count);
	assert_int_equal(a->aged_bytes, b->aged_bytes);
	assert_int_equal(a->temporary_count, b->temporary_count);
	assert_int_equal(a->temporary_bytes, b->temporary_bytes);
	assert_int_equal(a->failed_count, b->failed_count);
	assert_true(a->oldest_s - b->oldest_s < 0.25 && b->oldest_s - a->oldest_s < 0.25);
}

static void same_variance(double a, double b)
{
	assert_true(a - b < 1e-6 && b - a < 1e-6);
}

static void same_sites(struct recording *r, uint32_t index, struct program *p)
{
	struct snapshot s = { 0 };
	uint32_t used = 0;

	assert_int_equal(recording_read_sites(r, recording_snapshot(r, index), &s), 0);
	for (uint32_t i = 0; i < STACKS; i++) {
		const struct site_figures *f;

		if (!p->sites[i].alloc_count && !p->sites[i].failed_count)
			continue;
		used++;
		f = find(r, &s, p->profile.stacks[i].id, p->sites[i].thread);
		assert_non_null(f);
		same_figures(f, &p->sites[i]);
		same_variance(snapshot_estimates(&s, f)->variance.live_bytes,
			p->estimates[i].variance.live_bytes);
	}
	assert_int_equal(s.site_count, used);
	snapshot_release(&s);
}

/* --- round trips ---------------------------------------------------------------------------------- */

static void every_snapshot_is_read_back(void **state)
{
	struct writer *w = create(&keep_all);
	struct recording *r = NULL;
	struct program p, again;
	uint32_t target;

	(void)state;
	make_program(&p);
	add_target(w, 42, &target);
	assert_int_equal(writer_set_meta(w, "socket", "/run/x"), 0);
	assert_int_equal(writer_add_profile(w, target, &p.profile), 0);
	for (uint32_t i = 0; i < SNAPSHOTS; i++) {
		assert_int_equal(
			add(w, target, &p, i, i ? SNAPSHOT_INTERVAL : SNAPSHOT_START, NULL), 0);
		work(&p, i);
	}
	assert_int_equal(writer_end_target(w, target, "signal", 5), 0);
	assert_int_equal(writer_close(w), 0);

	assert_int_equal(recording_open(&r, path), 0);
	assert_int_equal(recording_snapshot_count(r), SNAPSHOTS);
	assert_string_equal(recording_meta(r, "socket"), "/run/x");
	assert_null(recording_meta(r, "nothing"));
	assert_int_equal(recording_target(r, 0)->process.pid, 42);
	assert_string_equal(recording_target(r, 0)->ended, "signal");
	assert_string_equal(recording_target(r, 0)->label, "a label");
	make_program(&again);
	for (uint32_t i = 0; i < SNAPSHOTS; i++) {
		const struct recorded_snapshot *s = recording_snapshot(r, i);

		same_sites(r, i, &again);
		assert_int_equal(s->figures.totals.live_bytes, again.totals.live_bytes);
		assert_int_equal(s->figures.totals.peak_live_bytes, i);
		assert_int_equal(s->moment.usage.rss, 4096 * i);
		assert_int_equal(s->moment.usage.pss, -1);
		assert_true(s->moment.usage.host_cpu > 0.24 && s->moment.usage.host_cpu < 0.26);
		work(&again, i);
	}
	recording_close(r);
	profile_release(&p.profile);
	profile_release(&again.profile);
}

static void losses_and_totals_stay_with_their_snapshot(void **state)
{
	struct writer *w = create(&keep_all);
	struct recording *r = NULL;
	struct snapshot s = { 0 };
	struct program p;
	uint32_t target;

	(void)state;
	make_program(&p);
	p.sampled = false;
	add_target(w, 42, &target);
	assert_int_equal(writer_add_profile(w, target, &p.profile), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(add(w, target, &p, i, SNAPSHOT_MARK, "a \"label\""), 0);
	assert_int_equal(writer_close(w), 0);
	assert_int_equal(recording_open(&r, path), 0);
	assert_int_equal(recording_read_sites(r, recording_snapshot(r, 2), &s), 0);
	assert_int_equal(s.lost[0], 2);
	assert_int_equal(s.unwind[1], 7);
	assert_int_equal(s.unwind[0], 0);
	assert_int_equal(s.events, 5);
	assert_string_equal(recording_snapshot(r, 2)->moment.label, "a \"label\"");
	assert_null(recording_target(r, 0)->ended);
	snapshot_release(&s);
	recording_close(r);
	profile_release(&p.profile);
}

/* Names come after the frames that they are of, in any transaction. */
static void names_reach_their_frames(void **state)
{
	struct named_level levels[2] = { { "inlined", "a.h", 3 }, { "outer", NULL, 0 } };
	struct named_frame frames[2];
	struct names names = { frames, 2, levels };
	struct writer *w = create(&keep_all);
	struct recording *r = NULL;
	struct snapshot s = { 0 };
	struct program p;
	uint32_t target;
	bool seen = false;

	(void)state;
	make_program(&p);
	work(&p, 1);
	add_target(w, 42, &target);
	assert_int_equal(writer_add_profile(w, target, &p.profile), 0);
	assert_int_equal(add(w, target, &p, 1, SNAPSHOT_INTERVAL, NULL), 0);
	frames[0] = (struct named_frame){ .frame = ht_frame_native(HT_FRAME_CALL, 1, 0x100 + 6),
		.instruction = 0x102,
		.function_offset = 2,
		.first_level = 0,
		.level_count = 2 };
	/* A name of the unknown is left out. */
	frames[1] = (struct named_frame){ .frame = ht_frame_native(HT_FRAME_CALL, 1, 0xdead),
		.first_level = 0,
		.level_count = 1 };
	assert_int_equal(writer_add_names(w, target, &names), 0);
	assert_int_equal(writer_flush(w), 0);
	assert_int_equal(writer_close(w), 0);
	assert_int_equal(recording_open(&r, path), 0);
	assert_int_equal(recording_read_sites(r, recording_snapshot(r, 0), &s), 0);
	assert_int_equal(recording_read_stacks(r, NULL, 0), 0);
	for (uint32_t i = 0; i < code_stack_count(recording_code(r)); i++) {
		const struct code *c = recording_code(r);
		const struct code_stack *stack = code_stack(c, i);
		const struct code_frame *f;

		if (!stack->frame_count)
			continue;
		f = code_stack_frame(c, stack, 0);
		assert_string_equal(code_module(c, f->module)->path, "/lib/libc.so");
		if (f->level_count == 1) {
			assert_null(code_level(c, f->first_level)->function);
			continue;
		}
		seen = true;
		assert_int_equal(f->address, 0x102);
		assert_int_equal(f->level_count, 2);
		assert_string_equal(code_level(c, f->first_level)->function, "inlined");
		assert_string_equal(code_level(c, f->first_level)->file, "a.h");
		assert_int_equal(code_level(c, f->first_level)->line, 3);
		assert_string_equal(code_level(c, f->first_level + 1)->function, "outer");
		assert_null(code_level(c, f->first_level + 1)->file);
	}
	assert_true(seen);
	snapshot_release(&s);
	recording_close(r);
	profile_release(&p.profile);
}

/* Of two processes of one program modules, frames and stacks are kept once, and figures apart. */
static void several_targets_share_their_code(void **state)
{
	struct writer *w = create(&keep_all);
	struct recording *r = NULL;
	struct program p, q;
	uint32_t first, second;

	(void)state;
	make_program(&p);
	make_program(&q);
	q.random = 99;
	add_target(w, 1, &first);
	add_target(w, 2, &second);
	assert_int_equal(writer_add_profile(w, first, &p.profile), 0);
	assert_int_equal(writer_add_profile(w, second, &q.profile), 0);
	for (uint32_t i = 0; i < SNAPSHOTS; i++) {
		work(&p, i);
		work(&q, i);
		assert_int_equal(add(w, first, &p, i, SNAPSHOT_INTERVAL, NULL), 0);
		assert_int_equal(add(w, second, &q, i, SNAPSHOT_INTERVAL, NULL), 0);
	}
	assert_int_equal(writer_close(w), 0);
	assert_int_equal(recording_open(&r, path), 0);
	assert_int_equal(recording_target_count(r), 2);
	same_sites(r, 2 * SNAPSHOTS - 2, &p);
	same_sites(r, 2 * SNAPSHOTS - 1, &q);
	assert_int_equal(recording_read_stacks(r, NULL, 0), 0);
	assert_int_equal(code_module_count(recording_code(r)), 2);
	/* Those with a frame of no file are told apart: the same address is another place. */
	assert_true(code_stack_count(recording_code(r)) < 2 * STACKS);
	recording_close(r);
	profile_release(&p.profile);
	profile_release(&q.profile);
}

static void a_stack_that_becomes_known_later_moves_its_site(void **state)
{
	struct writer *w = create(&keep_all);
	struct recording *r = NULL;
	struct snapshot s = { 0 };
	struct program p;
	uint32_t target;

	(void)state;
	make_program(&p);
	add_target(w, 42, &target);
	assert_int_equal(writer_add_profile(w, target, &p.profile), 0);
	p.sites[4].alloc_count = p.sites[4].live_count = 9;
	p.sites[4].stack = 0;
	assert_int_equal(add(w, target, &p, 0, SNAPSHOT_INTERVAL, NULL), 0);
	p.sites[4].stack = 4;
	p.sites[4].alloc_count = p.sites[4].live_count = 10;
	assert_int_equal(add(w, target, &p, 1, SNAPSHOT_INTERVAL, NULL), 0);
	assert_int_equal(writer_close(w), 0);
	assert_int_equal(recording_open(&r, path), 0);
	assert_int_equal(recording_read_sites(r, recording_snapshot(r, 1), &s), 0);
	assert_non_null(find(r, &s, p.profile.stacks[4].id, 0));
	snapshot_release(&s);
	recording_close(r);
	profile_release(&p.profile);
}

/* --- thinning ------------------------------------------------------------------------------------- */

static void thinning_keeps_sums_and_what_was_asked_for(void **state)
{
	const struct writer_options options = { 60 * NS_PER_S, 10 * NS_PER_S };
	struct writer *w = create(&options);
	struct recording *r = NULL;
	struct program p;
	struct program *at = calloc(400, sizeof(*at));
	uint32_t target, marks = 0, peaks = 0, old = 0;

	(void)state;
	assert_non_null(at);
	make_program(&p);
	add_target(w, 42, &target);
	assert_int_equal(writer_add_profile(w, target, &p.profile), 0);
	for (uint32_t i = 0; i < 400; i++) {
		enum snapshot_kind kind = i % 37 == 5	? SNAPSHOT_MARK
					  : i % 29 == 3 ? SNAPSHOT_PEAK
							: SNAPSHOT_INTERVAL;

		work(&p, i);
		at[i] = p;
		assert_int_equal(add(w, target, &p, i, kind, i % 37 == 5 ? "m" : NULL), 0);
	}
	assert_int_equal(writer_close(w), 0);
	assert_int_equal(recording_open(&r, path), 0);
	for (uint32_t i = 0; i < recording_snapshot_count(r); i++) {
		const struct recorded_snapshot *s = recording_snapshot(r, i);

		same_sites(r, i, &at[s->moment.elapsed_ns / NS_PER_S]);
		marks += s->moment.kind == SNAPSHOT_MARK;
		peaks += s->moment.kind == SNAPSHOT_PEAK && s->moment.elapsed_ns < 300 * NS_PER_S;
		old += s->moment.kind == SNAPSHOT_INTERVAL && s->keyframe != s->id &&
		       s->moment.elapsed_ns < 300 * NS_PER_S;
	}
	assert_int_equal(marks, 11);
	assert_true(peaks <= 2);
	assert_true(old <= 30);
	assert_int_equal(recording_snapshot(r, recording_snapshot_count(r) - 1)->id, 400);
	recording_close(r);
	free(at);
	profile_release(&p.profile);
}

/* --- writes that fail ------------------------------------------------------------------------------ */

static void set_file_limit(rlim_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* What could not be written comes with the next snapshot, and what was written stays. */
static void a_failed_write_costs_one_snapshot(void **state)
{
	struct writer *w = create(&keep_all);
	struct buffer messages CLEANUP_BUFFER = { 0 };
	struct recording *r = NULL;
	struct program p, second;
	uint32_t target, failures = 0;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	make_program(&p);
	add_target(w, 42, &target);
	assert_int_equal(writer_add_profile(w, target, &p.profile), 0);
	work(&p, 1);
	assert_int_equal(add(w, target, &p, 1, SNAPSHOT_INTERVAL, NULL), 0);
	work(&p, 2);
	second = p;
	assert_int_equal(add(w, target, &p, 2, SNAPSHOT_INTERVAL, NULL), 0);
	log_capture(&messages);
	set_file_limit(4096);
	for (uint32_t i = 3; i < 6; i++) {
		work(&p, i);
		failures += add(w, target, &p, i, SNAPSHOT_INTERVAL, NULL) != 0;
	}
	set_file_limit(RLIM_INFINITY);
	log_capture(NULL);
	assert_int_equal(failures, 3);
	assert_non_null(strstr(buffer_string(&messages), path));
	work(&p, 6);
	assert_int_equal(add(w, target, &p, 6, SNAPSHOT_INTERVAL, NULL), 0);
	assert_int_equal(writer_close(w), 0);
	assert_int_equal(recording_open(&r, path), 0);
	assert_int_equal(recording_snapshot_count(r), 3);
	same_sites(r, 1, &second);
	same_sites(r, 2, &p);
	recording_close(r);
	profile_release(&p.profile);
}

static void an_existing_file_is_not_touched(void **state)
{
	struct buffer messages CLEANUP_BUFFER = { 0 };
	struct writer *w = NULL;
	FILE *f = fopen(path, "w");
	char text[16] = "";

	(void)state;
	assert_non_null(f);
	fputs("mine", f);
	fclose(f);
	log_capture(&messages);
	assert_int_equal(writer_create(&w, path, &keep_all), -EEXIST);
	assert_int_equal(writer_create(&w, "/nowhere/at/all", &keep_all), -EIO);
	log_capture(NULL);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	assert_string_equal(text, "mine");
	fclose(f);
}

/* A reader beside the writer sees whole snapshots, and what comes. */
static void a_reader_follows_the_writer(void **state)
{
	struct writer *w = create(&keep_all);
	struct recording *r = NULL;
	struct program p;
	uint32_t target;

	(void)state;
	make_program(&p);
	add_target(w, 42, &target);
	assert_int_equal(writer_add_profile(w, target, &p.profile), 0);
	work(&p, 1);
	assert_int_equal(add(w, target, &p, 1, SNAPSHOT_INTERVAL, NULL), 0);
	assert_int_equal(recording_open(&r, path), 0);
	assert_int_equal(recording_snapshot_count(r), 1);
	assert_false(recording_has_grown(r));
	same_sites(r, 0, &p);
	for (uint32_t i = 2; i < 80; i++) {
		work(&p, i);
		assert_int_equal(add(w, target, &p, i, SNAPSHOT_INTERVAL, NULL), 0);
	}
	assert_true(recording_has_grown(r));
	assert_int_equal(recording_refresh(r), 0);
	assert_int_equal(recording_snapshot_count(r), 79);
	same_sites(r, 78, &p);
	assert_int_equal(writer_close(w), 0);
	recording_close(r);
	profile_release(&p.profile);
}

/* --- files that are none ---------------------------------------------------------------------------- */

static void small_recording(void)
{
	struct writer *w = create(&keep_all);
	struct program p;
	uint32_t target;

	make_program(&p);
	add_target(w, 42, &target);
	assert_int_equal(writer_add_profile(w, target, &p.profile), 0);
	for (uint32_t i = 0; i < 5; i++) {
		work(&p, i);
		assert_int_equal(add(w, target, &p, i, SNAPSHOT_INTERVAL, NULL), 0);
	}
	assert_int_equal(writer_close(w), 0);
	profile_release(&p.profile);
}

/* Everything that a report reads; whatever comes of it. */
static int read_all(void)
{
	struct buffer messages CLEANUP_BUFFER = { 0 };
	struct recording *r = NULL;
	int error, first;

	log_capture(&messages);
	first = recording_open(&r, path);
	for (uint32_t i = 0; !first && i < recording_snapshot_count(r); i++) {
		struct snapshot s = { 0 };

		error = recording_read_sites(r, recording_snapshot(r, i), &s);
		if (error && !first)
			first = error;
		snapshot_release(&s);
	}
	if (!first)
		first = recording_read_stacks(r, NULL, 0);
	recording_close(r);
	log_capture(NULL);
	/* An error is told, once. */
	assert_int_equal(first != 0, messages.length != 0);
	return first;
}

static void change(const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void what_is_no_recording_is_refused(void **state)
{
	FILE *f;

	(void)state;
	unlink(path);
	assert_int_not_equal(read_all(), 0);
	f = fopen(path, "w");
	fclose(f);
	assert_int_not_equal(read_all(), 0);
	f = fopen(path, "w");
	for (int i = 0; i < 5000; i++)
		fputs("this is no database ", f);
	fclose(f);
	assert_int_not_equal(read_all(), 0);
	unlink(path);
	change("CREATE TABLE x(y)");
	assert_int_not_equal(read_all(), 0);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_not_equal(read_all(), 0);
	rmdir(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_not_equal(read_all(), 0);
}

static void other_schemas_are_refused(void **state)
{
	static const char *const changes[] = {
		"PRAGMA user_version=99",
		"PRAGMA application_id=1",
		"DROP TABLE loss",
		"DROP TABLE site; CREATE VIEW site AS SELECT 1 AS id, 1 AS target, 1 AS stack, "
		"'heap' AS domain, 0 AS thread",
		"ALTER TABLE snapshot ADD COLUMN more AS (abs(id))",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		small_recording();
		assert_int_equal(read_all(), 0);
		change(changes[i]);
		assert_int_equal(read_all(), -EBADMSG);
	}
}

static void impossible_rows_are_refused(void **state)
{
	static const char *const changes[] = {
		"UPDATE snapshot SET live_bytes=-1",
		"UPDATE snapshot SET keyframe=id+1",
		"UPDATE snapshot SET target=7",
		"UPDATE snapshot SET kind='nonsense'",
		"UPDATE site SET stack=9999",
		"UPDATE site SET domain=x'00ff'",
		"UPDATE change SET alloc_bytes=9223372036854775807",
		"UPDATE change SET live_count=-9223372036854775807",
		"UPDATE change SET id=id+5000",
		"DELETE FROM site WHERE id=3",
		"UPDATE stack_frame SET frame=100000",
		"DELETE FROM stack_frame WHERE depth=0",
		"UPDATE frame SET module=55 WHERE module IS NOT NULL",
		"INSERT INTO name VALUES(100000,0,NULL,NULL,NULL)",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		small_recording();
		change(changes[i]);
		assert_int_equal(read_all(), -EBADMSG);
	}
}

/* Of any length, and with any byte changed: an answer or an error, and nothing else. */
static void damaged_files_do_no_harm(void **state)
{
	struct buffer whole CLEANUP_BUFFER = { 0 };
	uint64_t random = 7;
	uint32_t refused = 0;

	(void)state;
	small_recording();
	assert_int_equal(buffer_read_file(&whole, path, 1 << 24), 0);
	for (uint32_t i = 0; i < 400; i++) {
		size_t length = whole.length;
		FILE *f = fopen(path, "w");

		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		assert_non_null(f);
		if (i % 4 == 0)
			length = (random >> 33) % whole.length;
		fwrite(whole.data, 1, length, f);
		for (uint32_t n = 0; i % 4 && n < i % 50; n++) {
			random = random * 6364136223846793005ULL + 1442695040888963407ULL;
			fseek(f, (long)((random >> 33) % whole.length), SEEK_SET);
			fputc((int)(random >> 20 & 0xff), f);
		}
		fclose(f);
		refused += read_all() != 0;
	}
	assert_true(refused > 100);
}

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/recording", directory);
	return 0;
}

static int remove_file(void **state)
{
	char other[128];

	(void)state;
	unlink(path);
	snprintf(other, sizeof(other), "%s-wal", path);
	unlink(other);
	snprintf(other, sizeof(other), "%s-shm", path);
	unlink(other);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(every_snapshot_is_read_back, remove_file),
		cmocka_unit_test_teardown(losses_and_totals_stay_with_their_snapshot, remove_file),
		cmocka_unit_test_teardown(names_reach_their_frames, remove_file),
		cmocka_unit_test_teardown(several_targets_share_their_code, remove_file),
		cmocka_unit_test_teardown(
			a_stack_that_becomes_known_later_moves_its_site, remove_file),
		cmocka_unit_test_teardown(thinning_keeps_sums_and_what_was_asked_for, remove_file),
		cmocka_unit_test_teardown(a_failed_write_costs_one_snapshot, remove_file),
		cmocka_unit_test_teardown(an_existing_file_is_not_touched, remove_file),
		cmocka_unit_test_teardown(a_reader_follows_the_writer, remove_file),
		cmocka_unit_test_teardown(what_is_no_recording_is_refused, remove_file),
		cmocka_unit_test_teardown(other_schemas_are_refused, remove_file),
		cmocka_unit_test_teardown(impossible_rows_are_refused, remove_file),
		cmocka_unit_test_teardown(damaged_files_do_no_harm, remove_file),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
