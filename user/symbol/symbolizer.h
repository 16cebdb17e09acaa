/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames to names, cached: each address of a module is looked up once. A symbolizer belongs to one
 * session and owns all it needs, so that it can work while the process is
 * being watched, and after it has ended:
 *
 *   frame -> place (address, offset in the function)
 *               -> levels: the functions that were inlined there, innermost first, then the one
 *                  that they were inlined into -> texts, each kept once
 *   module id -> its path, its file, its separate debug file once a frame has asked for it
 *
 * Threads: one at a time, whoever it is; only symbolizer_cancel() may come from anywhere.
 */
#ifndef HEAPTAP_SYMBOLIZER_H
#define HEAPTAP_SYMBOLIZER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../include/frame.h"

/* Texts live as long as the symbolizer. */
struct symbol_level {
	const char *function; /* NULL: unknown */
	const char *file;     /* NULL: unknown */
	uint32_t line;	      /* 0: unknown */
	bool inlined;	      /* into the next level */
};

struct symbol {
	uint64_t address; /* of the instruction, in the module's space; of a raw frame, in memory */
	uint64_t function_offset; /* of it, from the first byte of the last level's function */
	const struct symbol_level
		*levels;      /* innermost first; valid until the next symbolizer_add() */
	uint32_t level_count; /* at least 1; only the last is not inlined */
	bool jit;	      /* code that was made at run time and named by it */
};

struct symbolizer;

struct symbolizer *symbolizer_new(void); /* NULL: no memory */
void symbolizer_free(struct symbolizer *s);

/*
 * Whose files and whose JIT's names are meant; without it there are the host's files, and no names
 * of raw frames. To be called while the process lives: its root stays open. 0 or -errno.
 */
int symbolizer_set_process(struct symbolizer *s, pid_t pid);
/*
 * Whose JIT's names raw frames of a slot have from now on, where there are several processes; as above while it lives.
 * 0 or -ENOMEM.
 */
int symbolizer_set_owner(struct symbolizer *s, uint32_t slot, pid_t pid);

/*
 * A module, by the id that its frames hold; ids may come in any order, each once. path: as the
 * process sees it, copied; fd: the file that is mapped, duplicated, or -1. 0 or -ENOMEM or -EMFILE.
 */
int symbolizer_set_module(struct symbolizer *s, uint32_t id, const char *path, int fd);
/* One more than the highest id set. */
uint32_t symbolizer_module_count(const struct symbolizer *s);

/*
 * Looks up what is new among the frames, module by module, which is much cheaper than one by one. It
 * may take long: seconds for a large file, more when debug files come from a server. What cannot be
 * found is remembered as unknown, but for raw frames, whose names may still come. 0, -ENOMEM, or
 * -ECANCELED: what was found till then can be had.
 */
int symbolizer_add(struct symbolizer *s, const uint64_t *frames, size_t count);
/* The symbol of a frame added before; else one without names. */
struct symbol symbolizer_find(const struct symbolizer *s, uint64_t frame);

/* Ends a symbolizer_add() soon, at the latest with the module it is at, and each one after. */
void symbolizer_cancel(struct symbolizer *s);

#endif
