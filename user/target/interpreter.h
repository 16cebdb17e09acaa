/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What runs a program file: itself, a loader that it names, or an interpreter of its text. */
#ifndef HEAPTAP_INTERPRETER_H
#define HEAPTAP_INTERPRETER_H

#include <stddef.h>
#include <sys/types.h>

enum interpreter {
	INTERPRETER_NONE,   /* static, or not a program */
	INTERPRETER_LOADER, /* PT_INTERP */
	INTERPRETER_SCRIPT, /* "#!" */
};

/* Its path into to[size], "" where there is none. */
enum interpreter interpreter_of(const char *path, char *to, size_t size);
/* The same from the file's first bytes, and what a read of it at an offset gives: for tests. */
enum interpreter interpreter_of_fd(int fd, char *to, size_t size);

#endif
