// SPDX-License-Identifier: GPL-2.0-or-later
#include "unwinder.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "../target/unwind_cache.h"

#define SEGMENT_BYTES (HT_UNWIND_SEGMENT_WORDS * sizeof(uint32_t))

/* --- segments ----------------------------------------------------------------------------------- */

static int create_segment(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "unwind_segment", sizeof(uint32_t),
		sizeof(struct ht_unwind_line), HT_UNWIND_SEGMENT_WORDS / HT_UNWIND_LINE_WORDS,
		&options);

	return fd < 0 ? -errno : fd;
}

static void *map_array(int fd, size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *at = mmap(
		NULL, (bytes + page - 1) & ~(page - 1), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

static int publish_segment(struct unwinder *u, struct kernel *kernel, uint32_t index, int fd)
{
	u->segments[index] = map_array(fd, SEGMENT_BYTES);
	if (!u->segments[index] || bpf_map_update_elem(bpf_map__fd(kernel->maps.unwind_segments),
					   &index, &fd, BPF_ANY))
		return -errno;
	return 0;
}

static int add_segment(struct unwinder *u, struct kernel *kernel)
{
	uint32_t index = u->segment_count;
	int fd = index < HT_UNWIND_SEGMENTS ? create_segment() : -ENOSPC;
	int error;

	if (fd < 0)
		return fd;
	u->fds[index] = fd;
	u->segment_count++;
	error = publish_segment(u, kernel, index, fd);
	if (error)
		u->max_words = u->next_word; /* no more from here on */
	return error;
}

int unwinder_configure(struct unwinder *u, struct kernel *kernel, uint64_t max_bytes)
{
	int fd = create_segment(), error;

	u->cache = -1;
	u->newest_ns = -1;
	u->max_words = max_bytes / sizeof(uint32_t);
	if (u->max_words > (uint64_t)HT_UNWIND_SEGMENTS * HT_UNWIND_SEGMENT_WORDS)
		u->max_words = (uint64_t)HT_UNWIND_SEGMENTS * HT_UNWIND_SEGMENT_WORDS;
	if (fd < 0)
		return fd;
	u->fds[0] = fd;
	u->segment_count = 1;
	error = bpf_map__set_max_entries(kernel->maps.unwind_tables, HT_UNWIND_TABLES);
	return error ? error : bpf_map__set_inner_map_fd(kernel->maps.unwind_segments, fd);
}

int unwinder_map(struct unwinder *u, struct kernel *kernel)
{
	u->tables = map_array(
		bpf_map__fd(kernel->maps.unwind_tables), HT_UNWIND_TABLES * sizeof(*u->tables));
	u->table_count = 1; /* 0 is none */
	return u->tables ? publish_segment(u, kernel, 0, u->fds[0]) : -errno;
}

/* --- tables ------------------------------------------------------------------------------------- */

static void copy_words(struct unwinder *u, uint64_t at, const uint32_t *from, size_t count)
{
	while (count) {
		uint32_t offset = (uint32_t)(at % HT_UNWIND_SEGMENT_WORDS);
		size_t n = HT_UNWIND_SEGMENT_WORDS - offset;

		if (n > count)
			n = count;
		memcpy(u->segments[at / HT_UNWIND_SEGMENT_WORDS] + offset, from, n * sizeof(*from));
		at += n;
		from += n;
		count -= n;
	}
}

/* A table's id once the kernel half has it, or 0. */
static uint32_t publish(struct unwinder *u, struct kernel *kernel, const struct unwind_info *info)
{
	size_t words = unwind_words(info);
	uint64_t at = u->next_word;

	if (u->table_count == HT_UNWIND_TABLES || words > u->max_words || at > u->max_words - words)
		return 0;
	while ((uint64_t)u->segment_count * HT_UNWIND_SEGMENT_WORDS < at + words)
		if (add_segment(u, kernel))
			return 0;
	copy_words(u, at, unwind_buckets(info), words);
	u->tables[u->table_count] = (struct ht_unwind_table){
		.text_start = info->text_start,
		.bucket_count = info->bucket_count,
		.buckets = (uint32_t)at,
		.rows = (uint32_t)at + info->bucket_count + 1,
		.rules = (uint32_t)(at + words - 2 * (size_t)info->rule_count),
		.row_count = info->row_count,
		.rule_count = info->rule_count,
	};
	/* Seen by programs only through a range that names it, which is stored after this. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	u->next_word = at + words;
	u->rows += info->row_count;
	u->unsupported_rows += info->unsupported_rows;
	return u->table_count++;
}

static int open_cache(struct unwinder *u)
{
	if (!u->cache_opened) {
		u->cache = unwind_cache_open();
		u->cache_opened = true;
		if (u->cache < 0)
			debug("no cache of unwind tables: %s", strerror(-u->cache));
	}
	return u->cache;
}

/* From the cache, or compiled: 0 or -errno. */
static int obtain(struct unwinder *u, const struct module *m, bool shared, uint64_t bytes,
	struct buffer *table)
{
	const struct elf_info *elf = module_elf(m);
	int error;

	if (shared && !unwind_cache_load(open_cache(u), elf, bytes, table)) {
		u->from_cache++;
		return 0;
	}
	error = parse_file(&unwind_parser, m->fd, &(struct buffer){ 0 }, table);
	/* A parser may be another process one day: what it says is checked like a file. */
	if (!error)
		error = unwind_check(table->data, table->length);
	if (error)
		return error;
	u->compiled++;
	if (shared)
		unwind_cache_store(u->cache, elf, bytes, table);
	return 0;
}

static uint32_t make(struct unwinder *u, struct kernel *kernel, const struct module *m, bool shared,
	uint64_t bytes)
{
	struct buffer table CLEANUP_BUFFER = { 0 };
	uint64_t start = clock_monotonic_ns();
	int error = obtain(u, m, shared, bytes, &table);
	uint32_t id = error ? 0 : publish(u, kernel, (const void *)table.data);

	u->spent_ns += clock_monotonic_ns() - start;
	if (error) {
		u->without++;
		debug("no unwind table for %s: %s", m->path, strerror(-error));
	} else if (!id) {
		u->no_room++;
		if (!u->told_full)
			warn("no room for the unwind table of %s: stacks through it are followed "
			     "by "
			     "frame pointers; raise --max-unwind",
				m->path);
		u->told_full = true;
	}
	return id;
}

/* Files that may share are one by build id and size, others by what is mapped. */
static uint64_t identity(const struct module *m, bool shared, uint64_t bytes)
{
	const struct elf_info *elf = module_elf(m);
	uint64_t hash = hash_bytes(shared, elf->build_id, elf->build_id_length);

	if (shared)
		return hash_mix(hash, bytes);
	return hash_mix(hash_mix(hash, m->device), m->inode);
}

uint32_t unwinder_table(struct unwinder *u, struct kernel *kernel, const struct module *m)
{
	uint64_t bytes = 0;
	uint32_t *known;
	bool shared, added;

	if (!module_elf(m) || m->fd < 0)
		return 0;
	shared = unwind_may_share(m->fd, module_elf(m), &bytes);
	known = table_add(&u->known, identity(m, shared, bytes), &added);
	if (!known)
		return 0;
	if (added)
		*known = make(u, kernel, m, shared, bytes);
	return *known;
}

uint64_t unwinder_bytes(const struct unwinder *u)
{
	return u->next_word * sizeof(uint32_t);
}

void unwinder_figures(const struct unwinder *u, struct unwind_figures *f)
{
	*f = (struct unwind_figures){
		.tables = u->table_count - 1,
		.cached = u->from_cache,
		.rows = u->rows,
		.bytes = unwinder_bytes(u),
		.spent_s = (double)u->spent_ns / NS_PER_S,
		.newest_s = u->newest_ns < 0 ? -1 : (double)u->newest_ns / NS_PER_S,
	};
}

void unwinder_release(struct unwinder *u)
{
	for (uint32_t i = 0; i < u->segment_count; i++) {
		if (u->segments[i])
			munmap(u->segments[i], SEGMENT_BYTES);
		close(u->fds[i]);
	}
	if (u->tables)
		munmap(u->tables, HT_UNWIND_TABLES * sizeof(*u->tables));
	if (u->cache > 0)
		close(u->cache);
	table_release(&u->known);
	*u = (struct unwinder){ 0 };
}
