/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line on a terminal about what takes longer than a second; nothing where stderr is no terminal, or with -q.
 * One thread, one at a time.
 */
#ifndef HEAPTAP_PROGRESS_H
#define HEAPTAP_PROGRESS_H

/* what: "reading FILE"; it must live until the end. */
void progress_begin(const char *what);
/* Cheap enough for inner loops that take a microsecond; says how long it has taken so far. */
void progress_tick(void);
/* Takes the line away. */
void progress_end(void);

#endif
