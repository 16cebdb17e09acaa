// SPDX-License-Identifier: GPL-2.0-or-later
#include "tables.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <sys/random.h>
#include <unistd.h>

#include "../../include/sampling.h"
#include "../base/cleanup.h"
#include "../base/err.h"
#include "truth.h"

static uint32_t power_of_two_at_least(uint64_t n)
{
	uint32_t p = 1;

	while (p < n && p < 1U << 31)
		p *= 2;
	return p;
}

/*
 * Slots for half as many blocks again as asked for: buckets fill unevenly. Small tables are one
 * segment, large ones sixteen, of which most exist only once they are needed.
 */
static void size_live_table(struct tables *t, uint64_t max_live)
{
	uint64_t buckets = (max_live + max_live / 2) / HT_BUCKET_BLOCKS;

	if (max_live < 1000) /* a limit so low is meant to be met */
		buckets = max_live / HT_BUCKET_BLOCKS;
	if (!buckets)
		buckets = 1;
	t->max_segments = buckets <= 4096 ? 1 : HT_MAX_SEGMENTS;
	t->segment_buckets = (uint32_t)((buckets + t->max_segments - 1) / t->max_segments);
}

/* The kernel's tick: CLOCK_MONOTONIC_COARSE advances by one, and bpf_jiffies64() counts them. */
static void size_birth_unit(struct tables *t)
{
	struct timespec tick = { 0, 4000000 };

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	t->birth_unit_s = (double)tick.tv_sec + (double)tick.tv_nsec / 1e9;
	for (t->birth_shift = 0; t->birth_unit_s < 0.05; t->birth_shift++)
		t->birth_unit_s *= 2;
}

static int create_segment(const struct tables *t)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "live_segment", sizeof(uint32_t),
		sizeof(struct ht_bucket), t->segment_buckets, &options);

	return fd < 0 ? -errno : fd;
}

/* Sizes of all maps and the knobs, for so many possible CPUs. 0 or -errno. */
static int size_all(
	struct tables *t, struct kernel *kernel, int cpus, const struct table_limits *limits)
{
	/* Stack 0 and the sites of slots are there from the start. */
	uint32_t stacks = (uint32_t)limits->max_stacks + 1;
	uint32_t sites = (uint32_t)limits->max_stacks + TABLES_MAX_PROCESSES;
	uint32_t index = power_of_two_at_least(2ULL * sites);
	/* 24 frames a stack on average; few stacks may all be deep ones. */
	uint32_t chunks = stacks < 1024 ? stacks * 16 : stacks * 3;
	int error = 0;

	t->cpus = (uint32_t)cpus;
	t->shards = power_of_two_at_least((uint64_t)cpus);
	if (t->shards > HT_MAX_SHARDS)
		t->shards = HT_MAX_SHARDS;
	size_live_table(t, limits->max_live);
	size_birth_unit(t);

	*kernel->knobs = (struct ht_knobs){ .shard_count = t->shards,
		.shard_mask = t->shards - 1,
		.max_stacks = stacks,
		.max_sites = sites,
		.max_chunks = chunks,
		.index_mask = index - 1,
		.segment_buckets = t->segment_buckets,
		.birth_shift = t->birth_shift,
		.timed = limits->timed,
		.cpu_count = (uint16_t)cpus };
	*kernel->first = (struct ht_control){ .next_stack = 1,
		.next_site = TABLES_MAX_PROCESSES,
		.slot_mask = TABLES_MAX_PROCESSES - 1 };

