/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading foreign bytes in order. Past the end everything is 0, and `bad` says so, once, at the end. */
#ifndef HEAPTAP_CURSOR_H
#define HEAPTAP_CURSOR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

static inline size_t bytes_left(const struct bytes *b)
{
	return (size_t)(b->end - b->at);
}

static inline const uint8_t *bytes_skip(struct bytes *b, uint64_t n)
{
	const uint8_t *at = b->at;

	if (n > bytes_left(b)) {
		b->bad = true;
		b->at = b->end;
		return NULL;
	}
	b->at += n;
	return at;
}

/* Little-endian, as is the machine; n up to 8. */
static inline uint64_t bytes_uint(struct bytes *b, size_t n)
{
	const uint8_t *at = bytes_skip(b, n);
	uint64_t value = 0;

	if (at)
		memcpy(&value, at, n);
	return value;
}

static inline uint8_t bytes_u8(struct bytes *b)
{
	const uint8_t *at = bytes_skip(b, 1);

	return at ? *at : 0;
}

static inline uint64_t bytes_uleb(struct bytes *b)
{
	uint64_t value = 0;
	uint8_t byte;

	for (unsigned int shift = 0; shift < 70; shift += 7) {
		byte = bytes_u8(b);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	b->bad = true;
	return 0;
}

static inline int64_t bytes_sleb(struct bytes *b)
{
	uint64_t value = 0;
	uint8_t byte;

	for (unsigned int shift = 0; shift < 70; shift += 7) {
		byte = bytes_u8(b);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (byte & 0x40 && shift + 7 < 64)
			value |= ~0ULL << (shift + 7);
		return (int64_t)value;
	}
	b->bad = true;
	return 0;
}

#endif
