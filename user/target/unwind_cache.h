/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compiled unwind tables on disk, by build id: the next attach reads them. Nothing depends on it, and
 * what it holds is checked as if anyone had written it. Only files that no one but their owner can
 * write, and that root or we own, are cached: else a file that claims another's build id could leave
 * its own rows behind.
 */
#ifndef HEAPTAP_UNWIND_CACHE_H
#define HEAPTAP_UNWIND_CACHE_H

#include "elf.h"
#include "unwind.h"

#define UNWIND_CACHE_FILES 512

/*
 * The directory: $XDG_CACHE_HOME/heaptap, for root otherwise /var/cache/heaptap, for others
 * ~/.cache/heaptap; made if it is missing. A descriptor or -errno, silently.
 */
int unwind_cache_open(void);
/* May the tables of this file be shared by build id, in the cache and between processes? */
bool unwind_may_share(int fd, const struct elf_info *elf, uint64_t *bytes);
/* 0 and a table that unwind_check() accepts in *out; or -errno. dir may be negative. */
int unwind_cache_load(int dir, const struct elf_info *elf, uint64_t bytes, struct buffer *out);
/* As good as it goes; beyond UNWIND_CACHE_FILES the oldest file goes. */
void unwind_cache_store(
	int dir, const struct elf_info *elf, uint64_t bytes, const struct buffer *table);

#endif
