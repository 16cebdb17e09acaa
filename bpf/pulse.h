/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Timing one of our own runs in HT_PULSE_RUNS, for the governor: struct ht_pulse. Which one is decided by a number
 * that counts something anyway; the others pay for a multiplication.
 */
#ifndef HEAPTAP_BPF_PULSE_H
#define HEAPTAP_BPF_PULSE_H

#include "maps.h"

/* A run that has taken longer was interrupted: it says nothing. */
#define TIMED_NS_MAX 20000

static __always_inline struct ht_pulse *pulse_of(u32 slot)
{
	u32 row = slot * knobs.shard_count + shard_of_cpu();

	return bpf_map_lookup_elem(&pulses, &row);
}

/*
 * Is it the turn of the nth run? Multiples of the golden ratio are spread evenly, whichever regular part of the
 * numbers comes by: every second one, say.
 */
static __always_inline int pulse_due(u32 n)
{
	return knobs.timed && (n + 1) * 0x9e3779b1U < (1U << 31) / (HT_PULSE_RUNS / 2);
}

/* The same by a number that each thread counts up. */
static __always_inline int pulse_turn(struct ht_thread *t)
{
	return pulse_due(t->turns++);
}

static __noinline void pulse_alarm(struct ht_pulse *pulse, u32 slot)
{
	struct ht_message *m = bpf_ringbuf_reserve(&messages, sizeof(*m), 0);

	if (!m)
		return; /* again at the next run that is timed */
	pulse->alarm_at = ~0ULL;
	m->kind = HT_MESSAGE_ALARM;
	m->subject = slot;
	bpf_ringbuf_submit(m, 0);
}

/* A run that is timed: when it began. Global, scalars only. */
__noinline u64 pulse_begin(u32 slot, u32 kind)
{
	struct ht_pulse *pulse = pulse_of(slot);

	if (!pulse || kind >= HT_PULSE_KINDS)
		return 0;
	pulse->kinds[kind].timed += 1;
	if (kind != HT_PULSE_RETURN && pulse->kinds[kind].timed >= pulse->alarm_at)
		pulse_alarm(pulse, slot);
	return bpf_ktime_get_ns();
}

/* Its end. Global, scalars only. */
__noinline int pulse_end(u32 slot, u32 kind, u64 begun_ns)
{
	struct ht_pulse *pulse = pulse_of(slot);
	u64 ns = bpf_ktime_get_ns() - begun_ns;

	if (pulse && kind < HT_PULSE_KINDS && ns <= TIMED_NS_MAX)
		pulse->kinds[kind].ns += ns;
	return 0;
}

/*
 * The same for runs that are too long for the verifier to follow twice: that one is timed is in map memory. On another
 * CPU, or another thread's: it is then lost.
 */
__noinline int pulse_hand_over(u32 slot, u64 begun_ns)
{
	u32 row = slot * knobs.shard_count + shard_of_cpu();
	struct ht_process_counters *c = bpf_map_lookup_elem(&process_counters, &row);

	if (c)
		c->timing_ns = begun_ns;
	return 0;
}

__noinline int pulse_mark(u32 slot, u32 kind)
{
	return pulse_hand_over(slot, pulse_begin(slot, kind));
}

__noinline int pulse_mark_end(u32 slot, u32 kind)
{
	u32 row = slot * knobs.shard_count + shard_of_cpu();
	struct ht_process_counters *c = bpf_map_lookup_elem(&process_counters, &row);

	if (!c || !c->timing_ns)
		return 0;
	pulse_end(slot, kind, c->timing_ns);
	c->timing_ns = 0;
	return 0;
}

/* A trap that came to nothing: inside another call, or while the process is not armed. */
__noinline int pulse_idle(u32 slot)
{
	struct ht_pulse *pulse = pulse_of(slot);

	if (pulse)
		pulse->idle += 1;
	return 0;
}

#endif
