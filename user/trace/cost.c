// SPDX-License-Identifier: GPL-2.0-or-later
#include "cost.h"

#include <string.h>

#include "../base/clock.h"
#include "../base/err.h"

static void *measure_traps(void *context)
{
	struct cost *c = context;

	c->error = trap_cost_measure(c->kind, &c->stop, &c->measured);
	return NULL;
}

void cost_assume(struct cost *c)
{
	c->traps = (struct trap_cost){ .entry = 700, .stepped = 20000, .returned = 500 };
}

void cost_start(struct cost *c, enum link_kind kind)
{
	c->kind = kind;
	c->error = -pthread_create(&c->thread, NULL, measure_traps, c);
	c->running = !c->error;
}

/* A tracepoint's test and its call: 'make bench' measures a fault with an empty program. */
#define TRACEPOINT_NS 30

void cost_without_traps(struct cost *c)
{
	c->traps = (struct trap_cost){ .entry = TRACEPOINT_NS };
	c->known = true;
}

/* The thread has ended. */
static void finish(struct cost *c)
{
	c->running = false;
	c->known = !c->error;
	if (c->error)
		debug("cannot measure what a probe costs here: %s", strerror(-c->error));
	else
		debug("a probe costs %.0f ns, single-stepped %.0f ns, a return %.0f ns more",
			c->measured.entry, c->measured.stepped, c->measured.returned);
	if (c->known)
		c->traps = c->measured;
}

/* The thread is not waited for: nothing is late for want of its figures. */
static void take_traps(struct cost *c)
{
	if (c->running && !pthread_tryjoin_np(c->thread, NULL))
		finish(c);
}

void cost_finish(struct cost *c)
{
	if (!c->running)
		return;
	__atomic_store_n(&c->stop, true, __ATOMIC_RELAXED);
	pthread_join(c->thread, NULL);
	finish(c);
}

void cost_tell(const struct cost *c)
{
	if (c->timed && c->mean_ns[HT_PULSE_ALLOC] > 0)
		debug("our programs took %.0f ns at entries, %.0f at frees, %.0f at returns",
			c->mean_ns[HT_PULSE_ALLOC], c->mean_ns[HT_PULSE_FREE],
			c->mean_ns[HT_PULSE_RETURN]);
}

static double cpu_s(const struct cost_process *p)
{
	struct timespec t;

	if (!p->has_clock || clock_gettime(p->clock, &t))
		return 0;
	return (double)t.tv_sec + (double)t.tv_nsec / NS_PER_S;
}

void cost_begin_process(struct cost_process *p, pid_t pid, bool new)
{
	p->has_clock = !clock_getcpuclockid(pid, &p->clock);
	p->cpu_before_s = new ? 0 : cpu_s(p);
}

void cost_end_process(struct cost_process *p)
{
	p->has_clock = false;
}

static struct cost_runs count_runs(const struct tables *t, uint32_t slot, enum ht_pulse_kind kind)
{
	const struct ht_pulse *pulses = &t->pulses[(size_t)slot * t->shards];
	struct cost_runs s = { 0 };

	for (uint32_t shard = 0; shard < t->shards; shard++) {
		s.runs += (double)__atomic_load_n(
				  &pulses[shard].kinds[kind].timed, __ATOMIC_RELAXED) *
			  HT_PULSE_RUNS;
		s.ns += (double)__atomic_load_n(&pulses[shard].kinds[kind].ns, __ATOMIC_RELAXED) *
			HT_PULSE_RUNS;
	}
	return s;
}

static double count_idle(const struct tables *t, uint32_t slot)
{
	double idle = 0;

	for (uint32_t shard = 0; shard < t->shards; shard++)
		idle += (double)__atomic_load_n(
			&t->pulses[(size_t)slot * t->shards + shard].idle, __ATOMIC_RELAXED);
	return idle;
}

/* What our programs take before a run is timed, and those that find nothing to do. */
#define UNTIMED_NS 25
#define IDLE_NS	   60

static double trap_ns(const struct cost *c, enum ht_pulse_kind kind)
{
	bool stepped = kind == HT_PULSE_ALLOC ? c->alloc_stepped : c->free_stepped;

	if (kind == HT_PULSE_RETURN)
		return c->traps.returned;
	return stepped ? c->traps.stepped : c->traps.entry;
}

/*
 * Of our programs, without traps, in ns: as timed on the machine that 'make bench' was written on. The trap is three
 * quarters of all, so that another machine's may differ by half and the sum by an eighth.
 */
