/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames to names, cached: each address of a module is looked up once. */
#ifndef HEAPTAP_SYMBOLIZER_H
#define HEAPTAP_SYMBOLIZER_H

#include "../model/profile.h"
#include "../target/image.h"

/* Texts live as long as the symbolizer. */
struct symbol {
	const char *function; /* NULL: unknown */
	const char *file;     /* NULL: unknown */
	uint32_t line;
	uint64_t address; /* of the instruction, in the module's space; of a raw frame, in memory */
	uint64_t function_offset; /* of it, from the function's first byte */
};

struct symbolizer;

struct symbolizer *symbolizer_new(void); /* NULL: no memory */
void symbolizer_free(struct symbolizer *s);

/*
 * Looks up the frames of one kind of file in one go, which is much cheaper than one by one. What
 * cannot be found is remembered as unknown. 0 or -ENOMEM.
 */
int symbolizer_add(
	struct symbolizer *s, const struct image *image, const uint64_t *frames, size_t count);
/* The symbol of a frame added before; else one without names. */
struct symbol symbolizer_find(const struct symbolizer *s, uint64_t frame);

#endif
