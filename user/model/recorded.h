/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a recording keeps of a moment beside the figures of the sites, and of the names of frames. */
#ifndef HEAPTAP_RECORDED_H
#define HEAPTAP_RECORDED_H

#include "../target/usage.h"
#include "profile.h"

/* Why a snapshot was taken. */
#define SNAPSHOT_KINDS(X)                                                                          \
	X(START, "start")                                                                          \
	X(INTERVAL, "interval")                                                                    \
	X(MARK, "mark")                                                                            \
	X(SIGNAL, "signal")                                                                        \
	X(PEAK, "peak")                                                                            \
	X(END, "end")
#define SNAPSHOT_ENUM(name, text) SNAPSHOT_##name,
enum snapshot_kind { SNAPSHOT_KINDS(SNAPSHOT_ENUM) SNAPSHOT_KIND_COUNT };
#undef SNAPSHOT_ENUM

struct moment {
	enum snapshot_kind kind;
	const char *label;   /* NULL: none; not owned */
	uint64_t elapsed_ns; /* since counting began */
	struct usage usage;
};

/* A function at a frame: level 0 is inlined into level 1, and so on. Texts are not owned. */
struct named_level {
	const char *function, *file; /* NULL: unknown */
	uint32_t line;		     /* 0: unknown */
};

struct named_frame {
	uint64_t frame;		  /* as in the profile */
	uint64_t instruction;	  /* address of its first byte */
	uint64_t function_offset; /* of that, in the outermost function */
	uint32_t first_level, level_count;
	bool jit;
};

struct names {
	const struct named_frame *frames;
	uint32_t frame_count;
	const struct named_level *levels;
};

/* "start"; NULL for what is no kind. */
const char *snapshot_kind_name(enum snapshot_kind kind);

#endif
