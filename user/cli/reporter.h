/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes reports beside the tracing: names, for which a debug file of a gigabyte or a server may have to be asked,
 * are looked up in a thread of its own, so that the loop that serves the kernel half never waits for them.
 *
 *   loop:    session_read() --> reporter_submit()                      reporter_take() --> output
 *                                  | what is new: modules, stacks        ^
 *   thread:                        +-> names --> text or JSON -----------+
 *
 * What travels is copied or moved; thread and session share nothing.
 */
#ifndef HEAPTAP_REPORTER_H
#define HEAPTAP_REPORTER_H

#include "../render/leaks_report.h"
#include "../trace/session.h"
#include "output.h"

struct report_form {
	bool json;
	enum leaks_filter filter;
	uint32_t top; /* stacks; 0: all */
	struct text_style style;
};

struct reporter;

/* Starts the thread; it inherits the signal mask. NULL after a message. */
struct reporter *reporter_new(const struct report_form *form);
/* What is submitted from here on is about another session. 0, or -ENOMEM after a message. */
int reporter_begin(struct reporter *r, const struct session *session);
/*
 * Hands over readings of the session begun last, and the figures of each; `together`: of a report of all of them, or
 * NULL. Names are looked up later. Takes the readings over, also on failure. 0, or -ENOMEM after a message.
 */
int reporter_submit(struct reporter *r, const struct session *session, struct readings *readings,
	const struct report_figures *figures, const struct report_figures *together);
/* Reports submitted and not yet taken. */
uint32_t reporter_pending(const struct reporter *r);
/* Readable once a report is ready to be taken. */
int reporter_fd(const struct reporter *r);
/* Moves the reports that are ready to the output. 0, or -errno after a message. */
int reporter_take(struct reporter *r, struct output *output);
/*
 * Waits for the reports that are pending, and writes meanwhile. A signal ends the search for names: the reports come
 * with those that are known. 0, or -errno after a message.
 */
int reporter_finish(struct reporter *r, struct output *output, int signal_fd);
void reporter_free(struct reporter *r); /* NULL is allowed */

#endif
