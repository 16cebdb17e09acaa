// SPDX-License-Identifier: GPL-2.0-or-later
#include "list.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "../base/table.h"
#include "allocator.h"
#include "mapped.h"
#include "privilege.h"

#define MAPS_LIMIT (256UL << 20)

/* What all processes that have a file mapped share. */
struct file {
	uint64_t device, inode;
	const char *allocator;
	struct runtime_facts runtime;
	bool symbols;
	bool foreign; /* code of another machine: 32-bit programs */
};

struct limit {
	int64_t bytes;
};

struct reader {
	struct process_list *list;
	struct buffer names; /* of the functions to look for */
	struct table by_file, by_cgroup;
	struct buffer files;  /* struct file */
	struct buffer limits; /* struct limit */
	double uptime_s;
	bool may_look; /* into processes of other users */
};

/* --- files ----------------------------------------------------------------------------------- */

static void read_file_facts(struct reader *r, int fd, struct file *f)
{
	struct buffer out CLEANUP_BUFFER = { 0 }, runtime CLEANUP_BUFFER = { 0 };
	const struct elf_info *elf;

	if (!parse_file(&elf_parser, fd, &r->names, &out)) {
		elf = (const void *)out.data;
		f->symbols = elf->has_symbols;
		f->foreign = elf->machine != EM_X86_64;
		f->allocator = allocator_of(elf);
	}
	buffer_clear(&out);
	if (!parse_file(&runtime_parser, fd, &out, &runtime))
		f->runtime = *(const struct runtime_facts *)(void *)runtime.data;
}

/* The facts of a mapped file, or NULL with *error: it could not be opened. */
static const struct file *file_of(struct reader *r, pid_t pid, const struct map_entry *first,
	const struct map_entry *m, const char *path, int *error)
{
	uint64_t key = hash_mix(m->device, m->inode);
	const uint32_t *known = table_find(&r->by_file, key);
	struct file f = { .device = m->device, .inode = m->inode };
	uint32_t *place;
	bool added;
	int fd;

	if (known)
		return (const struct file *)(void *)r->files.data + *known;
	fd = mapped_open(pid, first, m, path);
	if (fd < 0) {
		*error = fd;
		return NULL;
	}
	read_file_facts(r, fd, &f);
	close(fd);
	place = table_add(&r->by_file, key, &added);
	if (place)
		*place = (uint32_t)(r->files.length / sizeof(f));
	buffer_append(&r->files, &f, sizeof(f));
	if (!place || buffer_failed(&r->files)) {
		*error = -ENOMEM;
		return NULL;
	}
	return (const struct file *)(void *)(r->files.data + r->files.length - sizeof(f));
}

/* --- one process ----------------------------------------------------------------------------- */

/* What its files say together. */
struct findings {
	bool symbols, foreign, refused, stale;
};

static void add_allocator(struct listed_process *p, const char *name)
{
	size_t used = strlen(p->allocators);

	if (strstr(p->allocators, name))
		return;
	snprintf(p->allocators + used, sizeof(p->allocators) - used, "%s%s", used ? "+" : "", name);
}

static void add_file(
	struct listed_process *p, struct findings *found, const struct file *f, bool program)
{
	const struct runtime_facts *r = &f->runtime;

	found->symbols |= f->symbols;
	found->foreign |= f->foreign;
	if (f->allocator && !f->foreign)
		add_allocator(p, f->allocator);
	if (r->runtime <= p->runtime || (r->whole_program && !program))
		return;
	p->runtime = r->runtime;
	memcpy(p->version, r->version, sizeof(p->version));
}

static const char *forbidden(const struct reader *r)
{
	return r->may_look ? "the kernel forbids to look into it"
			   : "another user's process: CAP_SYS_PTRACE";
}

static const char *obstacle(
	const struct reader *r, const struct listed_process *p, const struct findings *found)
{
	if (p->allocators[0])
		return NULL;
	/* Its mappings show with CAP_PERFMON too, which does not open the files. */
	if (found->refused && !r->may_look)
		return forbidden(r);
	if (found->refused)
		return "its files are not readable: CAP_DAC_READ_SEARCH";
	if (found->stale)
		return "its files were replaced on disk: CAP_CHECKPOINT_RESTORE";
	if (found->foreign)
		return "not x86-64 code";
	if (p->runtime == RUNTIME_GO)
		return "Go: it does not allocate by malloc";
	if (!found->symbols)
		return "stripped static executable";
	return "no malloc and free in its files";
}

static void program_path(pid_t pid, char path[MAPPED_PATH])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	n = readlink(link, path, MAPPED_PATH - 1);
	path[n < 0 ? 0 : n] = 0;
}

static bool is_program(const char *path, const char *program)
{
	size_t n = strlen(path);

	return !strncmp(path, program, n) && (!program[n] || !strcmp(program + n, " (deleted)"));
}

