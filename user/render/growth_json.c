// SPDX-License-Identifier: GPL-2.0-or-later
#include "growth_json.h"

static void causes(struct json *j, const struct growth_figures *g)
{
#define KEY(name, key, grown, shrunk, stack) key,
	static const char *const keys[] = { HT_GROWTH_CAUSES(KEY) };
#undef KEY

	json_open(j, "causes", '{');
	for (int i = 0; i < HT_GROWTH_CAUSE_COUNT; i++) {
		json_open(j, keys[i], '{');
		json_uint(j, "grown_bytes", g->grown[i]);
		json_uint(j, "shrunk_bytes", g->shrunk[i]);
		json_close(j, '}');
	}
	json_close(j, '}');
}

static void swap(struct json *j, const struct growth_figures *g)
{
	json_open(j, "swap", '{');
	json_int(j, "start_bytes", g->swap_start_bytes);
	json_uint(j, "out_bytes", g->swapped_out);
	json_uint(j, "in_bytes", g->swapped_in);
	json_uint(j, "dropped_bytes", g->swap_dropped);
	json_bytes(j, "end_bytes", g->swap_end_bytes);
	json_close(j, '}');
}

static void mappings(struct json *j, const struct growth_figures *g)
{
	if (!g->mappings) {
		json_null(j, "mappings");
		return;
	}
	json_open(j, "mappings", '{');
	json_uint(j, "mapped_bytes", g->mapped_bytes);
	json_uint(j, "unmapped_bytes", g->unmapped_bytes);
	json_uint(j, "discarded_bytes", g->discarded_bytes);
	json_uint(j, "dropped_events", g->mapping_drops);
	json_close(j, '}');
}

void growth_render_json(struct json *j, const struct leaks_report *r)
{
	const struct growth_figures *g =
		r->snapshot->growth.counted ? &r->snapshot->growth : &r->snapshot->trend;
	const struct process_memory *m = &r->figures->memory;

	json_open(j, "growth", '{');
	json_int(j, "start_bytes", g->start_bytes);
	json_int(j, "sum_bytes", growth_sum(g));
	json_bytes(j, "end_bytes", g->end_bytes);
	if (g->end_bytes < 0)
		json_null(j, "residual_bytes");
	else
		json_int(j, "residual_bytes", growth_residual(g));
	json_uint(j, "skew_bytes", g->skew_bytes);
	json_uint(j, "fork_copied_bytes", g->fork_copied);
	json_bytes(j, "anon_huge_bytes", m->anon_huge);
	json_bytes(j, "rss_file_bytes", m->rss_file);
	json_bytes(j, "rss_shmem_bytes", m->rss_shmem);
	causes(j, g);
	swap(j, g);
	mappings(j, g);
	json_close(j, '}');
}

void growth_render_site(struct json *j, const struct site_figures *f)
{
	if (f->domain == HT_DOMAIN_MMAP) {
		json_uint(j, "mapped_bytes", f->live_bytes);
		json_uint(j, "map_count", f->alloc_count);
		json_uint(j, "map_bytes", f->alloc_bytes);
		json_uint(j, "unmapped_bytes", f->free_bytes);
		json_uint(j, "discarded_bytes", f->discarded_bytes);
		return;
	}
	json_int(j, "growth_bytes", leaks_site_growth(f));
	json_uint(j, "grown_count", f->alloc_count);
	json_uint(j, "grown_bytes", f->alloc_bytes);
	json_uint(j, "shrunk_count", f->free_count);
	json_uint(j, "shrunk_bytes", f->free_bytes);
}
