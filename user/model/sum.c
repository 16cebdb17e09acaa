// SPDX-License-Identifier: GPL-2.0-or-later
/* Figures of several targets together. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/table.h"
#include "profile.h"

static void add_variances(struct variances *sum, const struct variances *v)
{
	sum->alloc_count += v->alloc_count;
	sum->alloc_bytes += v->alloc_bytes;
	sum->free_count += v->free_count;
	sum->free_bytes += v->free_bytes;
	sum->live_count += v->live_count;
	sum->live_bytes += v->live_bytes;
	sum->aged_count += v->aged_count;
	sum->aged_bytes += v->aged_bytes;
}

static void add_samples(struct samples *sum, const struct samples *s)
{
	sum->alloc_count += s->alloc_count;
	sum->free_count += s->free_count;
	sum->live_count += s->live_count;
	sum->lost_count += s->lost_count;
	sum->alloc_bytes += s->alloc_bytes;
	sum->free_bytes += s->free_bytes;
	sum->live_bytes += s->live_bytes;
	sum->lost_bytes += s->lost_bytes;
}

static void add_totals(struct totals *sum, const struct totals *t)
{
	sum->alloc_count += t->alloc_count;
	sum->alloc_bytes += t->alloc_bytes;
	sum->free_count += t->free_count;
	sum->free_bytes += t->free_bytes;
	sum->live_count += t->live_count;
	sum->live_bytes += t->live_bytes;
	sum->aged_count += t->aged_count;
	sum->aged_bytes += t->aged_bytes;
	sum->survived_count += t->survived_count;
	sum->survived_bytes += t->survived_bytes;
	sum->lost_count += t->lost_count;
	sum->lost_bytes += t->lost_bytes;
	sum->failed_count += t->failed_count;
	sum->untracked_frees += t->untracked_frees;
	sum->untracked_inherited += t->untracked_inherited;
	sum->in_flight += t->in_flight;
	sum->truncated_count += t->truncated_count;
	add_variances(&sum->variance, &t->variance);
	add_samples(&sum->samples, &t->samples);
}

static void add_site(struct site_figures *sum, const struct site_figures *f)
{
	sum->alloc_count += f->alloc_count;
	sum->alloc_bytes += f->alloc_bytes;
	sum->free_count += f->free_count;
	sum->free_bytes += f->free_bytes;
	sum->failed_count += f->failed_count;
	sum->temporary_count += f->temporary_count;
	sum->temporary_bytes += f->temporary_bytes;
	sum->live_count += f->live_count;
	sum->live_bytes += f->live_bytes;
	sum->aged_count += f->aged_count;
	sum->aged_bytes += f->aged_bytes;
	sum->survived_count += f->survived_count;
	sum->survived_bytes += f->survived_bytes;
	if (f->oldest_s > sum->oldest_s)
		sum->oldest_s = f->oldest_s;
}

static void add_health(struct snapshot *sum, const struct snapshot *s)
{
	for (int i = 0; i < HT_LOST_REASONS; i++)
		sum->lost[i] += s->lost[i];
	for (int i = 0; i < HT_UNATTRIBUTED_REASONS; i++)
		sum->unattributed[i] += s->unattributed[i];
	for (int i = 0; i < HT_UNWIND_REASONS; i++)
		sum->unwind[i] += s->unwind[i];
	sum->abandoned_calls += s->abandoned_calls;
	sum->removed_probes += s->removed_probes;
	sum->events += s->events;
	sum->frames_walked += s->frames_walked;
	/* As many runs of our programs as there were, whosever they were. */
	if (s->skew > sum->skew)
		sum->skew = s->skew;
	/* These are of the session, whatever the target. */
	sum->missed_events = s->missed_events;
	sum->unwinder = s->unwinder;
	sum->read_s = s->read_s;
}

static uint64_t key_of(const struct site_figures *f)
{
	return hash_mix(hash_mix(f->stack, f->thread), f->domain);
}

static bool is_known(double value)
{
	return value >= 0;
}

/*
 * Rung and budget are the session's; what it has cost adds up. Each target's windows are scaled by its own time: no one
 * factor stands for them all.
 */
static void add_mode(struct mode_figures *sum, const struct mode_figures *m)
{
	if (m->coverage < sum->coverage)
		sum->coverage = m->coverage;
	if (m->figures_s > sum->figures_s)
		sum->figures_s = m->figures_s;
	if (m->windows > sum->windows)
		sum->windows = m->windows;
	sum->scale = 0;
	sum->rough |= m->rough;
	sum->overhead_s = is_known(sum->overhead_s) && is_known(m->overhead_s)
				  ? sum->overhead_s + m->overhead_s
				  : -1;
	sum->cpu_s += m->cpu_s;
}

static void begin(struct snapshot *sum, const struct snapshot *s)
{
	sum->realtime_ns = s->realtime_ns;
	sum->monotonic_ns = s->monotonic_ns;
	sum->min_age_s = s->min_age_s;
	sum->rules = s->rules;
	sum->mode = s->mode;
}

/* Room for the sites of another one. 0 or -ENOMEM. */
static int reserve(struct snapshot *sum, const struct snapshot *s)
{
	size_t most = sum->site_count + (size_t)s->site_count;
	struct site_figures *sites = realloc(sum->sites, (most + 1) * sizeof(*sites));
	struct site_estimates *estimates;

	if (!sites)
		return -ENOMEM;
	sum->sites = sites;
	if (!sum->estimates && !s->estimates)
		return 0;
	estimates = calloc(most + 1, sizeof(*estimates));
	if (!estimates)
		return -ENOMEM;
	if (sum->estimates)
		memcpy(estimates, sum->estimates, sum->site_count * sizeof(*estimates));
	free(sum->estimates);
	sum->estimates = estimates;
	return 0;
}

static void add_estimates(struct snapshot *sum, uint32_t at, const struct site_estimates *e)
{
	if (!sum->estimates)
		return;
	add_variances(&sum->estimates[at].variance, &e->variance);
	add_samples(&sum->estimates[at].samples, &e->samples);
}

int snapshot_add(struct snapshot *sum, const struct snapshot *s)
{
	struct table known = { 0 };
	bool added, failed = reserve(sum, s) != 0;

	for (uint32_t i = 0; !failed && i < sum->site_count; i++) {
		uint32_t *at = table_add(&known, key_of(&sum->sites[i]), &added);

		failed = !at;
		if (at)
			*at = i;
	}
	for (uint32_t i = 0; !failed && i < s->site_count; i++) {
		uint32_t *at = table_add(&known, key_of(&s->sites[i]), &added);

		failed = !at;
		if (!at)
			continue;
		if (added) {
			*at = sum->site_count;
			sum->sites[sum->site_count++] = s->sites[i];
		} else {
			add_site(&sum->sites[*at], &s->sites[i]);
		}
		add_estimates(sum, *at, snapshot_estimates(s, &s->sites[i]));
	}
	table_release(&known);
	if (failed)
		return -ENOMEM;
	if (!sum->realtime_ns)
		begin(sum, s);
	else
		add_mode(&sum->mode, &s->mode);
	sum->sampled |= s->sampled;
	sum->filtered |= s->filtered;
	sum->windowed |= s->windowed;
	add_totals(&sum->totals, &s->totals);
	add_health(sum, s);
	return 0;
}
