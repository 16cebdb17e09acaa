/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/* Counting and timing our own runs, for the governor: struct ht_pulse. */
#ifndef HEAPTAP_BPF_PULSE_H
#define HEAPTAP_BPF_PULSE_H

#include "maps.h"

/* A run that is timed and has taken longer was preempted, or moved to another CPU: it says nothing. */
#define TIMED_NS_MAX 1000000

#define PULSE_NONE 0xffffffffU

static __always_inline struct ht_pulse *pulse_of(u32 row)
{
	return bpf_map_lookup_elem(&pulses, &row);
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

/* A run whose turn it is to be timed. Global, scalars only. */
__noinline int pulse_woken(u32 row, u32 kind, u32 slot)
{
	struct ht_pulse *pulse = pulse_of(row);

	if (!pulse || kind >= HT_PULSE_KINDS)
		return 0;
	pulse->kinds[kind].next = pulse->kinds[kind].runs + HT_PULSE_MEAN_STEP / 2 +
				  (bpf_get_prandom_u32() & (HT_PULSE_MEAN_STEP - 1));
	if (kind != HT_PULSE_RETURN && pulse->kinds[kind].runs >= pulse->alarm_at)
		pulse_alarm(pulse, slot);
	pulse->thread = (u32)bpf_get_current_pid_tgid();
	pulse->kind = kind;
	pulse->begun_ns = bpf_ktime_get_ns();
	return 0;
}

/* The end of a run while one is timed on this CPU: not always the same one. Global, scalars only. */
__noinline int pulse_stop(u32 row)
{
	struct ht_pulse *pulse = pulse_of(row);
	u64 ns;
	u32 kind;

	if (!pulse || pulse->thread != (u32)bpf_get_current_pid_tgid())
		return 0;
	ns = bpf_ktime_get_ns() - pulse->begun_ns;
	kind = pulse->kind;
	pulse->begun_ns = 0;
	if (kind >= HT_PULSE_KINDS || ns > TIMED_NS_MAX)
		return 0;
	pulse->timed[kind].timed += 1;
	pulse->timed[kind].ns += ns;
	return 0;
}

/* Counts a run: what pulse_end() wants to know. In map memory, not in registers, is what differs between runs. */
static __always_inline u32 pulse_begin(u32 slot, enum ht_pulse_kind kind)
{
	u32 row = slot * knobs.cpu_count + bpf_get_smp_processor_id();
	struct ht_pulse *pulse = pulse_of(row);
	u64 runs;

	if (!pulse)
		return row;
	runs = pulse->kinds[kind].runs + 1;
	pulse->kinds[kind].runs = runs;
	if (runs >= pulse->kinds[kind].next)
		pulse_woken(row, kind, slot);
	return row;
}

static __always_inline void pulse_end(u32 row)
{
	struct ht_pulse *pulse = pulse_of(row);

	if (pulse && pulse->begun_ns)
		pulse_stop(row);
}

#endif
