/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A growable byte buffer: the currency of parsers, which return flat, pointer-free results in one,
 * and of renderers. A failed allocation is remembered, not reported at each append: ask
 * buffer_failed() once.
 */
#ifndef HEAPTAP_BUFFER_H
#define HEAPTAP_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

struct buffer {
	uint8_t *data;
	size_t length; /* bytes */
	size_t capacity;
	bool failed;
};

/* Room for n more bytes at the end, counted as used and zeroed; NULL when memory is short. */
void *buffer_extend(struct buffer *b, size_t n);
void buffer_append(struct buffer *b, const void *bytes, size_t n);
void buffer_text(struct buffer *b, const char *text);
void buffer_format(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The bytes as a C string, owned by the buffer until its next change; "" when it failed. */
const char *buffer_string(struct buffer *b);
/* 0 or -ENOMEM. */
int buffer_failed(const struct buffer *b);
void buffer_clear(struct buffer *b); /* keeps the memory */
void buffer_release(struct buffer *b);

/* Appends the whole of a file of /proc (its size is not known before): 0 or -errno, silently. */
int buffer_read_fd(struct buffer *b, int fd, size_t limit);
int buffer_read_file(struct buffer *b, const char *path, size_t limit);

#define CLEANUP_BUFFER CLEANUP(buffer_release)

#endif
