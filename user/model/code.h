/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code with its names, as a recording holds it; ids are dense indices:
 *
 *   stack -> frames (leaf first) -> module, address
 *                                -> levels: functions inlined there, innermost first, at least one
 *
 * Texts are interned: equal ones have one address.
 */
#ifndef HEAPTAP_CODE_H
#define HEAPTAP_CODE_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/buffer.h"
#include "../base/strings.h"

#define CODE_NONE UINT32_MAX

struct code_module {
	const char *path, *build_id; /* "" when there is none */
	const char *allocator;	     /* NULL: none that is traced */
};

struct code_level {
	const char *function, *file; /* NULL: unknown */
	uint32_t line;		     /* 0: unknown */
};

struct code_frame {
	uint32_t module;	  /* CODE_NONE: in no file */
	const char *kind;	  /* "native" ... */
	uint64_t address;	  /* of the instruction, in the module's space */
	uint64_t function_offset; /* of it, in the last level's function */
	uint32_t first_level, level_count;
};

struct code_stack {
	uint64_t id; /* stable across recordings */
	uint64_t
		key; /* the same, and of frames without a file their names: what a comparison goes by */
	uint32_t first_frame, frame_count; /* of stack_frames */
	bool truncated;
};

struct code {
	struct strings texts;
	struct buffer modules, frames, levels, stacks; /* of the above */
	struct buffer stack_frames;		       /* uint32_t: frames */
};

static inline uint32_t code_module_count(const struct code *c)
{
	return (uint32_t)(c->modules.length / sizeof(struct code_module));
}
static inline uint32_t code_stack_count(const struct code *c)
{
	return (uint32_t)(c->stacks.length / sizeof(struct code_stack));
}
static inline uint32_t code_frame_count(const struct code *c)
{
	return (uint32_t)(c->frames.length / sizeof(struct code_frame));
}
static inline const struct code_module *code_module(const struct code *c, uint32_t i)
{
	return &((const struct code_module *)(const void *)c->modules.data)[i];
}
static inline const struct code_frame *code_frame(const struct code *c, uint32_t i)
{
	return &((const struct code_frame *)(const void *)c->frames.data)[i];
}
static inline const struct code_level *code_level(const struct code *c, uint32_t i)
{
	return &((const struct code_level *)(const void *)c->levels.data)[i];
}
static inline struct code_stack *code_stack(const struct code *c, uint32_t i)
{
	return &((struct code_stack *)(void *)c->stacks.data)[i];
}
/* Frame i of a stack, 0 the leaf. */
static inline const struct code_frame *code_stack_frame(
	const struct code *c, const struct code_stack *s, uint32_t i)
{
	return code_frame(
		c, ((const uint32_t *)(const void *)c->stack_frames.data)[s->first_frame + i]);
}

void code_release(struct code *c);

#endif
