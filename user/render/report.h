/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a recording holds at a snapshot, in the view asked for, and its forms. */
#ifndef HEAPTAP_REPORT_H
#define HEAPTAP_REPORT_H

#include "../model/compare.h"
#include "../model/group.h"
#include "../model/tree.h"
#include "../store/reader.h"
#include "listing.h"
#include "stream.h"

enum report_view {
	VIEW_LIVE,
	VIEW_LEAKS,
	VIEW_ALLOC,
	VIEW_PEAK,
	VIEW_TEMPORARY,
	VIEW_GROWTH,
	VIEW_TIMELINE,
	VIEW_SIZES,
};
#define REPORT_VIEW_CHOICES "live|leaks|alloc|peak|temporary|growth|timeline|sizes"

/* The figure that a view is about. */
enum metric view_metric(enum report_view view);
const char *view_name(enum report_view view);
const char *group_by_name(enum group_by by);

/* One target at one snapshot. */
struct heap {
	const struct recording *recording;
	const struct recorded_target *target;
	const struct recorded_snapshot *at, *start; /* start: of the same target, NULL: not kept */
	const struct recorded_snapshot *peak;	    /* that had most live bytes, up to `at` */
	const struct snapshot *figures;		    /* with sites */
	const struct places *places;
};

struct report {
	enum report_view view;
	const struct heap *heap;
	const struct grouping *grouping; /* sorted */
	const char *filter;		 /* as given; NULL: none */
	uint32_t top;			 /* 0: all */
};

struct diff {
	enum report_view view; /* of which figure */
	const struct heap *old, *new;
	const struct comparison *comparison;
	const char *filter;
	uint32_t top;
	double elapsed_s; /* between the two; below 0: not known */
};

struct report_style {
	bool color, full_paths;
};

/* In the order of the choices. */
enum report_format {
	FORMAT_TEXT,
	FORMAT_JSON,
	FORMAT_LINES,
	FORMAT_CSV,
	FORMAT_FOLDED,
	FORMAT_PPROF
};
#define FORMAT_CHOICES "text|json|jsonl|csv|folded|pprof"

/* In any of the forms below. What fails is in the stream. */
void report_render(const struct report *r, enum report_format format, struct report_style style,
	struct stream *out);
void diff_render(const struct diff *d, enum report_format format, struct report_style style,
	struct stream *out);

void report_render_text(
	const struct report *r, const struct report_style *style, struct stream *out);
void report_render_json(const struct report *r, struct stream *out);
void report_render_lines(const struct report *r, struct stream *out);
void report_render_csv(const struct report *r, struct stream *out);
/* "root;...;leaf BYTES", a line a stack. */
void report_render_folded(const struct report *r, struct stream *out);
/* A gzip'ed profile.proto. */
void report_render_pprof(const struct report *r, struct stream *out);

void diff_render_text(const struct diff *d, const struct report_style *style, struct stream *out);
void diff_render_json(const struct diff *d, struct stream *out);
void diff_render_lines(const struct diff *d, struct stream *out);
void diff_render_csv(const struct diff *d, struct stream *out);
/* "root;...;leaf OLD NEW", as difffolded.pl makes it. */
void diff_render_folded(const struct diff *d, struct stream *out);
/* New minus old, negative where it shrank: what pprof -diff_base shows of two profiles. */
void diff_render_pprof(const struct diff *d, struct stream *out);

/* One object of several processes together: "scope":"all". snapshots: indices, one a process. */
void all_render_json(enum report_view view, const struct recording *r, const uint32_t *snapshots,
	uint32_t count, struct stream *out);

/* --- other views ---------------------------------------------------------------------------------- */

struct tree_report {
	enum report_view view;
	const struct heap *heap;
	const struct tree *tree;
	bool bottom_up, all;
	const char *filter;
};
void tree_render_text(
	const struct tree_report *r, const struct report_style *style, struct stream *out);
void tree_render_json(const struct tree_report *r, struct stream *out);

/* Files by their bytes, and in them the lines that have some. */
struct source_report {
	enum report_view view;
	const struct heap *heap;
	const struct grouping *grouping; /* BY_LINE */
	uint32_t top;			 /* files */
};
void source_render_text(
	const struct source_report *r, const struct report_style *style, struct stream *out);

/* Rows that are not groups. */
struct listing_report {
	enum report_view view;
	const struct heap *heap;
	const struct listing *listing;
	const char *title, *filter;
};
/* The snapshots of the heap's target. top: about so many, 0 for all. 0 or -ENOMEM. */
int timeline_rows(const struct heap *h, uint32_t top, struct listing *l);
/*
 * Stacks by the average size of what they allocate, in powers of two: of single blocks a recording knows no size.
 * 0 or -ENOMEM.
 */
int size_rows(const struct heap *h, const struct filter *f, struct listing *l);
void listing_report_text(
	const struct listing_report *r, const struct report_style *style, struct stream *out);
void listing_report_json(const struct listing_report *r, struct stream *out);
void listing_report_lines(const struct listing_report *r, struct stream *out);
void listing_report_csv(const struct listing_report *r, struct stream *out);

/* --- parts that reports and differences share ---------------------------------------------------- */

/* Lines about the target, the moment, and the process. */
void heap_heading_text(const struct heap *h, const struct report_style *style, struct buffer *out);
/* Members of an object: target, mode, totals, health, process, host. */
void heap_members_json(const struct heap *h, struct json *j);
/*
 * The rows; all: also those of which the view's figure is 0. The caller releases both; texts must live as long as the
 * listing. 0 or -ENOMEM.
 */
int report_rows(const struct report *r, bool all, struct listing *l, struct strings *texts);
int diff_rows(const struct diff *d, bool all, struct listing *l, struct strings *texts);
/* Rows that a limit leaves. */
uint32_t shown_rows(uint32_t count, uint32_t top);

#endif
