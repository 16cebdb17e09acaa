// SPDX-License-Identifier: GPL-2.0-or-later
/* Calls in flight, seen from the loader: the kernel half cannot know that a thread was killed. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../../include/sampling.h"
#include "session_internal.h"

#define LONG_CALL_S 10

static struct ht_process_counters *counters(const struct session *s, uint32_t shard)
{
	return &s->tables.process_counters[s->slot * s->tables.shards + shard];
}

uint64_t session_unfinished(const struct session *s, uint64_t ended)
{
	uint64_t started = 0;

	for (uint32_t i = 0; i < s->tables.shards; i++)
		ended += __atomic_load_n(&counters(s, i)->finished_uncounted, __ATOMIC_ACQUIRE);
	for (uint32_t i = 0; i < s->tables.shards; i++)
		started += __atomic_load_n(&counters(s, i)->started, __ATOMIC_ACQUIRE);
	return started - ended;
}

uint64_t session_in_flight(const struct session *s)
{
	uint64_t ended = 0;
	uint32_t sites = session_sites_used(s);

	if (s->mode == HT_MODE_GROWTH) /* what it counts is over when it is counted */
		return 0;
	/* In this order: a call that ends between the loops must not make a negative number. */
	for (uint32_t row = 0; row < sites * s->tables.shards; row++) {
		const struct ht_site_counters *c = &s->tables.site_counters[row];

		ended += __atomic_load_n(&c->alloc_count, __ATOMIC_ACQUIRE) +
			 __atomic_load_n(&c->failed_count, __ATOMIC_ACQUIRE);
	}
	return session_unfinished(s, ended);
}

uint64_t session_after_exec(const struct session *s)
{
	uint64_t events = 0;

	for (uint32_t i = 0; i < s->tables.shards; i++)
		events += __atomic_load_n(&counters(s, i)->after_exec, __ATOMIC_RELAXED);
	return events;
}

uint32_t session_sites_used(const struct session *s)
{
	uint32_t used = __atomic_load_n(&s->tables.control->next_site, __ATOMIC_ACQUIRE);
	uint32_t most = bpf_map__max_entries(s->kernel.maps.sites);

	return used < most ? used : most; /* the counter may have run past the end by a race */
}

/* The block that a realloc held when it was left: not live, not freed. */
static void abandon(struct session *s, const struct ht_call *call)
{
	struct ht_process_counters *c = counters(s, 0);
	struct ht_weight weight;

	if (!call->old_key)
		return;
	__atomic_fetch_add(&c->lost_count[HT_LOST_ABANDONED], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(
		&c->lost_bytes[HT_LOST_ABANDONED], call->old_block.size, __ATOMIC_RELAXED);
	ht_weigh(call->old_block.size, call->old_block.interval, &weight);
	__atomic_fetch_add(&c->lost_excess_count, weight.count, __ATOMIC_RELAXED);
	__atomic_fetch_add(&c->lost_excess_bytes, weight.bytes, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&s->tables.processes[s->slot].live_bytes,
		call->old_block.size + (weight.bytes >> 8), __ATOMIC_RELAXED);
}

/*
 * A call that was left by longjmp is still in the table until its thread ends. When such records
 * fill it, those that are older than any call lasts go; should one return after all, its new block
 * is counted by what its cookie holds.
 */
static bool left_behind(struct session *s, int fd, const struct ht_call_key *key, bool crowded)
{
	struct ht_call call;

	if (tasks_thread_ended(&s->tasks, (uint32_t)key->pid_tgid))
		return true;
	if (!crowded || bpf_map_lookup_elem(fd, key, &call))
		return false;
	return (uint32_t)(kernel_birth_clock(&s->kernel) - call.birth) * s->tables.birth_unit_s >
	       LONG_CALL_S;
}

void session_sweep_calls(struct session *s, bool all)
{
	int fd = bpf_map__fd(s->kernel.maps.calls);
	uint32_t most = bpf_map__max_entries(s->kernel.maps.calls), seen = 0;
	struct ht_call_key key, next, *previous = NULL;
	bool crowded = s->calls_seen > most / 2;
	struct ht_call call;

	/* A deleted key sends the walk back to the start, also one that a program deletes: bounded. */
	for (uint32_t step = 0; step < 4 * most && !bpf_map_get_next_key(fd, previous, &next);
		step++) {
		if ((uint32_t)(next.pid_tgid >> 32) == s->tasks.tgid &&
			(all || left_behind(s, fd, &next, crowded)) &&
			!bpf_map_lookup_elem(fd, &next, &call) && !bpf_map_delete_elem(fd, &next)) {
			abandon(s, &call);
			previous = NULL;
			continue;
		}
		seen++;
		key = next;
		previous = &key;
	}
	s->calls_seen = seen;
}
