// SPDX-License-Identifier: GPL-2.0-or-later
/* Targets: what they have mapped, their place in the kernel's tables, and their end. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "session_internal.h"

/* Sets of ranges that may wait before running programs are waited for. */
#define GIVEN_UP_MAX 32

const struct process *target_process(const struct target *t)
{
	return &t->process;
}

uint32_t target_slot(const struct target *t)
{
	return t->slot;
}

bool target_maps(const struct target *t, uint32_t module)
{
	for (uint32_t i = 0; i < t->range_count; i++)
		if (t->ranges[i].module == module)
			return true;
	return false;
}

/* --- the list ---------------------------------------------------------------------------------- */

struct target *target_add(struct session *s)
{
	struct target **all = realloc(s->targets, (s->target_count + 1UL) * sizeof(*all));
	struct target *t;

	if (!all)
		return NULL;
	s->targets = all;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->process.pidfd = -1;
	t->tasks.link = -1;
	all[s->target_count++] = t;
	return t;
}

void target_free(struct target *t)
{
	tasks_close(&t->tasks);
	process_close(&t->process);
	snapshot_release(&t->last);
	windows_clear(&t->windows);
	free(t->ranges);
	free(t);
}

void target_drop(struct session *s, struct target *t)
{
	uint32_t i = 0;

	while (s->targets[i] != t)
		i++;
	s->target_count--;
	memmove(&s->targets[i], &s->targets[i + 1],
		(s->target_count - i) * sizeof(struct target *));
	target_free(t);
}

/* --- what it has mapped -------------------------------------------------------------------------- */

static int copy_modules(struct session *s)
{
	for (uint32_t i = s->profile.module_count; i < s->image.module_count; i++) {
		const struct module *m = &s->image.modules[i];
		const struct elf_info *elf = module_elf(m);
		char build_id[ELF_BUILD_ID_TEXT] = "";

		if (elf)
			elf_build_id_text(build_id, elf);
		if (profile_add_module(&s->profile, m->path, build_id, m->allocator))
			return err(-ENOMEM, "out of memory");
	}
	return 0;
}

static int plan_new_modules(struct session *s)
{
	if (s->mode == HT_MODE_GROWTH)
		return 0;
	for (; s->plan_modules < s->image.module_count; s->plan_modules++) {
		const struct module *m = &s->image.modules[s->plan_modules];
		int error = plan_add_module(&s->plan, s->plan_modules, m);

		if (error == -ENOMEM)
			return error;
		if (error)
			warn("the allocator of %s is not traced", m->path);
	}
	return 0;
}

int target_read_image(struct session *s, struct target *t)
{
	int error = image_read(&s->image, &t->process);
	struct ht_range *ranges;

	if (!error)
		error = plan_new_modules(s);
	if (!error)
		error = copy_modules(s);
	if (error)
		return error;
	ranges = calloc(s->image.range_count + 1UL, sizeof(*ranges));
	if (!ranges)
		return err(-ENOMEM, "out of memory");
	if (s->image.range_count)
		memcpy(ranges, s->image.ranges, s->image.range_count * sizeof(*ranges));
	free(t->ranges);
	t->ranges = ranges;
	t->range_count = s->image.range_count;
	t->known = true;
	return 0;
}

int target_name_modules(struct session *s, struct target *t)
{
	int error = plan_new_modules(s);

	if (!error)
		error = copy_modules(s);
	if (error)
		return error;
	t->ranges = calloc(s->image.module_count + 1UL, sizeof(*t->ranges));
	if (!t->ranges)
		return err(-ENOMEM, "out of memory");
	for (uint32_t id = 0; id < s->image.module_count; id++)
		t->ranges[id].module = id;
	t->range_count = s->image.module_count;
	return 0;
}

bool target_has_probes(const struct session *s, const struct target *t)
{
	for (uint32_t i = 0; i < s->plan.count; i++)
		if (target_maps(t, s->plan.probes[i].module))
			return true;
	return false;
}

/* --- ranges in the kernel ------------------------------------------------------------------------ */

