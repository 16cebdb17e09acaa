// SPDX-License-Identifier: GPL-2.0-or-later
#include "growth_json.h"

#include "../base/clock.h"

static void target(struct json *j, const struct leaks_report *r)
{
	const struct process *p = r->process;
	char time[CLOCK_TEXT];

	json_open(j, "target", '{');
	json_uint(j, "pid", (uint64_t)p->pid);
	json_string(j, "comm", p->comm);
	json_string(j, "exe", p->exe);
	json_string(j, "cgroup", p->cgroup);
	json_string(j, "start_time", clock_format(time, p->start_realtime_ns));
	json_open(j, "allocators", '[');
	for (uint32_t i = 0; i < r->profile->module_count; i++) {
		const struct profile_module *m = &r->profile->modules[i];

		if (!m->allocator)
			continue;
		json_open(j, NULL, '{');
		json_string(j, "name", m->allocator);
		json_string(j, "module", m->path);
		json_string(j, "build_id", m->build_id);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

/* Of blocks growth mode knows nothing: null, never 0. */
static void unknown(struct json *j, const char *const *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_null(j, keys[i]);
}

static void totals(struct json *j, const struct snapshot *s)
{
	static const char *const blocks[] = { "alloc_count", "alloc_bytes", "free_count",
		"free_bytes", "live_count", "live_bytes", "aged_count", "aged_bytes", "lost_count",
		"lost_bytes", "peak_live_bytes", "failed_count", "untracked_frees", "in_flight" };
	const struct totals *t = &s->totals;

	if (s->growth.counted) {
		json_open(j, "totals", '{');
		unknown(j, blocks, ARRAY_SIZE(blocks));
		json_close(j, '}');
		return;
	}
	json_open(j, "totals", '{');
	json_uint(j, "alloc_count", t->alloc_count);
	json_uint(j, "alloc_bytes", t->alloc_bytes);
	json_uint(j, "free_count", t->free_count);
	json_uint(j, "free_bytes", t->free_bytes);
	json_uint(j, "live_count", t->live_count);
	json_uint(j, "live_bytes", t->live_bytes);
	json_uint(j, "aged_count", t->aged_count);
	json_uint(j, "aged_bytes", t->aged_bytes);
	json_uint(j, "lost_count", t->lost_count);
	json_uint(j, "lost_bytes", t->lost_bytes);
	json_uint(j, "peak_live_bytes", t->peak_live_bytes);
	json_uint(j, "failed_count", t->failed_count);
	json_uint(j, "untracked_frees", t->untracked_frees);
	json_uint(j, "in_flight", t->in_flight);
	json_close(j, '}');
}

static void health(struct json *j, const struct snapshot *s)
{
#define KEY(name, key, what, remedy) key,
	static const char *const lost[] = { HT_LOST(KEY) };
	static const char *const unattributed[] = { HT_UNATTRIBUTED(KEY) };
	static const char *const ends[] = { HT_UNWIND(KEY) };
#undef KEY

	json_open(j, "health", '{');
	json_uint(j, "events", s->events);
	json_double(j, "coverage", 1, 1);
	json_uint(j, "skew", s->skew);
	json_null(j, "overhead_ns"); /* not measured in this mode yet: null, never 0 */
	json_null(j, "overhead_cpu");
	json_double(j, "truncated_share",
		s->totals.alloc_count
			? (double)s->totals.truncated_count / (double)s->totals.alloc_count
			: 0,
		4);
	json_uint(j, "missed_events", s->missed_events);
	json_uint(j, "abandoned_calls", s->abandoned_calls);
	json_open(j, "lost", '{');
	for (int i = 0; i < HT_LOST_REASONS; i++)
		json_uint(j, lost[i], s->lost[i]);
	json_close(j, '}');
	json_open(j, "unattributed", '{');
	for (int i = 0; i < HT_UNATTRIBUTED_REASONS; i++)
		json_uint(j, unattributed[i], s->unattributed[i]);
	json_close(j, '}');
	json_open(j, "unwind", '{');
	for (int i = 0; i < HT_UNWIND_REASONS; i++)
		json_uint(j, ends[i], s->unwind[i]);
	json_close(j, '}');
	json_open(j, "unwind_tables", '{');
	json_uint(j, "modules", s->unwinder.tables);
	json_uint(j, "cached", s->unwinder.cached);
	json_uint(j, "rows", s->unwinder.rows);
	json_uint(j, "bytes", s->unwinder.bytes);
	json_double(j, "spent_s", s->unwinder.spent_s, 6);
	if (s->unwinder.newest_s < 0)
		json_null(j, "mapping_to_rows_s");
	else
		json_double(j, "mapping_to_rows_s", s->unwinder.newest_s, 6);
	json_close(j, '}');
	json_close(j, '}');
}

static void surroundings(struct json *j, const struct leaks_report *r)
{
	json_open(j, "process", '{');
	json_bytes(j, "rss_bytes", r->figures->memory.rss);
	json_bytes(j, "pss_bytes", r->figures->memory.pss);
	json_bytes(j, "swap_bytes", r->figures->memory.swap);
	json_bytes(j, "limit_bytes", r->figures->memory.limit);
	json_close(j, '}');
	json_open(j, "host", '{');
	json_uint(j, "mem_total", r->figures->host.mem_total);
	json_uint(j, "mem_available", r->figures->host.mem_available);
	if (r->figures->host.cpu < 0)
		json_null(j, "cpu");
	else
		json_double(j, "cpu", r->figures->host.cpu, 4);
	json_close(j, '}');
}

static const char *frame_kind(uint64_t frame, bool jit)
{
	switch (ht_frame_tag(frame)) {
	case HT_FRAME_CALL:
	case HT_FRAME_PC:
		return "native";
	case HT_FRAME_PYTHON:
		return "python";
	case HT_FRAME_KERNEL:
		return "kernel";
	default:
		return jit ? "jit" : "unknown";
	}
}

/* A frame a level: consumers of lists of functions need not know of inlining. */
static void frame(struct json *j, const struct leaks_report *r, uint64_t word)
{
	struct symbol symbol = symbolizer_find(r->symbols, word);
	const struct profile_module *m = NULL;

	if (ht_frame_tag(word) == HT_FRAME_CALL || ht_frame_tag(word) == HT_FRAME_PC)
		m = &r->profile->modules[ht_frame_module(word)];
	for (uint32_t i = 0; i < symbol.level_count; i++) {
		const struct symbol_level *level = &symbol.levels[i];

		json_open(j, NULL, '{');
		json_string(j, "function", level->function);
		json_string(j, "file", level->file);
		if (level->line)
			json_uint(j, "line", level->line);
		else
			json_null(j, "line");
		json_string(j, "module", m ? m->path : NULL);
		json_string(j, "build_id", m ? m->build_id : NULL);
		json_uint(j, "offset", symbol.address);
		json_bool(j, "inlined", level->inlined);
		json_string(j, "kind", frame_kind(word, symbol.jit));
		json_close(j, '}');
	}
}

static void figures(struct json *j, const struct site_figures *f)
{
	json_uint(j, "alloc_count", f->alloc_count);
	json_uint(j, "alloc_bytes", f->alloc_bytes);
	json_uint(j, "free_count", f->free_count);
	json_uint(j, "free_bytes", f->free_bytes);
	json_uint(j, "live_count", f->live_count);
	json_uint(j, "live_bytes", f->live_bytes);
	json_uint(j, "aged_count", f->aged_count);
	json_uint(j, "aged_bytes", f->aged_bytes);
	json_uint(j, "temporary_count", f->temporary_count);
	json_uint(j, "failed_count", f->failed_count);
	json_double(j, "oldest_s", f->oldest_s, 2);
}

static void stack(struct json *j, const struct leaks_report *r, const struct site_figures *f)
{
	static const char *const domains[] = { "heap", "mmap", "python", "rss" };
	static const char *const blocks[] = { "alloc_count", "alloc_bytes", "free_count",
		"free_bytes", "live_count", "live_bytes", "aged_count", "aged_bytes",
		"temporary_count", "failed_count", "oldest_s" };
	const struct profile_stack *s = &r->profile->stacks[f->stack];

	json_open(j, NULL, '{');
	json_hex(j, "id", s->id);
	json_string(j, "domain", f->domain < ARRAY_SIZE(domains) ? domains[f->domain] : NULL);
	if (r->snapshot->growth.counted) {
		unknown(j, blocks, ARRAY_SIZE(blocks));
		growth_render_site(j, f);
	} else {
		figures(j, f);
	}
	json_null(j, "verdict"); /* no verdict is given yet */
	json_null(j, "score");
	json_null(j, "growth_bytes_per_s");
	json_bool(j, "truncated", (s->flags & HT_STACK_TRUNCATED) != 0);
	json_open(j, "frames", '[');
	for (uint16_t i = 0; i < s->frame_count; i++)
		frame(j, r, r->profile->frames[s->first_frame + i]);
	json_close(j, ']');
	json_close(j, '}');
}

void leaks_render_json(const struct leaks_report *r, struct buffer *out)
{
	struct json writer = { .out = out }, *j = &writer;
	char time[CLOCK_TEXT];

	json_open(j, NULL, '{');
	json_string(j, "schema", "heaptap/1");
	json_string(j, "kind", "leaks");
	json_string(j, "scope", "process");
	json_string(j, "time", clock_format(time, r->snapshot->realtime_ns));
	json_double(j, "elapsed_s", r->figures->elapsed_s, 3);
	json_double(j, "interval_s", r->figures->interval_s, 3);
	json_double(j, "min_age_s", r->snapshot->min_age_s, 3);
	json_string(j, "ended", r->figures->ended);
	target(j, r);
	json_open(j, "mode", '{');
	json_string(j, "name", r->figures->mode);
	if (r->snapshot->growth.counted)
		json_null(j, "sample_bytes");
	else
		json_uint(j, "sample_bytes", 1);
	json_string(j, "why", r->figures->mode_why);
	if (r->snapshot->growth.counted)
		json_string(j, "null_because", "growth mode counts pages, not blocks");
	json_close(j, '}');
	totals(j, r->snapshot);
	if (r->snapshot->growth.counted)
		growth_render_json(j, r);
	health(j, r->snapshot);
	surroundings(j, r);
	json_open(j, "stacks", '[');
	for (uint32_t i = 0; i < r->selection->count; i++)
		stack(j, r, &r->snapshot->sites[r->selection->sites[i]]);
	json_close(j, ']');
	json_close(j, '}');
	buffer_text(out, "\n");
}
