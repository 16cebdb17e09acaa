// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Growth mode: a balance of the resident memory first, each line of it with its sign, so that what is
 * above the last line adds up to it.
 */
#include "../base/units.h"
#include "leaks_text.h"

static void line(const struct printer *p, char sign, uint64_t bytes, const char *what)
{
	char text[UNITS_TEXT];

	buffer_format(p->out, "    %c %12s  %s\n", sign, format_bytes(text, bytes), what);
}

static void signed_line(const struct printer *p, int64_t bytes, const char *what)
{
	line(p, bytes < 0 ? '-' : '+', (uint64_t)(bytes < 0 ? -bytes : bytes), what);
}

/* Nothing beside the smallest figure that is shown is worth a line of red. */
static void end_of_balance(const struct printer *p, const struct growth_figures *g)
{
	int64_t residual = growth_residual(g);

	if (g->end_bytes < 0) {
		line(p, '=', (uint64_t)(g->start_bytes + growth_sum(g)),
			"at the end, as counted: this memory is gone");
		return;
	}
	if (residual)
		signed_line(p, residual,
			"not explained: in lumps that the kernel had not told of yet, or while "
			"this was read");
	paint(p, BOLD);
	line(p, '=', (uint64_t)g->end_bytes, "now (RssAnon)");
	paint(p, PLAIN);
}

static void balance(const struct printer *p, const struct growth_figures *g)
{
#define GROWN(name, key, grown, shrunk, stack)	grown,
#define SHRUNK(name, key, grown, shrunk, stack) shrunk,
	static const char *const grown[] = { HT_GROWTH_CAUSES(GROWN) };
	static const char *const shrunk[] = { HT_GROWTH_CAUSES(SHRUNK) };
#undef GROWN
#undef SHRUNK

	line(p, ' ', (uint64_t)g->start_bytes, "anonymous memory in RAM when tracing began");
	for (int i = 0; i < HT_GROWTH_CAUSE_COUNT; i++)
		if (g->grown[i])
			line(p, '+', g->grown[i], grown[i]);
	for (int i = 0; i < HT_GROWTH_CAUSE_COUNT; i++)
		if (g->shrunk[i])
			line(p, '-', g->shrunk[i], shrunk[i]);
	end_of_balance(p, g);
}

/* What stands beside the balance. */
static void notes(const struct printer *p, const struct growth_figures *g)
{
	const struct process_memory *m = &p->report->figures->memory;
	char a[UNITS_TEXT], b[UNITS_TEXT], c[UNITS_TEXT];

	if (m->rss >= 0)
		buffer_format(p->out, "  RSS %s: files %s, shared memory %s beside it\n",
			format_bytes(a, (uint64_t)m->rss), format_bytes(b, (uint64_t)m->rss_file),
			format_bytes(c, (uint64_t)m->rss_shmem));
	if (m->anon_huge > 0)
		buffer_format(
			p->out, "  huge pages %s of it\n", format_bytes(a, (uint64_t)m->anon_huge));
	if (g->swapped_out || g->swapped_in || g->swap_dropped || g->swap_start_bytes)
		buffer_format(p->out, "  swap: %s out, %s in, %s given up while out\n",
			format_bytes(a, g->swapped_out), format_bytes(b, g->swapped_in),
			format_bytes(c, g->swap_dropped));
	if (g->fork_copied)
		buffer_format(p->out, "  children had %s of it when they were forked\n",
			format_bytes(a, g->fork_copied));
	if (g->mappings)
		buffer_format(p->out,
			"  address space: %s mapped, %s unmapped since, %s of it discarded\n",
			format_bytes(a, g->mapped_bytes), format_bytes(b, g->unmapped_bytes),
			format_bytes(c, g->discarded_bytes));
	if (g->mapping_drops)
		buffer_format(p->out, "  %s changes of mappings are missing: too many at once\n",
			format_count(a, g->mapping_drops));
}

static void losses(const struct printer *p)
{
#define WHAT(name, key, what, remedy) what,
	static const char *const what[] = { HT_UNATTRIBUTED(WHAT) };
#undef WHAT
	const struct snapshot *s = p->report->snapshot;
	char a[UNITS_TEXT];

	for (int i = 0; i < HT_UNATTRIBUTED_REASONS; i++)
		if (s->unattributed[i])
			buffer_format(
				p->out, "  %s %s\n", format_count(a, s->unattributed[i]), what[i]);
	if (s->missed_events)
		buffer_format(p->out,
			"  %s changes unseen when they happened: charged to what came next\n",
			format_count(a, s->missed_events));
	if (s->totals.truncated_count && s->totals.alloc_count)
		buffer_format(p->out, "  %.1f %% of changes have a truncated stack\n",
			100.0 * (double)s->totals.truncated_count / (double)s->totals.alloc_count);
}

static void site(const struct printer *p, const struct site_figures *f)
{
	const struct profile_stack *s = &p->report->profile->stacks[f->stack];
	int64_t growth = leaks_site_growth(f);
	char a[UNITS_TEXT], b[UNITS_TEXT], c[UNITS_TEXT];

	buffer_text(p->out, "\n");
	paint(p, BOLD);
	if (f->domain == HT_DOMAIN_MMAP) {
		buffer_format(p->out, "  %s mapped", format_bytes(a, f->live_bytes));
		paint(p, PLAIN);
		buffer_format(p->out, " by %s call%s, %s unmapped again",
			format_count(b, f->alloc_count), f->alloc_count == 1 ? "" : "s",
			format_bytes(c, f->free_bytes));
	} else {
		buffer_format(p->out, "  %c%s", growth < 0 ? '-' : '+',
			format_bytes(a, (uint64_t)(growth < 0 ? -growth : growth)));
		paint(p, PLAIN);
		buffer_format(
			p->out, " in %s changes", format_count(b, f->alloc_count + f->free_count));
	}
	if (s->flags & HT_STACK_TRUNCATED)
		buffer_text(p->out, ", truncated stack");
	buffer_text(p->out, "\n");
	text_frames(p, s);
	if (!s->frame_count)
		buffer_text(p->out, "      stacks that found no room of their own\n");
}

void growth_render_text(const struct printer *p)
{
	const struct leaks_report *r = p->report;

	balance(p, &r->snapshot->growth);
	notes(p, &r->snapshot->growth);
	losses(p);
	buffer_text(p->out, "  blocks are not followed in this mode: what is live is not known\n");
	for (uint32_t i = 0; i < r->selection->count; i++)
		site(p, &r->snapshot->sites[r->selection->sites[i]]);
	buffer_text(p->out, "\n");
}
