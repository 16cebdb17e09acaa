// SPDX-License-Identifier: GPL-2.0-or-later
/* A tree of functions, as text and JSON. */
#include "../base/units.h"
#include "../base/utf8.h"
#include "frames.h"
#include "report.h"

/* In text functions with less are left out, unless all are asked for. */
#define LEAST_PART 200

static bool is_shown(const struct tree_report *r, const struct tree_node *n)
{
	return r->all || n->total_bytes > r->tree->nodes[0].total_bytes / LEAST_PART;
}

static uint32_t shown_children(const struct tree_report *r, const struct tree_node *n)
{
	uint32_t count = 0;

	for (uint32_t c = n->first_child; c; c = r->tree->nodes[c].next)
		count += is_shown(r, &r->tree->nodes[c]);
	return count;
}

static void name_text(const struct tree_node *n, struct buffer *out)
{
	if (!n->place) {
		buffer_text(out, "[no stack]");
		return;
	}
	frame_name(n->place->function, n->place->address, NULL, out);
	buffer_text(out, " (");
	utf8_append_printable(
		out, n->place->module ? place_base_name(n->place->module) : "no file");
	buffer_text(out, ")");
}

static double part(uint64_t a, uint64_t b)
{
	return b ? 100 * (double)a / (double)b : 0;
}

/* Only where there is a choice does a line move in: stacks are deep, and screens are not wide. */
static void node_text(
	const struct tree_report *r, uint32_t node, uint32_t indent, struct stream *out)
{
	const struct tree_node *n = &r->tree->nodes[node];
	uint32_t children = shown_children(r, n);
	char total[UNITS_TEXT], self[UNITS_TEXT];

	if (node) {
		buffer_format(&out->text, "  %9s  %5.1f %%  %9s  %*s",
			format_bytes(total, n->total_bytes),
			part(n->total_bytes, r->tree->nodes[0].total_bytes),
			format_bytes(self, n->self_bytes), (int)indent, "");
		name_text(n, &out->text);
		buffer_text(&out->text, "\n");
		stream_relieve(out);
	}
	for (uint32_t c = n->first_child; c; c = r->tree->nodes[c].next)
		if (is_shown(r, &r->tree->nodes[c]))
			node_text(r, c, indent + (children > 1 && node ? 2 : 0), out);
}

void tree_render_text(
	const struct tree_report *r, const struct report_style *style, struct stream *out)
{
	const struct tree_node *root = &r->tree->nodes[0];
	char bytes[UNITS_TEXT], count[UNITS_TEXT];

	heap_heading_text(r->heap, style, &out->text);
	buffer_format(&out->text,
		"  %s %s: %s (%llu bytes) in %s blocks%s\n\n%s      TOTAL    SHARE       SELF  "
		"FUNCTION%s\n",
		view_name(r->view), r->bottom_up ? "bottom-up" : "top-down",
		format_bytes(bytes, root->total_bytes), (unsigned long long)root->total_bytes,
		format_count(count, root->total_count),
		r->all ? "" : "; what is below 0.5 % is left out", style->color ? "\033[1m" : "",
		style->color ? "\033[0m" : "");
	node_text(r, 0, 0, out);
	buffer_text(&out->text, "\n");
	stream_flush(out);
}

static void node_json(
	const struct tree_report *r, uint32_t node, struct json *j, struct stream *out)
{
	const struct tree_node *n = &r->tree->nodes[node];

	json_string(j, "function", n->place ? n->place->function : NULL);
	json_string(j, "module", n->place ? n->place->module : NULL);
	json_uint(j, "total_bytes", n->total_bytes);
	json_uint(j, "total_count", n->total_count);
	json_uint(j, "self_bytes", n->self_bytes);
	json_uint(j, "self_count", n->self_count);
	json_open(j, "children", '[');
	for (uint32_t c = n->first_child; c; c = r->tree->nodes[c].next) {
		json_open(j, NULL, '{');
		node_json(r, c, j, out);
		json_close(j, '}');
		stream_relieve(out);
	}
	json_close(j, ']');
}

void tree_render_json(const struct tree_report *r, struct stream *out)
{
	struct json j = { .out = &out->text };

	json_open(&j, NULL, '{');
	json_string(&j, "schema", "heaptap/1");
	json_string(&j, "kind", "report");
	json_string(&j, "scope", "process");
	json_string(&j, "view", view_name(r->view));
	json_string(&j, "filter", r->filter);
	heap_members_json(r->heap, &j);
	json_string(&j, "direction", r->bottom_up ? "bottom-up" : "top-down");
	json_open(&j, "tree", '{');
	node_json(r, 0, &j, out);
	json_close(&j, '}');
	json_close(&j, '}');
	buffer_text(&out->text, "\n");
	stream_flush(out);
}
