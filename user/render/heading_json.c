// SPDX-License-Identifier: GPL-2.0-or-later
/* The same as heading.c, as members of JSON objects. */
#include <math.h>
#include <stdio.h>

#include "../base/clock.h"
#include "../model/account.h"
#include "report.h"

static void target_json(const struct heap *h, struct json *j)
{
	const struct code *c = recording_code(h->recording);
	const struct process *p = &h->target->process;
	char time[CLOCK_TEXT];

	json_open(j, "target", '{');
	json_uint(j, "pid", (uint64_t)p->pid);
	json_string(j, "comm", p->comm);
	json_string(j, "exe", p->exe);
	json_string(j, "cgroup", p->cgroup);
	json_string(j, "start_time", clock_format(time, p->start_realtime_ns));
	json_string(j, "label", h->target->label);
	json_open(j, "allocators", '[');
	for (uint32_t i = 0; i < code_module_count(c); i++) {
		const struct code_module *m = code_module(c, i);

		if (!m->allocator || !recording_maps(h->recording, h->at->target, i))
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

static void uint_if(struct json *j, bool known, const char *key, uint64_t value)
{
	if (known)
		json_uint(j, key, value);
	else
		json_null(j, key);
}

static void estimate(struct json *j, bool sampled, const char *key, uint64_t value, double variance)
{
	char name[64];

	json_uint(j, key, value);
	if (!sampled)
		return;
	snprintf(name, sizeof(name), "%s_stderr", key);
	json_double(j, name, sqrt(variance), 2);
}

static void totals_json(const struct snapshot *s, struct json *j)
{
	const struct totals *t = &s->totals;
	const struct variances v = snapshot_variances(s);

	json_open(j, "totals", '{');
	estimate(j, s->sampled, "alloc_count", t->alloc_count, v.alloc_count);
	estimate(j, s->sampled, "alloc_bytes", t->alloc_bytes, v.alloc_bytes);
	estimate(j, s->sampled, "free_count", t->free_count, v.free_count);
	estimate(j, s->sampled, "free_bytes", t->free_bytes, v.free_bytes);
	estimate(j, s->sampled, "live_count", t->live_count, v.live_count);
	estimate(j, s->sampled, "live_bytes", t->live_bytes, v.live_bytes);
	estimate(j, s->sampled, "aged_count", t->aged_count, v.aged_count);
	estimate(j, s->sampled, "aged_bytes", t->aged_bytes, v.aged_bytes);
	json_uint(j, "lost_count", t->lost_count);
	json_uint(j, "lost_bytes", t->lost_bytes);
	json_uint(j, "peak_live_bytes", t->peak_live_bytes);
	uint_if(j, !s->sampled, "failed_count", t->failed_count);
	uint_if(j, !s->sampled && !s->filtered, "untracked_frees", t->untracked_frees);
	json_uint(j, "in_flight", t->in_flight);
	json_close(j, '}');
}

static void reasons_json(
	struct json *j, const char *key, const char *const *names, const uint64_t *counts, int n)
{
	json_open(j, key, '{');
	for (int i = 0; i < n; i++)
		json_uint(j, names[i], counts[i]);
	json_close(j, '}');
}

static void health_json(const struct snapshot *s, struct json *j)
{
#define KEY(name, key, what, remedy) key,
	static const char *const lost[] = { HT_LOST(KEY) };
	static const char *const unattributed[] = { HT_UNATTRIBUTED(KEY) };
	static const char *const unwind[] = { HT_UNWIND(KEY) };
#undef KEY
	const struct totals *t = &s->totals;

	json_open(j, "health", '{');
	uint_if(j, !s->sampled && !s->filtered, "events", s->events);
	json_uint(j, "skew", s->skew);
	json_double(j, "truncated_share",
		t->alloc_count ? (double)t->truncated_count / (double)t->alloc_count : 0, 4);
	json_uint(j, "missed_events", s->missed_events);
	json_uint(j, "removed_probes", s->removed_probes);
	json_uint(j, "abandoned_calls", s->abandoned_calls);
	reasons_json(j, "lost", lost, s->lost, HT_LOST_REASONS);
	reasons_json(j, "unattributed", unattributed, s->unattributed, HT_UNATTRIBUTED_REASONS);
	reasons_json(j, "unwind", unwind, s->unwind, HT_UNWIND_REASONS);
	json_close(j, '}');
}

static void surroundings_json(const struct heap *h, struct json *j)
{
	const struct usage *u = &h->at->moment.usage;
	struct account a;

	account_make(
		&a, u, h->start ? &h->start->moment.usage : NULL, h->at->figures.totals.live_bytes);
	json_open(j, "process", '{');
	json_bytes(j, "rss_bytes", u->rss);
	json_bytes(j, "rss_anon_bytes", u->rss_anon);
	json_bytes(j, "rss_file_bytes", u->rss_file);
	json_bytes(j, "rss_shmem_bytes", u->rss_shmem);
	json_bytes(j, "pss_bytes", u->pss);
	json_bytes(j, "swap_bytes", u->swap);
	json_bytes(j, "limit_bytes", u->cgroup_limit);
	json_bytes(j, "cgroup_bytes", u->cgroup_usage);
	json_bytes(j, "minor_faults", u->minor_faults);
	json_bytes(j, "major_faults", u->major_faults);
	json_bytes(j, "cpu_ms", u->cpu_ms);
	json_bytes(j, "threads", u->threads);
	json_bytes(j, "before_attach_bytes", a.before);
	if (a.complete)
		json_int(j, "overhead_bytes", a.rest);
	else
		json_null(j, "overhead_bytes");
	json_close(j, '}');
	json_open(j, "host", '{');
	json_bytes(j, "mem_total", u->mem_total);
	json_bytes(j, "mem_available", u->mem_available);
	if (u->host_cpu < 0)
		json_null(j, "cpu");
	else
		json_double(j, "cpu", u->host_cpu, 4);
	json_close(j, '}');
}

static void peak_json(const struct heap *h, struct json *j)
{
	char time[CLOCK_TEXT];

	if (!h->peak) {
		json_null(j, "peak");
		return;
	}
	json_open(j, "peak", '{');
	json_uint(j, "live_bytes", h->at->figures.totals.peak_live_bytes);
	json_uint(j, "kept_live_bytes", h->peak->figures.totals.live_bytes);
	json_uint(j, "snapshot", h->peak->id);
	json_string(j, "time", clock_format(time, h->peak->figures.realtime_ns));
	json_close(j, '}');
}

void heap_members_json(const struct heap *h, struct json *j)
{
	const struct recorded_snapshot *at = h->at;
	char time[CLOCK_TEXT];

	json_string(j, "time", clock_format(time, at->figures.realtime_ns));
	json_double(j, "elapsed_s", (double)at->moment.elapsed_ns / NS_PER_S, 3);
	json_double(j, "min_age_s", at->figures.min_age_s, 3);
	json_string(j, "ended", h->target->ended);
	json_open(j, "snapshot", '{');
	json_uint(j, "id", at->id);
	json_string(j, "kind", snapshot_kind_name(at->moment.kind));
	json_string(j, "label", at->moment.label);
	json_close(j, '}');
	target_json(h, j);
	json_open(j, "mode", '{');
	json_string(j, "name", h->target->mode);
	json_uint(j, "sample_bytes", at->figures.rules.sample_bytes);
	json_string(j, "why", h->target->mode_why);
	json_string(j, "link", h->target->link);
	json_close(j, '}');
	totals_json(h->figures, j);
	peak_json(h, j);
	health_json(h->figures, j);
	surroundings_json(h, j);
}

/* --- several processes together -------------------------------------------------------------------- */

static void sums_json(struct json *j, const struct totals *t)
{
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
}

static void totals_add(struct totals *a, const struct totals *b)
{
	a->alloc_count += b->alloc_count;
	a->alloc_bytes += b->alloc_bytes;
	a->free_count += b->free_count;
	a->free_bytes += b->free_bytes;
	a->live_count += b->live_count;
	a->live_bytes += b->live_bytes;
	a->aged_count += b->aged_count;
	a->aged_bytes += b->aged_bytes;
	a->lost_count += b->lost_count;
	a->lost_bytes += b->lost_bytes;
}

void all_render_json(enum report_view view, const struct recording *r, const uint32_t *snapshots,
	uint32_t count, struct stream *out)
{
	struct json j = { .out = &out->text };
	struct totals sum = { 0 };

	for (uint32_t i = 0; i < count; i++)
		totals_add(&sum, &recording_snapshot(r, snapshots[i])->figures.totals);
	json_open(&j, NULL, '{');
	json_string(&j, "schema", "heaptap/1");
	json_string(&j, "kind", "report");
	json_string(&j, "scope", "all");
	json_string(&j, "view", view_name(view));
	json_open(&j, "totals", '{');
	sums_json(&j, &sum);
	json_close(&j, '}');
	json_open(&j, "targets", '[');
	for (uint32_t i = 0; i < count; i++) {
		const struct recorded_snapshot *s = recording_snapshot(r, snapshots[i]);
		const struct recorded_target *t = recording_target(r, s->target);

		json_open(&j, NULL, '{');
		json_uint(&j, "pid", (uint64_t)t->process.pid);
		json_string(&j, "comm", t->process.comm);
		json_string(&j, "ended", t->ended);
		json_uint(&j, "snapshot", s->id);
		sums_json(&j, &s->figures.totals);
		json_bytes(&j, "rss_bytes", s->moment.usage.rss);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	buffer_text(&out->text, "\n");
	stream_flush(out);
}
