/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables of a recording, one SQLite file. What they mean stands in the statements themselves, so that
 * `sqlite3 FILE .schema` shows it:
 *
 *   target     a program image of one process          meta: who recorded, when, where
 *     site       -> target, stack, domain, thread      what figures are about
 *       stack      -> frames, the allocating call first
 *         frame      -> module, address -> name: functions inlined there, files and lines
 *     snapshot   totals, process and host at a moment  loss: what was lost, and why
 *       change     what a site's figures have grown by since the snapshot before; whole in a keyframe
 *
 * The program id (PRAGMA application_id) says that a file is a recording, the user version which schema.
 */
#ifndef HEAPTAP_SCHEMA_H
#define HEAPTAP_SCHEMA_H

#include <stddef.h>

#define SCHEMA_APPLICATION_ID 0x68746170 /* "htap" */
#define SCHEMA_VERSION	      1

struct schema_table {
	const char *name;
	const char *sql; /* as SQLite keeps it: a reader compares */
};

extern const struct schema_table schema_tables[];
extern const size_t schema_table_count;
/* Indexes and views, which only people need. */
extern const char schema_extras[];

#endif
