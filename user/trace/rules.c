// SPDX-License-Identifier: GPL-2.0-or-later
/* Which requests are followed: the part of the process record that may change while a session runs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../include/sampling.h"
#include "../base/err.h"
#include "session_internal.h"

/* No module has this id: nothing is followed until one of the name is mapped. */
#define NO_MODULE UINT32_MAX

static uint32_t log2_of(uint64_t bytes)
{
	uint32_t log2 = 0;

	while (log2 < HT_INTERVAL_MAX_LOG2 && 2ULL << log2 <= bytes)
		log2++;
	return log2;
}

uint64_t rules_round_interval(uint64_t bytes)
{
	uint32_t log2 = log2_of(bytes);

	/* The nearer power of two, by ratio: the square root of 2 is about 99/70. */
	return log2 < HT_INTERVAL_MAX_LOG2 && bytes * 70 > (99ULL << log2) ? 2ULL << log2
									   : 1ULL << log2;
}

static bool is_called(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	return !strcmp(path, name) || (slash && !strcmp(slash + 1, name));
}

/* The id + 1 of the module asked for. */
static uint32_t module_of(const struct session *s)
{
	if (!s->rules.module)
		return 0;
	for (uint32_t i = 0; i < s->image.module_count; i++)
		if (is_called(s->image.modules[i].path, s->rules.module))
			return i + 1;
	return NO_MODULE;
}

static bool is_selective(const struct rules *r)
{
	return r->sample_bytes > 1 || r->min_bytes || r->max_bytes || r->thread || r->module;
}

/*
 * One store a condition, read by running programs: an event in between may meet some old and some new
 * ones. `selective` comes first on the way in and last on the way out, so that none meets a condition
 * that it does not know of.
 */
void target_publish_rules(struct session *s, struct target *t)
{
	struct ht_process *p = target_record(s, t);
	const struct rules *r = &s->rules;

	if (is_selective(r))
		__atomic_store_n(&p->selective, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&p->min_bytes, r->min_bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&p->max_bytes, r->max_bytes ? r->max_bytes : UINT64_MAX, __ATOMIC_RELAXED);
	__atomic_store_n(&p->thread, r->thread, __ATOMIC_RELAXED);
	__atomic_store_n(&p->by_thread, r->by_thread, __ATOMIC_RELAXED);
	__atomic_store_n(&p->module, module_of(s), __ATOMIC_RELAXED);
	__atomic_store_n(&p->mode, r->sample ? HT_MODE_SAMPLE : HT_MODE_EXACT, __ATOMIC_RELAXED);
	__atomic_store_n(&p->interval_log2, log2_of(r->sample_bytes), __ATOMIC_RELAXED);
	if (!is_selective(r))
		__atomic_store_n(&p->selective, 0, __ATOMIC_RELEASE);
}

void session_publish_rules(struct session *s)
{
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->has_slot)
			target_publish_rules(s, s->targets[i]);
}

static bool has_thread(const struct session *s, uint32_t tid)
{
	char path[64];

	for (uint32_t i = 0; i < s->target_count; i++) {
		snprintf(path, sizeof(path), "/proc/%d/task/%u", s->targets[i]->process.pid, tid);
		if (!access(path, F_OK))
			return true;
	}
	return false;
}

int session_set_rules(struct session *s, const struct rules *rules)
{
	if (rules->thread && !has_thread(s, rules->thread))
		return err(
			-ESRCH, "pid %d has no thread %u", session_process(s)->pid, rules->thread);
	if (!rules->sample_bytes || rules->sample_bytes & (rules->sample_bytes - 1) ||
		rules->sample_bytes > 1ULL << HT_INTERVAL_MAX_LOG2)
		return err(-EINVAL, "the sampling interval must be a power of two");
	s->rules = s->governing.asked = *rules;
	/* Whether requests are sampled is then the governor's matter. */
	if (s->governing.budget && s->armed) {
		s->rules.sample = s->governing.governor.rung == RUNG_SAMPLE;
		if (!s->rules.sample)
			s->rules.sample_bytes = 1;
	}
	for (uint32_t i = 0; i < s->target_count; i++)
		s->targets[i]->was_sampled |= s->rules.sample;
	s->was_filtered |= rules->min_bytes || rules->max_bytes || rules->thread || rules->module;
	/* Before the load it takes effect with it. */
	if (s->tables.processes)
		session_publish_rules(s);
	if (rules->module && module_of(s) == NO_MODULE)
		warn("no module '%s' is mapped: until it is, nothing is followed", rules->module);
	return 0;
}
