// SPDX-License-Identifier: GPL-2.0-or-later
#include "places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *place_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

int places_make(struct places *p, const struct code *code)
{
	uint32_t frames = code_frame_count(code);
	struct places made = { .code = code };

	for (uint32_t f = 0; f < frames; f++)
		made.count += code_frame(code, f)->level_count;
	made.all = calloc(made.count + 1UL, sizeof(*made.all));
	made.first = calloc(frames + 1UL, sizeof(*made.first));
	if (!made.all || !made.first) {
		places_release(&made);
		return -ENOMEM;
	}
	for (uint32_t f = 0, at = 0; f < frames; f++) {
		const struct code_frame *frame = code_frame(code, f);

		made.first[f] = at;
		for (uint32_t l = 0; l < frame->level_count; l++) {
			const struct code_level *level = code_level(code, frame->first_level + l);

			made.all[at++] = (struct place){
				.function = level->function,
				.file = level->file,
				.line = level->line,
				.module = frame->module == CODE_NONE
						  ? NULL
						  : code_module(code, frame->module)->path,
				.address = frame->address,
				.frame = frame,
				.level = l,
			};
		}
	}
	*p = made;
	return 0;
}

void places_release(struct places *p)
{
	free(p->all);
	free(p->first);
	*p = (struct places){ 0 };
}
