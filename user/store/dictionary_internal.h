/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a dictionary's buffers hold; for the files that fill and write them. */
#ifndef HEAPTAP_DICTIONARY_INTERNAL_H
#define HEAPTAP_DICTIONARY_INTERNAL_H

#include "dictionary.h"

struct dictionary_module {
	const char *path, *build_id, *allocator;
};

struct dictionary_pair {
	uint32_t target, module;
};

struct dictionary_stack {
	uint64_t hash;
	uint32_t first, count; /* of stack_frames */
	uint16_t flags;
};

struct dictionary_site {
	uint32_t target, stack, thread;
	uint8_t domain;
};

struct dictionary_name {
	uint32_t frame, level;
	uint32_t function, file, line;
	uint64_t instruction, function_offset;
	bool jit;
};

#define COUNT(buffer, type)	  ((uint32_t)((buffer).length / sizeof(type)))
#define ITEM(buffer, type, index) (((type *)(void *)(buffer).data)[index])

static inline bool dictionary_in_module(uint64_t frame)
{
	return ht_frame_tag(frame) == HT_FRAME_CALL || ht_frame_tag(frame) == HT_FRAME_PC;
}

#endif
