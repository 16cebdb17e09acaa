// SPDX-License-Identifier: GPL-2.0-or-later
#include "frames.h"

#include <inttypes.h>
#include <string.h>

#include "../base/utf8.h"
#include "../model/places.h"

static const struct code_module *module_of(const struct code *c, const struct code_frame *f)
{
	return f->module == CODE_NONE ? NULL : code_module(c, f->module);
}

void frame_name(const char *function, uint64_t address, const char *module, struct buffer *out)
{
	if (function)
		utf8_append_printable(out, function);
	else
		buffer_format(out, "0x%" PRIx64, address);
	if (!function && module) {
		buffer_text(out, " in ");
		utf8_append_printable(out, place_base_name(module));
	}
}

static void line_text(const struct code *c, const struct code_frame *f, uint32_t l, bool full_paths,
	struct buffer *out)
{
	const struct code_level *level = code_level(c, f->first_level + l);
	const struct code_module *m = module_of(c, f);
	bool inlined = l + 1 < f->level_count;

	buffer_text(out, "      ");
	if (level->function) {
		utf8_append_printable(out, level->function);
		if (!inlined)
			buffer_format(out, "+0x%" PRIx64, f->function_offset);
	} else {
		buffer_format(out, "0x%" PRIx64, f->address);
	}
	if (inlined)
		buffer_text(out, " (inlined)");
	if (level->file) {
		buffer_text(out, " ");
		utf8_append_printable(out, full_paths ? level->file : place_base_name(level->file));
		buffer_format(out, ":%u", level->line);
	}
	buffer_text(out, " (");
	if (m)
		utf8_append_printable(out, full_paths ? m->path : place_base_name(m->path));
	else
		buffer_text(out, !strcmp(f->kind, "jit") ? "JIT" : "no file");
	buffer_text(out, ")\n");
}

void frames_text(const struct code *c, uint32_t stack, bool full_paths, struct buffer *out)
{
	const struct code_stack *s = stack == CODE_NONE ? NULL : code_stack(c, stack);

	for (uint32_t i = 0; s && i < s->frame_count; i++) {
		const struct code_frame *f = code_stack_frame(c, s, i);

		for (uint32_t l = 0; l < f->level_count; l++)
			line_text(c, f, l, full_paths, out);
	}
	if (!s || !s->frame_count)
		buffer_text(out, "      allocations that found no room for a stack of their own\n");
	else if (s->truncated)
		buffer_text(out, "      (truncated)\n");
}

void frames_json(const struct code *c, uint32_t stack, struct json *j)
{
	const struct code_stack *s = stack == CODE_NONE ? NULL : code_stack(c, stack);

	json_open(j, "frames", '[');
	for (uint32_t i = 0; s && i < s->frame_count; i++) {
		const struct code_frame *f = code_stack_frame(c, s, i);
		const struct code_module *m = module_of(c, f);

		for (uint32_t l = 0; l < f->level_count; l++) {
			const struct code_level *level = code_level(c, f->first_level + l);

			json_open(j, NULL, '{');
			json_string(j, "function", level->function);
			json_string(j, "file", level->file);
			if (level->line)
				json_uint(j, "line", level->line);
			else
				json_null(j, "line");
			json_string(j, "module", m ? m->path : NULL);
			json_string(j, "build_id", m ? m->build_id : NULL);
			json_uint(j, "offset", f->address);
			json_bool(j, "inlined", l + 1 < f->level_count);
			json_string(j, "kind", f->kind);
			json_close(j, '}');
		}
	}
	json_close(j, ']');
}

/* In these ";" separates frames and the last blank the figure. */
static void folded_name(const struct code_level *level, const struct code_frame *f,
	const char *module, struct buffer *out)
{
	size_t from = out->length;

	frame_name(level->function, f->address, module, out);
	for (size_t i = from; i < out->length; i++)
		if (out->data[i] == ';')
			out->data[i] = ':';
}

void frames_folded(const struct code *c, uint32_t stack, struct buffer *out)
{
	const struct code_stack *s = stack == CODE_NONE ? NULL : code_stack(c, stack);

	if (!s || !s->frame_count)
		buffer_text(out, "[no stack]");
	if (s && s->truncated && s->frame_count)
		buffer_text(out, "[truncated];");
	for (uint32_t i = s ? s->frame_count : 0; i-- > 0;) {
		const struct code_frame *f = code_stack_frame(c, s, i);
		const struct code_module *m = module_of(c, f);

		for (uint32_t l = f->level_count; l-- > 0;) {
			folded_name(code_level(c, f->first_level + l), f, m ? m->path : NULL, out);
			if (i || l)
				buffer_text(out, ";");
		}
	}
}
