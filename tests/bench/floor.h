/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Empty probes on malloc and free: what no tracer that uses the same probes can be cheaper than. */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

/* Where a probe stands. */
struct floor_place {
	char path[PATH_MAX];
	uint64_t offset; /* in the file, bytes */
};

struct floor_places {
	struct floor_place alloc;   /* malloc */
	struct floor_place release; /* free */
};

enum floor_kind {
	FLOOR_P, /* session on malloc, entry on free */
	FLOOR_E, /* entry on both */
};

struct floor_links {
	int fds[2]; /* -1: none */
};
#define FLOOR_LINKS_INIT                                                                           \
	{                                                                                          \
		{                                                                                  \
			-1, -1                                                                     \
		}                                                                                  \
	}

/*
 * The places in the libc of this process, which the target shares: malloc's first instruction when
 * that is a push, and behind free's NULL test when a push follows it. Else the entries, where the
 * probes cost more.
 */
int floor_discover(struct floor_places *places);

/*
 * The places in the text of `heaptap leaks --dry-run`, lines of KIND OFFSET FUNCTION INSTRUCTION...
 * PATH. Prefers the module of `places`, whose contents it replaces. -ENOENT, and places untouched:
 * not both of malloc and free are there.
 */
int floor_parse_plan(const char *plan, struct floor_places *places);

struct floor;

/* Loads the programs once for all attaches; floor_unload(NULL) does nothing. */
int floor_load(struct floor **floor);
void floor_unload(struct floor *floor);

int floor_attach(struct floor *floor, enum floor_kind kind, const struct floor_places *places,
	pid_t pid, struct floor_links *links);
void floor_detach(struct floor_links *links);

#endif