	const struct {
		struct bpf_map *map;
		uint32_t entries;
	} sizes[] = {
		{ kernel->maps.processes, TABLES_MAX_PROCESSES },
		{ kernel->maps.process_counters, TABLES_MAX_PROCESSES * t->shards },
		{ kernel->maps.pulses, TABLES_MAX_PROCESSES * t->shards },
		{ kernel->maps.slot_by_tgid, HT_TGID_PLACES },
		{ kernel->maps.free_slots, TABLES_MAX_PROCESSES },
		{ kernel->maps.linked_files, HT_LINKED_FILES },
		{ kernel->maps.ranges, HT_RANGES_MAX },
		{ kernel->maps.stacks, stacks },
		{ kernel->maps.chunks, chunks },
		{ kernel->maps.sites, sites },
		{ kernel->maps.site_counters, sites * t->shards },
		{ kernel->maps.stack_index, index },
		{ kernel->maps.site_index, index },
		{ kernel->maps.threads, HT_THREAD_SLOTS },
		{ kernel->maps.process_by_tgid, 2 * TABLES_MAX_PROCESSES },
		{ kernel->maps.planned, 8192 },
		{ kernel->maps.calls, (uint32_t)limits->max_in_flight },
		{ kernel->maps.scratches, (uint32_t)cpus * HT_SCRATCH_PER_CPU },
	};
	for (size_t i = 0; i < ARRAY_SIZE(sizes) && !error; i++)
		error = bpf_map__set_max_entries(sizes[i].map, sizes[i].entries);
	return error;
}

int tables_configure(struct tables *t, struct kernel *kernel, const struct table_limits *limits)
{
	int cpus = libbpf_num_possible_cpus();
	int error = cpus < 0 ? cpus : size_all(t, kernel, cpus, limits);

	if (error)
		return error;
	t->live_fds[0] = create_segment(t);
	if (t->live_fds[0] < 0)
		return t->live_fds[0];
	t->segments = 1;
	truth_configure(kernel);
	error = unwinder_configure(&t->unwinder, kernel, limits->max_unwind_mib << 20);
	if (error)
		return error;
	return bpf_map__set_inner_map_fd(kernel->maps.live_segments, t->live_fds[0]);
}

static uint64_t whole_pages(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

static uint64_t whole_words(uint64_t bytes)
{
	return (bytes + 7) & ~7ULL;
}

/*
 * What the kernel allocates for a map (*_map_mem_usage() in kernel/bpf/): arrays that can be mapped are whole pages and
 * one for the head; a hash has its elements, one more a CPU, and a bucket for each.
 */
static uint64_t map_bytes(const struct bpf_map *map, int cpus)
{
	uint64_t entries = bpf_map__max_entries(map);
	uint64_t value = whole_words(bpf_map__value_size(map));

	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_HASH:
		return (entries + (uint64_t)cpus) *
			       (48 + whole_words(bpf_map__key_size(map)) + value) +
		       power_of_two_at_least(entries) * 16ULL;
	case BPF_MAP_TYPE_RINGBUF:
		return entries + 3 * whole_pages(1);
	default:
		return whole_pages(1) + whole_pages(entries * value);
	}
}

int tables_bytes(int cpus, const struct table_limits *limits, struct table_bytes *bytes)
{
	struct kernel kernel CLEANUP(kernel_close) = { 0 };
	struct tables t = { 0 };
	const struct bpf_map *map;
	uint64_t segment;
	int error = kernel_open(&kernel, LINK_SESSION);

	if (!error)
		error = size_all(&t, &kernel, cpus, limits);
	if (!error)
		error = unwinder_size(&kernel);
	if (error)
		return error;
	*bytes = (struct table_bytes){ 0 };
	bpf_object__for_each_map(map, kernel.object) bytes->at_start += map_bytes(map, cpus);
	segment = whole_pages(1) +
		  whole_pages(sizeof(struct ht_bucket) * (uint64_t)t.segment_buckets);
	bytes->at_most =
		bytes->at_start + segment * t.max_segments + (limits->max_unwind_mib << 20);
	bytes->at_start += segment + whole_pages(1) + whole_pages(UNWINDER_SEGMENT_BYTES);
	return 0;
}

static void *map_array(struct tables *t, int fd, size_t value_bytes, size_t entries)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = (value_bytes * entries + page - 1) & ~(page - 1);
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return NULL;
	t->mappings[t->mapping_count++] = (struct mapping){ at, bytes };
	return at;
}

static void *map_whole(struct tables *t, const struct bpf_map *map)
{
	return map_array(t, bpf_map__fd(map), bpf_map__value_size(map), bpf_map__max_entries(map));
}

