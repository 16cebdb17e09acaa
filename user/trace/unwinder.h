/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unwind tables of modules, where the kernel half reads them. A module's table is compiled, or read from
 * the cache, once, whatever the number of processes that map it, and stays until the session ends: a
 * walk that runs never sees one change.
 */
#ifndef HEAPTAP_UNWINDER_H
#define HEAPTAP_UNWINDER_H

#include "../base/table.h"
#include "../model/profile.h"
#include "../target/image.h"
#include "../target/unwind.h"
#include "kernel.h"

struct unwinder {
	int fds[HT_UNWIND_SEGMENTS];
	uint32_t *segments[HT_UNWIND_SEGMENTS]; /* mapped */
	uint32_t segment_count;
	struct ht_unwind_table *tables; /* mapped */
	uint32_t table_count;
	uint64_t next_word;
	uint64_t max_words;
	struct table known; /* identity of a file -> table id, 0: it has none */
	int cache;	    /* directory, or negative */
	bool cache_opened, told_full;
	/* What has been done so far. */
	uint64_t rows;
	uint64_t unsupported_rows;
	uint32_t compiled, from_cache, without, no_room;
	uint64_t spent_ns;
	int64_t newest_ns; /* from the last mapping that came late to its rows; -1: none came */
};

/* Before the load: the first segment, as the pattern of all. 0 or -errno. */
int unwinder_configure(struct unwinder *u, struct kernel *kernel, uint64_t max_bytes);
/* After the load. 0 or -errno. */
int unwinder_map(struct unwinder *u, struct kernel *kernel);
/*
 * The table of a module, made if it is new; 0: it has none, or there is no room. When this returns the
 * kernel half can walk by it.
 */
uint32_t unwinder_table(struct unwinder *u, struct kernel *kernel, const struct module *module);
uint64_t unwinder_bytes(const struct unwinder *u);
void unwinder_figures(const struct unwinder *u, struct unwind_figures *f);
void unwinder_release(struct unwinder *u);

#endif
