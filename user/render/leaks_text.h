/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the text forms of the modes share. */
#ifndef HEAPTAP_LEAKS_TEXT_H
#define HEAPTAP_LEAKS_TEXT_H

#include <string.h>

#include "../base/utf8.h"
#include "leaks_report.h"

struct printer {
	const struct leaks_report *report;
	const struct text_style *style;
	struct buffer *out;
};

#define BOLD  "\033[1m"
#define DIM   "\033[2m"
#define RED   "\033[31m"
#define GREEN "\033[32m"
#define PLAIN "\033[0m"

static inline void paint(const struct printer *p, const char *code)
{
	if (p->style->color)
		buffer_text(p->out, code);
}

static inline void clean(const struct printer *p, const char *text)
{
	utf8_append_printable(p->out, text);
}

/* The frames of a stack, a line each. */
void text_frames(const struct printer *p, const struct profile_stack *s);

/* Growth mode's report: all between its heading and its last line. */
void growth_render_text(const struct printer *p);

#endif
