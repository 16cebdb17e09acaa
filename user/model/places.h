/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places: the functions of all frames in one numbering, inlined ones each for itself, so that what is found out of
 * one is found out once and not for every stack that it stands in.
 */
#ifndef HEAPTAP_PLACES_H
#define HEAPTAP_PLACES_H

#include "code.h"

struct place {
	const char *function, *file; /* NULL: unknown */
	uint32_t line;		     /* 0: unknown */
	const char *module;	     /* path; NULL: none */
	uint64_t address;	     /* of the instruction */
	const struct code_frame *frame;
	uint32_t level;
};

struct places {
	const struct code *code;
	struct place *all;
	uint32_t count;
	uint32_t *first; /* by frame: its innermost place; the others follow */
};

/* 0 or -ENOMEM. */
int places_make(struct places *p, const struct code *code);
void places_release(struct places *p);

/* Calls what() for the places of a stack from the innermost of the leaf outward. */
static inline void places_each(const struct places *p, uint32_t stack,
	void (*what)(uint32_t place, void *context), void *context)
{
	const struct code_stack *s = code_stack(p->code, stack);
	const uint32_t *frames = (const uint32_t *)(const void *)p->code->stack_frames.data;

	for (uint32_t i = 0; i < s->frame_count; i++) {
		uint32_t frame = frames[s->first_frame + i],
			 levels = code_frame(p->code, frame)->level_count;

		for (uint32_t l = 0; l < levels; l++)
			what(p->first[frame] + l, context);
	}
}

/* The last part of a path. */
const char *place_base_name(const char *path);

#endif