/* Does a record name this set? A forked child begins with its parent's. */
static bool is_in_use(const struct session *s, const struct extent *set)
{
	uint64_t word = (uint64_t)set->first << 32 | set->count;

	for (uint32_t slot = 0; slot < TABLES_MAX_PROCESSES; slot++)
		if (s->tables.processes[slot].ranges == word)
			return true;
	return false;
}

/* Frees the sets that no program can look at any more. */
static void collect_ranges(struct session *s)
{
	uint32_t kept = 0;

	tables_synchronize(&s->tables, &s->kernel);
	for (uint32_t i = 0; i < s->given_up_count; i++)
		if (is_in_use(s, &s->given_up[i]) ||
			extents_give(&s->tables.free_ranges, s->given_up[i]))
			s->given_up[kept++] = s->given_up[i];
	s->given_up_count = kept;
}

static void give_up_ranges(struct session *s, struct extent set)
{
	struct extent *all;

	/* A forked child that goes on by them gives them up later. */
	if (!set.count || is_in_use(s, &set))
		return;
	for (uint32_t i = 0; i < s->given_up_count; i++)
		if (s->given_up[i].first == set.first)
			return;
	all = realloc(s->given_up, (s->given_up_count + 1UL) * sizeof(*all));
	if (!all)
		return; /* they stay in use */
	s->given_up = all;
	all[s->given_up_count++] = set;
	if (s->given_up_count % GIVEN_UP_MAX == 0)
		collect_ranges(s);
}

static int take_ranges(struct session *s, uint32_t count, struct extent *set)
{
	set->count = count;
	if (!extents_take(&s->tables.free_ranges, count, &set->first))
		return 0;
	collect_ranges(s);
	return extents_take(&s->tables.free_ranges, count, &set->first);
}

/* Rows for all code, before any range names them. */
static void find_tables(struct session *s, struct target *t)
{
	struct unwinder *u = &s->tables.unwinder;
	uint32_t known = u->table_count;

	for (uint32_t i = 0; i < t->range_count; i++) {
		struct ht_range *range = &t->ranges[i];

		if (range->module != HT_MODULE_NONE)
			range->table =
				unwinder_table(u, &s->kernel, &s->image.modules[range->module]);
	}
	if (u->table_count != known)
		debug("unwind tables: %u, %u of them from the cache, %llu rows, %llu bytes, in "
		      "%.1f ms",
			u->table_count - 1, u->from_cache, (unsigned long long)u->rows,
			(unsigned long long)unwinder_bytes(u), (double)u->spent_ns / 1e6);
}

/* Where return probes of the plan may stand: the kernel half asks on a pending return. */
static int publish_plan(struct session *s)
{
	int fd = bpf_map__fd(s->kernel.maps.planned);

	for (; s->planned < s->plan.count; s->planned++) {
		const struct plan_probe *probe = &s->plan.probes[s->planned];
		struct ht_planned key = { .address = probe->address, .module = probe->module };
		uint32_t value = 1;

		if (probe->returns && bpf_map_update_elem(fd, &key, &value, BPF_ANY))
			return err(-errno, "cannot store the plan: %s", strerror(errno));
	}
	return 0;
}

static uint32_t limit_ranges(const struct target *t)
{
	if (t->range_count <= HT_RANGES_PER_PROCESS)
		return t->range_count;
	log_message(t->published.count ? LOG_DEBUG : LOG_WARN,
		"pid %d has %u executable mappings: stacks through those above the first %u are "
		"truncated",
		t->process.pid, t->range_count, HT_RANGES_PER_PROCESS);
	return HT_RANGES_PER_PROCESS;
}

/*
 * Written where no walk looks, then made current by one store. Whoever still walks by the old ones finds them as they
 * were: they are used anew only once running programs have ended.
 */
int target_publish_ranges(struct session *s, struct target *t)
{
	struct ht_process *p = target_record(s, t);
	uint32_t count = limit_ranges(t);
	struct extent set, old = t->published;
	int error = publish_plan(s);

	if (error)
		return error;
	find_tables(s, t);
	if (!count || (old.count == count && !memcmp(&s->tables.ranges[old.first], t->ranges,
						     count * sizeof(*t->ranges))))
		return 0;
	if (take_ranges(s, count, &set)) {
		warn("no room for the mappings of pid %d: its stacks are truncated",
			t->process.pid);
		return 0;
	}
	memcpy(&s->tables.ranges[set.first], t->ranges, count * sizeof(*t->ranges));
	__atomic_store_n(&p->ranges, (uint64_t)set.first << 32 | count, __ATOMIC_RELEASE);
	__atomic_store_n(&p->generation, ++s->generation, __ATOMIC_RELEASE);
	t->published = set;
	give_up_ranges(s, old);
	return 0;
}