static void look_into_files(struct reader *r, struct listed_process *p, pid_t thread,
	const struct buffer *text, const struct buffer *entries)
{
	const struct map_entry *first = (const void *)entries->data;
	const struct map_entry *end = first + entries->length / sizeof(*first);
	char path[MAPPED_PATH], program[MAPPED_PATH];
	struct findings found = { 0 };

	program_path(p->pid, program);
	for (const struct map_entry *m = first; m < end; m++) {
		const struct file *f;
		int error = 0;

		if (!m->executable || !m->inode)
			continue;
		mapped_path(path, (const char *)text->data, m);
		f = file_of(r, thread, first, m, path, &error);
		if (f)
			add_file(p, &found, f, is_program(path, program));
		found.refused |= error == -EACCES || error == -EPERM;
		found.stale |= error == -ESTALE && !mapped_is_nameless(path);
	}
	p->looked_into = true;
	p->obstacle = obstacle(r, p, &found);
}

/* 0; 1: it is gone. */
static int look_into(struct reader *r, struct listed_process *p)
{
	struct buffer text CLEANUP_BUFFER = { 0 }, entries CLEANUP_BUFFER = { 0 };
	const struct process process = { .pid = p->pid };
	pid_t thread = process_live_thread(&process);
	char path[64];
	int error;

	snprintf(path, sizeof(path), "/proc/%d/maps", thread);
	error = buffer_read_file(&text, path, MAPS_LIMIT);
	if (error == -EACCES || error == -EPERM) {
		p->obstacle = forbidden(r);
		return 0;
	}
	/* Of a process that is exiting the kernel has no mappings any more. */
	if (error || !text.length)
		return 1;
	if (maps_parse((const char *)text.data, text.length, &entries))
		p->obstacle = "its mappings cannot be understood";
	else
		look_into_files(r, p, thread, &text, &entries);
	return 0;
}

static int64_t limit_of(struct reader *r, pid_t pid)
{
	char *cgroup CLEANUP_FREE = process_read_cgroup(pid);
	struct limit *limit;
	uint32_t *place;
	bool added;

	if (!cgroup || !cgroup[0])
		return -1;
	place = table_add(&r->by_cgroup, hash_bytes(0, cgroup, strlen(cgroup)), &added);
	if (!place)
		return -1;
	if (added) {
		*place = (uint32_t)(r->limits.length / sizeof(*limit));
		limit = buffer_extend(&r->limits, sizeof(*limit));
		if (!limit)
			return -1;
		limit->bytes = process_cgroup_limit(cgroup);
	}
	return ((const struct limit *)(void *)r->limits.data)[*place].bytes;
}

/*
 * A program begins without anonymous memory: what it has by now is what it has grown by. A child that goes on in its
 * parent's image got an unknown share of that from it.
 */
static int64_t growth_of(const struct process_stat *s, const struct process_memory *m)
{
	return s->flags & PROCESS_NEVER_EXECED ? -1 : m->anonymous;
}

static int add_process(struct reader *r, pid_t pid)
{
	struct listed_process p = { .pid = pid }, *all;
	const struct process process = { .pid = pid };
	struct process_stat stat_fields;
	char path[32];
	struct stat st;

	if (process_read_stat(pid, &stat_fields) || stat_fields.flags & PROCESS_KERNEL_THREAD ||
		process_is_zombie(&stat_fields))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &st))
		return 0;
	p.uid = st.st_uid;
	memcpy(p.comm, stat_fields.comm, sizeof(p.comm));
	p.age_s = r->uptime_s - (double)stat_fields.start_ticks / (double)sysconf(_SC_CLK_TCK);
	process_read_usage(&process, false, &p.memory);
	p.memory.limit = limit_of(r, pid);
	p.growth = growth_of(&stat_fields, &p.memory);
	if (look_into(r, &p))
		return 0;
	all = realloc(r->list->all, (r->list->count + 1) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	r->list->all = all;
	all[r->list->count++] = p;
	return 0;
}

static int larger_first(const void *a, const void *b)
{
	const struct listed_process *left = a, *right = b;

	if (left->memory.rss != right->memory.rss)
		return left->memory.rss < right->memory.rss ? 1 : -1;
	return left->pid < right->pid ? -1 : left->pid > right->pid;
}

static int read_all(struct reader *r)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	struct timespec now = { 0 };
	int error = 0;

	if (!proc)
		return err(-errno, "cannot read /proc: %s", strerror(errno));
	clock_gettime(CLOCK_BOOTTIME, &now);
	r->uptime_s = (double)now.tv_sec + (double)now.tv_nsec / NS_PER_S;
	while (!error && (entry = readdir(proc))) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid > 0 && pid != getpid())
			error = add_process(r, pid);
	}
	closedir(proc);
	return error ? err(error, "out of memory") : 0;
}

int process_list_read(struct process_list *list)
{
	struct reader r = { .list = list };
	int error = allocator_names(&r.names);

	r.may_look = !privilege_lacking(privilege_effective(), PRIVILEGE_SYS_PTRACE);
	error = error ? err(error, "out of memory") : read_all(&r);
	if (list->count)
		qsort(list->all, list->count, sizeof(*list->all), larger_first);
	buffer_release(&r.names);
	buffer_release(&r.files);
	buffer_release(&r.limits);
	table_release(&r.by_file);
	table_release(&r.by_cgroup);
	return error;
}

void process_list_release(struct process_list *list)
{
	free(list->all);
	*list = (struct process_list){ 0 };
}
