/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which sites a leak report lists, in which order. */
#ifndef HEAPTAP_LEAKS_H
#define HEAPTAP_LEAKS_H

#include "profile.h"

struct leaks_selection {
	uint32_t *sites; /* indices of the snapshot's sites, worst first */
	uint32_t count;
};

enum leaks_filter {
	LEAKS_ALL,    /* every site that was ever used */
	LEAKS_AGED,   /* sites that hold a block of the minimum age */
	LEAKS_GROWTH, /* growth mode: see below */
};

/*
 * Growth mode: first what grew, by how much, then what shrank, then who maps address space; `top` is of each. Sites
 * that are where they were come only without a limit, behind those that shrank.
 *
 * Else: by outstanding (aged) bytes, then live bytes, then allocated ones. top 0: no limit. 0 or -ENOMEM.
 */
int leaks_select(const struct snapshot *s, enum leaks_filter filter, uint32_t top,
	struct leaks_selection *selection);
/* What a site has grown by, in growth mode. */
int64_t leaks_site_growth(const struct site_figures *f);
void leaks_release(struct leaks_selection *selection);

#endif