/* --- its place in the tables ----------------------------------------------------------------------- */

static int enter_tgid(struct session *s, uint32_t tgid, uint32_t slot)
{
	struct ht_tgid *place = &s->tables.slot_by_tgid[tgid % HT_TGID_PLACES];
	uint64_t nothing = 0, word = (uint64_t)slot << 32 | tgid;

	if (bpf_map_update_elem(bpf_map__fd(s->kernel.maps.process_by_tgid), &tgid, &slot, BPF_ANY))
		return err(-errno, "cannot add pid %u: %s", tgid, strerror(errno));
	if (!__atomic_compare_exchange_n((uint64_t *)(void *)place, &nothing, word, false,
		    __ATOMIC_RELEASE, __ATOMIC_RELAXED) &&
		(uint32_t)nothing != tgid)
		place->shared = 1;
	return 0;
}

static void leave_tgid(struct session *s, uint32_t tgid, uint32_t slot)
{
	struct ht_tgid *place = &s->tables.slot_by_tgid[tgid % HT_TGID_PLACES];
	uint64_t word = (uint64_t)slot << 32 | tgid;
	int fd = bpf_map__fd(s->kernel.maps.process_by_tgid);
	uint32_t now;

	/* Another program that runs in it may have a slot by now. */
	if (bpf_map_lookup_elem(fd, &tgid, &now) || now != slot)
		return;
	__atomic_compare_exchange_n(
		(uint64_t *)(void *)place, &word, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	bpf_map_delete_elem(fd, &tgid);
}

int target_publish(struct session *s, struct target *t)
{
	int error = tasks_open(&t->tasks, t->process.pid);
	struct ht_process *p;

	if (error)
		return error;
	if (tables_take_slot(&s->tables, &t->slot))
		return err(-ENOSPC, "%d processes are traced already: no more fit",
			TABLES_MAX_PROCESSES);
	t->has_slot = true;
	p = target_record(s, t);
	p->slot = (uint16_t)t->slot;
	p->start_time = t->process.start_ticks;
	p->domains = s->domains;
	p->follow = s->follow;
	p->known = 1;
	p->tgid = t->tasks.tgid;
	target_publish_rules(s, t);
	error = t->awaits_exec ? publish_plan(s) : target_publish_ranges(s, t);
	return error ? error : enter_tgid(s, t->tasks.tgid, t->slot);
}

/* --- its end --------------------------------------------------------------------------------------- */

void target_end(struct session *s, struct target *t, const char *why)
{
	if (t->state == TARGET_ENDED)
		return;
	t->state = TARGET_ENDED;
	t->ended = why;
	t->ended_ns = clock_monotonic_ns();
	target_end_governing(s, t);
	__atomic_store_n(&target_record(s, t)->armed, 0, __ATOMIC_RELEASE);
	leave_tgid(s, t->tasks.tgid, t->slot);
	scope_leave(s, t);
}

void target_free_slots(struct session *s)
{
	bool slots[TABLES_MAX_SLOTS] = { false };
	uint32_t count = 0;

	for (uint32_t i = 0; i < s->target_count; i++) {
		struct target *t = s->targets[i];

		if (!t->read || !t->has_slot)
			continue;
		slots[t->slot] = true;
		t->has_slot = false;
		cost_update(&s->cost, &t->cost, &s->tables, t->slot);
		count++;
	}
	if (!count)
		return;
	/* No program counts for them any more. */
	tables_synchronize(&s->tables, &s->kernel);
	tables_give_slots(&s->tables, slots, session_sites_used(s));
	for (uint32_t i = 0; i < s->target_count; i++) {
		struct target *t = s->targets[i];

		if (!t->has_slot && t->published.count)
			give_up_ranges(s, t->published);
		if (!t->has_slot)
			t->published.count = 0;
	}
}
