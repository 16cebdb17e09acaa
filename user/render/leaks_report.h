/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A leak report: what it shows, and its two forms. */
#ifndef HEAPTAP_LEAKS_REPORT_H
#define HEAPTAP_LEAKS_REPORT_H

#include "../base/buffer.h"
#include "../model/leaks.h"
#include "../model/profile.h"
#include "../symbol/symbolizer.h"
#include "../target/process.h"

/* What stands beside the snapshot, taken at the same time. */
struct report_figures {
	struct process_memory memory;
	struct host_usage host;
	double elapsed_s;  /* since armed */
	double interval_s; /* since the report before */
	const char *ended; /* NULL: it goes on; else why it ended, as in JSON; a constant */
	const char *link;  /* how probes are attached; a constant */
	bool for_all;	   /* they reach processes that are no targets, which pay for them too */
	uint64_t missed_processes; /* that should have been followed, and were not */
};

struct report_target {
	const struct process *process;
	const uint32_t *allocators; /* modules of the profile */
	uint32_t allocator_count;
};

struct leaks_report {
	const struct report_target *targets; /* one, unless it is of all together */
	uint32_t target_count;
	bool together;
	const struct profile *profile;
	const struct snapshot *snapshot;
	const struct symbolizer *symbols;
	const struct leaks_selection *selection;
	const struct report_figures *figures;
};

/* One object on one line: schema heaptap/1, kind "leaks". */
void leaks_render_json(const struct leaks_report *r, struct buffer *out);

struct text_style {
	bool color;
	bool full_paths;
	bool link; /* says how probes are attached */
};
void leaks_render_text(
	const struct leaks_report *r, const struct text_style *style, struct buffer *out);

#endif