/* Makes a segment known to both halves: mapped here, in the array of maps there. */
static int publish_segment(struct tables *t, struct kernel *kernel, uint32_t at, int fd)
{
	t->live[at] = map_array(t, fd, sizeof(struct ht_bucket), t->segment_buckets);
	if (!t->live[at] ||
		bpf_map_update_elem(bpf_map__fd(kernel->maps.live_segments), &at, &fd, BPF_ANY))
		return -errno;
	/* From here on programs use it. */
	__atomic_store_n(&t->control->segments, at + 1, __ATOMIC_RELEASE);
	return 0;
}

/* Each thread begins somewhere between two sample points, not at one. */
static int draw_first_samples(struct tables *t)
{
	uint64_t random[256 / sizeof(uint64_t)]; /* getrandom() gives so much at once */

	for (uint32_t i = 0; i < HT_THREAD_SLOTS; i++) {
		if (i % ARRAY_SIZE(random) == 0 &&
			getrandom(random, sizeof(random), 0) != sizeof(random))
			return err(-EIO, "no random numbers: %s", strerror(errno));
		t->threads[i].sample_left = (int64_t)ht_draw(random[i % ARRAY_SIZE(random)]);
	}
	return 0;
}

static void forget_sites(struct tables *t, const bool *slots, uint32_t sites)
{
	/* The sites stay: whoever has the slot next, and does the same, finds them again. */
	for (uint32_t id = 0; id < sites; id++)
		if (slots[t->sites[id].slot])
			memset(&t->site_counters[id * t->shards], 0,
				t->shards * sizeof(*t->site_counters));
}

/* Most buckets are untouched, and their pages not even there: a write would make them. */
static void forget_blocks(struct tables *t, const bool *slots)
{
	for (uint32_t segment = 0; segment < t->segments; segment++) {
		for (uint32_t b = 0; b < t->segment_buckets; b++) {
			struct ht_bucket *bucket = &t->live[segment][b];

			for (int way = 0; way < HT_BUCKET_BLOCKS; way++) {
				uint64_t key = bucket->keys[way];

				if ((key & HT_KEY_STATE_MASK) == HT_KEY_LIVE &&
					slots[ht_key_slot(key)])
					__atomic_store_n(&bucket->keys[way], 0, __ATOMIC_RELEASE);
			}
		}
	}
}

static void forget_counts(struct tables *t, uint32_t slot)
{
	memset(&t->process_counters[(size_t)slot * t->shards], 0,
		t->shards * sizeof(*t->process_counters));
}

void tables_empty(struct tables *t, const bool slots[TABLES_MAX_SLOTS], uint32_t sites)
{
	forget_sites(t, slots, sites);
	forget_blocks(t, slots);
	for (uint32_t slot = 0; slot < TABLES_MAX_PROCESSES; slot++) {
		struct ht_process *p = &t->processes[slot];

		if (!slots[slot])
			continue;
		forget_counts(t, slot);
		p->live_bytes = p->peak_live_bytes = 0;
	}
}

void tables_give_slots(struct tables *t, const bool slots[TABLES_MAX_SLOTS], uint32_t sites)
{
	forget_sites(t, slots, sites);
	forget_blocks(t, slots);
	/* The lowest is used first. */
	for (uint32_t slot = TABLES_MAX_PROCESSES; slot-- > 0;) {
		if (!slots[slot])
			continue;
		forget_counts(t, slot);
		for (uint32_t shard = 0; shard < t->shards; shard++)
			t->pulses[(size_t)slot * t->shards + shard] =
				(struct ht_pulse){ .alarm_at = UINT64_MAX };
		t->processes[slot] = (struct ht_process){ .slot = (uint16_t)slot };
		t->spare_slots[t->spare_count++] = (uint16_t)slot;
	}
}

