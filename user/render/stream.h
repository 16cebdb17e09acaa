/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where long outputs go: renderers append to the text, and relieve it between rows, so that what has been rendered
 * need not stay in memory.
 */
#ifndef HEAPTAP_STREAM_H
#define HEAPTAP_STREAM_H

#include "../base/buffer.h"

#define STREAM_BYTES 65536

struct stream {
	struct buffer text;
	/* 0 or -errno after a message. */
	int (*write)(void *context, const void *bytes, size_t count);
	void *context;
	int error; /* the first one; nothing is written after it */
};

static inline void stream_flush(struct stream *s)
{
	if (!s->error && s->text.length)
		s->error = s->write(s->context, s->text.data, s->text.length);
	if (!s->error)
		s->error = buffer_failed(&s->text);
	buffer_clear(&s->text);
}

static inline void stream_relieve(struct stream *s)
{
	if (s->text.length >= STREAM_BYTES)
		stream_flush(s);
}

#endif
