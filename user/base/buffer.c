// SPDX-License-Identifier: GPL-2.0-or-later
#include "buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

static bool reserve(struct buffer *b, size_t n)
{
	size_t wanted = b->length + n, capacity = b->capacity ? b->capacity : 256;
	void *data;

	if (b->failed || wanted < n)
		goto fail;
	if (wanted <= b->capacity)
		return true;
	while (capacity < wanted)
		capacity *= 2;
	data = realloc(b->data, capacity);
	if (!data)
		goto fail;
	b->data = data;
	b->capacity = capacity;
	return true;
fail:
	b->failed = true;
	return false;
}

void *buffer_extend(struct buffer *b, size_t n)
{
	void *place;

	if (!reserve(b, n))
		return NULL;
	place = b->data + b->length;
	memset(place, 0, n);
	b->length += n;
	return place;
}

void buffer_append(struct buffer *b, const void *bytes, size_t n)
{
	if (!n || !reserve(b, n))
		return;
	memcpy(b->data + b->length, bytes, n);
	b->length += n;
}

void buffer_text(struct buffer *b, const char *text)
{
	buffer_append(b, text, strlen(text));
}

void buffer_format(struct buffer *b, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (n < 0 || !reserve(b, (size_t)n + 1)) {
		b->failed = true;
		return;
	}
	va_start(arguments, format);
	vsnprintf((char *)b->data + b->length, (size_t)n + 1, format, arguments);
	va_end(arguments);
	b->length += (size_t)n;
}

const char *buffer_string(struct buffer *b)
{
	if (!reserve(b, 1))
		return "";
	b->data[b->length] = 0;
	return (const char *)b->data;
}

int buffer_failed(const struct buffer *b)
{
	return b->failed ? -ENOMEM : 0;
}

void buffer_clear(struct buffer *b)
{
	b->length = 0;
	b->failed = false;
}

void buffer_release(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){ 0 };
}

int buffer_read_fd(struct buffer *b, int fd, size_t limit)
{
	for (;;) {
		size_t step = 16384;
		ssize_t n;

		if (b->length >= limit)
			return -EFBIG;
		if (!reserve(b, step))
			return -ENOMEM;
		n = read(fd, b->data + b->length, step);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		b->length += (size_t)n;
	}
}

int buffer_read_file(struct buffer *b, const char *path, size_t limit)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return buffer_read_fd(b, fd, limit);
}