int tables_map(struct tables *t, struct kernel *kernel)
{
	bool all[TABLES_MAX_SLOTS] = { false };
	int error;

	t->processes = map_whole(t, kernel->maps.processes);
	t->process_counters = map_whole(t, kernel->maps.process_counters);
	t->pulses = map_whole(t, kernel->maps.pulses);
	t->slot_by_tgid = map_whole(t, kernel->maps.slot_by_tgid);
	t->free_slots = map_whole(t, kernel->maps.free_slots);
	t->linked_files = map_whole(t, kernel->maps.linked_files);
	t->ranges = map_whole(t, kernel->maps.ranges);
	t->stacks = map_whole(t, kernel->maps.stacks);
	t->chunks = map_whole(t, kernel->maps.chunks);
	t->sites = map_whole(t, kernel->maps.sites);
	t->site_counters = map_whole(t, kernel->maps.site_counters);
	t->control = map_whole(t, kernel->maps.control);
	t->threads = map_whole(t, kernel->maps.threads);
	if (!t->processes || !t->process_counters || !t->pulses || !t->slot_by_tgid ||
		!t->free_slots || !t->linked_files || !t->ranges || !t->stacks || !t->chunks ||
		!t->sites || !t->site_counters || !t->control || !t->threads)
		return err(-errno, "cannot map the kernel's tables: %s", strerror(errno));
	error = unwinder_map(&t->unwinder, kernel);
	if (error)
		return err(error, "cannot map the unwind tables: %s", strerror(-error));
	error = draw_first_samples(t);
	if (error)
		return error;
	error = publish_segment(t, kernel, 0, t->live_fds[0]);
	if (error)
		return err(error, "cannot map the live table: %s", strerror(-error));
	for (uint32_t slot = 0; slot < TABLES_MAX_PROCESSES; slot++) {
		t->sites[slot] = (struct ht_site){ .stack = 0, .slot = (uint16_t)slot };
		all[slot] = true;
	}
	tables_give_slots(t, all, 0);
	return extents_init(&t->free_ranges, HT_RANGES_MAX) ? err(-ENOMEM, "out of memory") : 0;
}

/* For processes that fork before the loader has looked after the last ones. */
#define OFFERED_SLOTS 512

void tables_offer_slots(struct tables *t)
{
	struct ht_control *c = t->control;

	while (t->spare_count &&
		c->slots_given - __atomic_load_n(&c->slots_taken, __ATOMIC_RELAXED) <
			OFFERED_SLOTS) {
		t->free_slots[c->slots_given % TABLES_MAX_PROCESSES] =
			t->spare_slots[--t->spare_count];
		__atomic_store_n(&c->slots_given, c->slots_given + 1, __ATOMIC_RELEASE);
	}
}

int tables_take_slot(struct tables *t, uint32_t *slot)
{
	struct ht_control *c = t->control;
	__u64 taken = __atomic_load_n(&c->slots_taken, __ATOMIC_ACQUIRE);

	if (t->spare_count) {
		*slot = t->spare_slots[--t->spare_count];
		return 0;
	}
	do {
		if (taken >= c->slots_given)
			return -ENOSPC;
		*slot = (uint32_t)t->free_slots[taken % TABLES_MAX_PROCESSES];
	} while (!__atomic_compare_exchange_n(
		&c->slots_taken, &taken, taken + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	return 0;
}

int tables_add_segment(struct tables *t, struct kernel *kernel)
{
	uint32_t at = t->segments;
	int fd, error;

	if (at >= t->max_segments)
		return -ENOSPC;
	fd = create_segment(t);
	error = fd < 0 ? fd : publish_segment(t, kernel, at, fd);
	if (error) {
		if (fd >= 0)
			close(fd);
		return err(error, "cannot add a segment to the live table: %s", strerror(-error));
	}
	t->live_fds[at] = fd;
	t->segments = at + 1;
	debug("live table: %u segments of %u blocks", t->segments,
		t->segment_buckets * HT_BUCKET_BLOCKS);
	return 0;
}

void tables_synchronize(struct tables *t, struct kernel *kernel)
{
	uint32_t first = 0;

	if (bpf_map_update_elem(
		    bpf_map__fd(kernel->maps.live_segments), &first, &t->live_fds[0], BPF_ANY))
		debug("cannot wait for running programs: %s", strerror(errno));
}

void tables_unmap(struct tables *t)
{
	for (uint32_t i = 0; i < t->mapping_count; i++)
		munmap(t->mappings[i].at, t->mappings[i].bytes);
	for (uint32_t i = 0; i < t->segments; i++)
		close(t->live_fds[i]);
	unwinder_release(&t->unwinder);
	extents_release(&t->free_ranges);
	*t = (struct tables){ 0 };
}
