/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which stacks are shown, as tracemalloc.Filter has it: globs on names, to include or to exclude, and sizes.
 *
 *   EXPR = TERM[,TERM...]
 *   TERM = [!][direct.]KEY=GLOB    KEY: module, function, file. Any function on the stack, or with "direct."
 *                                  the caller of the allocator, matches; a path also by its last part
 *        | size>=BYTES | size<=BYTES    of what the stack holds in the view
 *
 * Shown is what no "!" term matches, and, for each key that has terms without "!", one of these does.
 */
#ifndef HEAPTAP_FILTER_H
#define HEAPTAP_FILTER_H

#include <stdbool.h>

#include "places.h"

#define FILTER_MAX_TERMS 32

enum filter_key { FILTER_MODULE, FILTER_FUNCTION, FILTER_FILE, FILTER_KEYS };

struct filter_term {
	enum filter_key key;
	bool exclude, direct;
	char *glob;
};

struct filter {
	struct filter_term terms[FILTER_MAX_TERMS];
	uint32_t count;
	uint64_t min_bytes, max_bytes; /* of a site; UINT64_MAX: no limit */
};

/* 0, or -EINVAL or -ENOMEM after a message. NULL text: everything is shown. */
int filter_parse(struct filter *f, const char *text);
void filter_release(struct filter *f);
/* By place: a bit for each term that matches it. The caller frees it. NULL: no memory. */
uint32_t *filter_masks(const struct filter *f, const struct places *p);
/* stack: CODE_NONE: not known. bytes: what it holds in the view. */
bool filter_shows(const struct filter *f, const uint32_t *masks, const struct places *p,
	uint32_t stack, uint64_t bytes);

#endif
