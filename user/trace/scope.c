// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whom links are for. A link for one process costs the others nothing, but each process that is a
 * target pays 90 ns a pair for every other link on the same file. So up to FILTERED_MAX targets of a
 * file have a link each; more share one for all processes, which those that are no targets pay for too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "session_internal.h"

#define FILTERED_MAX 4

bool session_reaches_all(const struct session *s)
{
	return s->reaches_all;
}

static void publish_check(struct session *s)
{
	__atomic_store_n(
		&s->tables.control->check_links, s->ambiguous || s->exchanging, __ATOMIC_RELEASE);
}

/* Overlay mounts over one lower directory show one file under two devices: its links fire for both. */
static bool may_be_one(const struct module *a, const struct module *b)
{
	const struct elf_info *x = module_elf(a), *y = module_elf(b);
	struct stat p, q;

	if (!x || !y || x->build_id_length != y->build_id_length ||
		memcmp(x->build_id, y->build_id, x->build_id_length))
		return false;
	return !fstat(a->fd, &p) && !fstat(b->fd, &q) && p.st_size == q.st_size;
}

/* The file's number, given at first sight. Negative: -ENOMEM, -ENOSPC. */
static int64_t number_of(struct session *s, uint32_t module)
{
	struct linked_file *all;
	uint32_t n = s->linked_file_count;

	for (uint32_t i = 0; i < n; i++)
		if (s->linked_files[i].module == module)
			return i;
	if (n == HT_LINKED_FILES)
		return err(-ENOSPC, "more than %d files with allocators: %s is not traced",
			HT_LINKED_FILES, s->image.modules[module].path);
	all = realloc(s->linked_files, (n + 1UL) * sizeof(*all));
	if (!all)
		return err(-ENOMEM, "out of memory");
	s->linked_files = all;
	for (uint32_t i = 0; i < n && !s->ambiguous; i++)
		s->ambiguous =
			may_be_one(&s->image.modules[all[i].module], &s->image.modules[module]);
	all[n] = (struct linked_file){ .module = module };
	s->tables.linked_files[n] = (struct ht_linked){ .module = module };
	s->linked_file_count++;
	publish_check(s);
	return n;
}

static int attach(struct session *s, uint32_t number, pid_t pid)
{
	uint32_t module = s->linked_files[number].module;
	uint64_t tag = (uint64_t)number << HT_COOKIE_FILE_SHIFT |
		       (uint64_t)!pid << HT_COOKIE_FOR_ALL_SHIFT;

	return links_attach(
		&s->links, &s->kernel, &s->plan, module, &s->image.modules[module], pid, tag);
}

void scope_tell_reach(struct session *s)
{
	if (!s->reaches_all || s->told_reach)
		return;
	s->told_reach = true;
	if (s->kernel.for_all)
		info("the kernel's probes for one process miss its threads: they reach all "
		     "processes on the same files, and count targets only");
	else
		info("probes reach all processes that use the same allocators: those that are no "
		     "targets pay for two traps at each malloc and free");
}

static uint32_t users_of(const struct session *s, uint32_t module)
{
	uint32_t users = 0;

	for (uint32_t i = 0; i < s->target_count; i++)
		users +=
			s->targets[i]->state == TARGET_TRACED && target_maps(s->targets[i], module);
	return users;
}

static bool is_linked(const struct session *s, uint32_t module)
{
	for (uint32_t i = 0; i < s->links.count; i++)
		if (s->links.owners[i].module == module)
			return true;
	return false;
}

/* One link for all, instead of those for single processes. */
static int widen(struct session *s, uint32_t number)
{
	struct linked_file *file = &s->linked_files[number];
	int error;

	/* While both are there, one of them counts: first the old ones, then, by one store, the new one. */
	if (is_linked(s, file->module)) {
		s->exchanging = true;
		publish_check(s);
		tables_synchronize(&s->tables, &s->kernel);
	}
	error = attach(s, number, 0);
	if (error)
		return error;
	__atomic_store_n(&s->tables.linked_files[number].for_all, 1, __ATOMIC_RELEASE);
	file->for_all = s->reaches_all = true;
	s->closing_since_ns = clock_monotonic_ns();
	return links_move_module(&s->links, file->module, &s->closing);
}

/* Perf uprobes of a process are those of its first thread, and fall silent when that exits. */
static bool wants_wide(const struct session *s, const struct target *t, uint32_t module)
{
	return s->wide || s->kernel.for_all || users_of(s, module) > FILTERED_MAX ||
	       process_live_thread(&t->process) != t->process.pid;
}

static int attach_module(struct session *s, struct target *t, uint32_t module)
{
	pid_t pid = t->process.pid;
	int64_t number = number_of(s, module);

	if (number < 0)
		return (int)number;
	if (s->linked_files[number].for_all)
		return 0;
	if (s->kernel.kind == LINK_PERF && process_live_thread(&t->process) != pid)
		return widen(s, (uint32_t)number);
	if (links_has(&s->links, module, pid))
		return 0;
	if (wants_wide(s, t, module))
		return widen(s, (uint32_t)number);
	return attach(s, (uint32_t)number, pid);
}

static int attach_all(struct session *s, struct target *t, const struct target *maps)
{
	/* Growth has none; and what is out comes in again for whoever is there then. */
	if (s->mode == HT_MODE_GROWTH || s->governing.out_ns)
		return 0;
	for (uint32_t i = 0; i < maps->range_count; i++) {
		uint32_t module = maps->ranges[i].module;
		int error = 0;

		if (module != HT_MODULE_NONE && s->image.modules[module].allocator)
			error = attach_module(s, t, module);
		if (error)
			return process_ended(&t->process) ? -ESRCH : error;
	}
	return 0;
}

int scope_attach(struct session *s, struct target *t)
{
	return attach_all(s, t, t);
}

int scope_attach_ahead(struct session *s, struct target *t, const struct target *from)
{
	return attach_all(s, t, from);
}

void scope_leave(struct session *s, const struct target *t)
{
	struct links gone = { 0 };

	/* The program that runs in the process now may have the same pid, and needs them. */
	for (uint32_t i = 0; i < s->target_count; i++)
		if (s->targets[i] != t && s->targets[i]->state != TARGET_ENDED &&
			s->targets[i]->process.pid == t->process.pid)
			return;
	/* No call of it is in flight: they can go at once. */
	if (links_move_process(&s->links, t->process.pid, &gone))
		debug("the links of pid %d stay: no memory", t->process.pid);
	links_begin_close(&gone);
	if (links_move_process(&gone, t->process.pid, &s->closing))
		links_close(&gone);
	s->closing_since_ns = clock_monotonic_ns();
	free(gone.keepers);
	free(gone.owners);
}

void scope_clean_up(struct session *s)
{
	if (!s->closing.count || clock_monotonic_ns() - s->closing_since_ns < DRAIN_MS * NS_PER_MS)
		return;
	links_close(&s->closing);
	s->exchanging = false;
	publish_check(s);
}

void scope_take_out(struct session *s)
{
	links_begin_close(&s->closing);
	links_close(&s->links);
	links_close(&s->closing);
	s->exchanging = false;
	for (uint32_t i = 0; i < s->linked_file_count; i++) {
		s->linked_files[i].for_all = false;
		s->tables.linked_files[i].for_all = 0;
	}
	publish_check(s);
}

void scope_close(struct session *s)
{
	links_begin_close(&s->closing);
	links_close(&s->links);
	links_close(&s->closing);
	free(s->linked_files);
	s->linked_files = NULL;
	s->linked_file_count = 0;
}