#define OWN_ALLOC    165
#define OWN_FRAME    9
#define OWN_RETURN   85
#define OWN_FREE     85
#define OWN_DECLINED 50

double cost_by_counts(const struct cost *c, const struct cost_counts *n)
{
	double ns = n->idle * (trap_ns(c, HT_PULSE_FREE) + IDLE_NS);

	ns += n->entries * (trap_ns(c, HT_PULSE_ALLOC) + OWN_ALLOC + UNTIMED_NS +
				   trap_ns(c, HT_PULSE_RETURN) + OWN_RETURN + UNTIMED_NS);
	ns += n->frames * OWN_FRAME;
	ns += n->declined * (trap_ns(c, HT_PULSE_ALLOC) + OWN_DECLINED + UNTIMED_NS);
	ns += n->frees *
	      (trap_ns(c, HT_PULSE_FREE) + (n->sampled ? OWN_DECLINED : OWN_FREE) + UNTIMED_NS);
	return ns / NS_PER_S;
}

double cost_of_trap(const struct cost *c, enum ht_pulse_kind kind)
{
	return trap_ns(c, kind) / NS_PER_S;
}

double cost_of_run(const struct cost *c, enum ht_pulse_kind kind, double assumed_ns)
{
	double own_ns = c->mean_ns[kind] > 0 ? c->mean_ns[kind] : assumed_ns;

	return (trap_ns(c, kind) + UNTIMED_NS + own_ns) / NS_PER_S;
}

void cost_update(struct cost *c, struct cost_process *p, const struct tables *t, uint32_t slot)
{
	double cpu = cpu_s(p) - p->cpu_before_s, idle = count_idle(t, slot);

	/* Once the process has gone, so has its clock. */
	if (cpu > p->sums.cpu_s) {
		c->sums.cpu_s += cpu - p->sums.cpu_s;
		p->sums.cpu_s = cpu;
	}
	for (enum ht_pulse_kind kind = 0; kind < HT_PULSE_KINDS; kind++) {
		struct cost_runs now = count_runs(t, slot, kind), *seen = &p->sums.runs[kind];

		c->sums.runs[kind].runs += now.runs - seen->runs;
		c->sums.runs[kind].ns += now.ns - seen->ns;
		*seen = now;
	}
	c->sums.idle += idle - p->sums.idle;
	p->sums.idle = idle;
}

void cost_settle(struct cost *c)
{
	take_traps(c);
	for (enum ht_pulse_kind kind = 0; kind < HT_PULSE_KINDS; kind++) {
		const struct cost_runs *now = &c->sums.runs[kind];
		struct cost_runs *before = &c->settled[kind];

		if (now->runs > before->runs)
			c->mean_ns[kind] = (now->ns - before->ns) / (now->runs - before->runs);
		*before = *now;
	}
}

static bool figures_of(const struct cost *c, const struct cost_sums *sums, struct cost_figures *f)
{
	*f = (struct cost_figures){ .cpu_s = sums->cpu_s,
		.overhead_s = sums->idle * (trap_ns(c, HT_PULSE_FREE) + IDLE_NS) / NS_PER_S };
	for (enum ht_pulse_kind kind = 0; kind < HT_PULSE_KINDS; kind++) {
		const struct cost_runs *r = &sums->runs[kind];

		f->runs[kind] = r->runs;
		f->overhead_s += (r->ns + r->runs * (trap_ns(c, kind) + UNTIMED_NS)) / NS_PER_S;
	}
	return c->known;
}

bool cost_total(const struct cost *c, struct cost_figures *f)
{
	return figures_of(c, &c->sums, f);
}

bool cost_of_process(const struct cost *c, const struct cost_process *p, struct cost_figures *f)
{
	return figures_of(c, &p->sums, f);
}

void cost_set_alarm(const struct tables *t, uint32_t slot, uint64_t entries)
{
	uint64_t timed = entries / HT_PULSE_RUNS + 1;

	for (uint32_t shard = 0; shard < t->shards; shard++) {
		struct ht_pulse *p = &t->pulses[(size_t)slot * t->shards + shard];
		uint64_t alloc = __atomic_load_n(&p->kinds[HT_PULSE_ALLOC].timed, __ATOMIC_RELAXED);
		uint64_t freed = __atomic_load_n(&p->kinds[HT_PULSE_FREE].timed, __ATOMIC_RELAXED);
		uint64_t most = alloc > freed ? alloc : freed;

		__atomic_store_n(&p->alarm_at,
			timed > UINT64_MAX - most ? UINT64_MAX : most + timed, __ATOMIC_RELAXED);
	}
}
