/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What snapshots refer to, once each, under the recording's ids (from 1 on; 0 is none). Kept in memory while a
 * recording is written, so that a transaction that fails can be made again: dictionary_write() writes what came since
 * the last dictionary_written().
 */
#ifndef HEAPTAP_DICTIONARY_H
#define HEAPTAP_DICTIONARY_H

#include "../base/buffer.h"
#include "../base/strings.h"
#include "../base/table.h"
#include "../model/recorded.h"
#include "sql.h"

/* A session's ids: its targets share modules and stacks. */
struct dictionary_scope {
	uint32_t id;
	struct buffer modules; /* uint32_t by the session's module id */
	struct buffer stacks;  /* uint32_t by the session's stack id */
};

struct dictionary_target {
	uint32_t id;
	uint32_t scope;	     /* index */
	struct buffer sites; /* uint32_t by the target's site index */
};

struct dictionary_counts {
	uint32_t strings, modules, target_modules, frames, stacks, sites;
};

struct dictionary {
	struct strings texts;
	struct table string_ids; /* of an interned text */
	struct buffer modules;	 /* struct dictionary_module */
	struct table module_ids;
	struct buffer target_modules; /* struct dictionary_pair */
	struct buffer frames;	      /* uint64_t, with the recording's module ids */
	struct table frame_ids;
	struct table spaces;  /* of raw addresses: by scope and slot */
	struct buffer stacks; /* struct dictionary_stack */
	struct table stack_ids;
	struct buffer stack_frames; /* uint32_t */
	struct buffer sites;	    /* struct dictionary_site */
	struct buffer names;	    /* struct dictionary_name; dropped once written */
	struct dictionary_counts written;
	struct buffer moved_sites; /* uint32_t: their stack became known after they were written */
};

int dictionary_add_profile(
	struct dictionary *d, struct dictionary_scope *scope, const struct profile *tail);
int dictionary_add_names(
	struct dictionary *d, const struct dictionary_scope *scope, const struct names *names);
/* The target maps a module of its scope. 0 or -ENOMEM. */
int dictionary_add_mapping(struct dictionary *d, const struct dictionary_target *t,
	const struct dictionary_scope *scope, uint32_t module);
/* The recording's id of a site, up to SITE_MAX; 0: no memory, or more sites than that. */
uint32_t dictionary_site(struct dictionary *d, struct dictionary_target *t,
	const struct dictionary_scope *scope, uint32_t index, const struct site_figures *f);

/* Inside a transaction: SQLite's code. */
int dictionary_write(struct dictionary *d, struct sql *sql);
/* The transaction is committed. */
void dictionary_written(struct dictionary *d);
bool dictionary_has_news(const struct dictionary *d);
void dictionary_release(struct dictionary *d);
void dictionary_scope_release(struct dictionary_scope *scope);
void dictionary_target_release(struct dictionary_target *t);

#endif
