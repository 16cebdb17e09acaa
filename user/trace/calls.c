// SPDX-License-Identifier: GPL-2.0-or-later
/* Calls in flight, seen from the loader: the kernel half cannot know that a thread was killed. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../../include/sampling.h"
#include "session_internal.h"

#define LONG_CALL_S 10

uint64_t session_in_flight(const struct session *s)
{
	uint64_t started = 0, ended = 0;
	uint32_t sites = session_sites_used(s), rows = TABLES_MAX_PROCESSES * s->tables.shards;

	if (s->mode == HT_MODE_GROWTH) /* what it counts is over when it is counted */
		return 0;
	/* In this order: a call that ends between the loops must not make a negative number. */
	for (uint32_t row = 0; row < sites * s->tables.shards; row++) {
		const struct ht_site_counters *c = &s->tables.site_counters[row];

		ended += __atomic_load_n(&c->alloc_count, __ATOMIC_ACQUIRE) +
			 __atomic_load_n(&c->failed_count, __ATOMIC_ACQUIRE);
	}
	for (uint32_t i = 0; i < rows; i++)
		ended += __atomic_load_n(
			&s->tables.process_counters[i].finished_uncounted, __ATOMIC_ACQUIRE);
	for (uint32_t i = 0; i < rows; i++)
		started +=
			__atomic_load_n(&s->tables.process_counters[i].started, __ATOMIC_ACQUIRE);
	return started - ended;
}

uint64_t target_after_exec(const struct session *s, const struct target *t)
{
	uint64_t events = 0;

	for (uint32_t i = 0; i < s->tables.shards; i++)
		events += __atomic_load_n(
			&s->tables.process_counters[t->slot * s->tables.shards + i].after_exec,
			__ATOMIC_RELAXED);
	return events;
}

uint32_t session_sites_used(const struct session *s)
{
	uint32_t used = __atomic_load_n(&s->tables.control->next_site, __ATOMIC_ACQUIRE);
	uint32_t most = bpf_map__max_entries(s->kernel.maps.sites);

	return used < most ? used : most; /* the counter may have run past the end by a race */
}

/* The block that a realloc held when it was left: not live, not freed. */
static void abandon(struct session *s, const struct ht_call *call, uint32_t slot)
{
	struct ht_process_counters *c = &s->tables.process_counters[slot * s->tables.shards];
	struct ht_weight weight;

	if (!call->old_key)
		return;
	__atomic_fetch_add(&c->lost_count[HT_LOST_ABANDONED], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(
		&c->lost_bytes[HT_LOST_ABANDONED], call->old_block.size, __ATOMIC_RELAXED);
	ht_weigh(call->old_block.size, call->old_block.interval, &weight);
	__atomic_fetch_add(&c->lost_excess_count, weight.count, __ATOMIC_RELAXED);
	__atomic_fetch_add(&c->lost_excess_bytes, weight.bytes, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&s->tables.processes[slot].live_bytes,
		call->old_block.size + (weight.bytes >> 8), __ATOMIC_RELAXED);
}

/*
 * A call that was left by longjmp is still in the table until its thread ends. When such records
 * fill it, those that are older than any call lasts go; should one return after all, its new block
 * is counted by what its cookie holds.
 */
static bool left_behind(struct session *s, const struct target *t, const struct ht_call_key *key,
	const struct ht_call *call, bool crowded)
{
	if (!t || tasks_thread_ended((struct tasks *)&t->tasks, (uint32_t)key->pid_tgid))
		return true;
	return crowded &&
	       (uint32_t)(kernel_birth_clock(&s->kernel) - call->birth) * s->tables.birth_unit_s >
		       LONG_CALL_S;
}

/*
 * Whose call it is. A process that shares its parent's memory counts as the parent, but its threads are its own: its
 * calls are left until the parent ends, or the table is crowded.
 */
static struct target *caller(const struct session *s, uint32_t slot)
{
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i]->has_slot && s->targets[i]->slot == slot)
			return s->targets[i];
	return NULL;
}

static bool is_over(struct session *s, const struct ht_call_key *key, const struct ht_call *call,
	uint32_t slot, bool crowded)
{
	const struct target *t = caller(s, slot);

	if (t && (uint32_t)(key->pid_tgid >> 32) != t->tasks.tgid && !crowded)
		return t->state == TARGET_ENDED;
	return left_behind(s, t, key, call, crowded);
}

void session_sweep_calls(struct session *s, bool all)
{
	int fd = bpf_map__fd(s->kernel.maps.calls);
	uint32_t most = bpf_map__max_entries(s->kernel.maps.calls), seen = 0;
	uint32_t sites = bpf_map__max_entries(s->kernel.maps.sites);
	struct ht_call_key key, next, *previous = NULL;
	bool crowded = s->calls_seen > most / 2;
	struct ht_call call;

	/* A deleted key sends the walk back to the start, also one that a program deletes: bounded. */
	for (uint32_t step = 0; step < 4 * most && !bpf_map_get_next_key(fd, previous, &next);
		step++) {
		if (!bpf_map_lookup_elem(fd, &next, &call) && call.site < sites) {
			uint32_t slot = s->tables.sites[call.site].slot;

			if ((all || is_over(s, &next, &call, slot, crowded)) &&
				!bpf_map_delete_elem(fd, &next)) {
				abandon(s, &call, slot);
				previous = NULL;
				continue;
			}
		}
		seen++;
		key = next;
		previous = &key;
	}
	s->calls_seen = seen;
}
