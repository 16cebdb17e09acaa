// SPDX-License-Identifier: GPL-2.0-or-later
#include "maps.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

struct cursor {
	const char *at;
	const char *end;
};

static int number(struct cursor *c, unsigned int base, uint64_t *value)
{
	const char *start = c->at;

	for (*value = 0; c->at < c->end; c->at++) {
		int digit = *c->at >= '0' && *c->at <= '9'   ? *c->at - '0'
			    : *c->at >= 'a' && *c->at <= 'f' ? *c->at - 'a' + 10
							     : 99;

		if ((unsigned int)digit >= base)
			break;
		if (*value > (UINT64_MAX - (uint64_t)digit) / base)
			return -EINVAL;
		*value = *value * base + (uint64_t)digit;
	}
	return c->at > start ? 0 : -EINVAL;
}

static int literal(struct cursor *c, char expected)
{
	if (c->at >= c->end || *c->at != expected)
		return -EINVAL;
	c->at++;
	return 0;
}

/* The kernel's format: "start-end perms offset major:minor inode<blanks>path". */
static int parse_line(struct cursor *c, struct map_entry *m)
{
	uint64_t major, minor;

	if (number(c, 16, &m->start) || literal(c, '-') || number(c, 16, &m->end) ||
		literal(c, ' '))
		return -EINVAL;
	if (c->end - c->at < 5 || m->end <= m->start)
		return -EINVAL;
	m->executable = c->at[2] == 'x';
	c->at += 4;
	if (literal(c, ' ') || number(c, 16, &m->offset) || literal(c, ' ') ||
		number(c, 16, &major) || literal(c, ':') || number(c, 16, &minor) ||
		literal(c, ' ') || number(c, 10, &m->inode))
		return -EINVAL;
	m->device = major << 32 | minor;
	while (c->at < c->end && *c->at == ' ')
		c->at++;
	return 0;
}

int maps_parse(const char *text, size_t length, struct buffer *out)
{
	static const char gone[] = " (deleted)";
	const char *at = text, *end;

	if (length > UINT32_MAX)
		return -EINVAL;
	if (!length) /* there may be no text to point into then */
		return buffer_failed(out);
	end = text + length;
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		struct cursor c = { at, newline ? newline : end };
		struct map_entry m = { 0 };
		size_t n;

		if (parse_line(&c, &m))
			return -EINVAL;
		n = (size_t)(c.end - c.at);
		if (n > sizeof(gone) - 1 &&
			!memcmp(c.end - (sizeof(gone) - 1), gone, sizeof(gone) - 1)) {
			m.deleted = true;
			n -= sizeof(gone) - 1;
		}
		m.path = (uint32_t)(c.at - text);
		m.path_length = (uint32_t)n;
		buffer_append(out, &m, sizeof(m));
		at = newline ? newline + 1 : end;
	}
	return buffer_failed(out);
}
