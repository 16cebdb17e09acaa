// SPDX-License-Identifier: GPL-2.0-or-later
#include "strings.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 65536UL

struct strings_chunk {
	struct strings_chunk *next;
	size_t used, size;
	char bytes[];
};

static char *store(struct strings *s, const char *text, size_t length)
{
	struct strings_chunk *c = s->chunks;
	char *copy;

	if (!c || c->size - c->used < length + 1) {
		size_t size = length + 1 > CHUNK_BYTES ? length + 1 : CHUNK_BYTES;

		c = malloc(sizeof(*c) + size);
		if (!c)
			return NULL;
		*c = (struct strings_chunk){ .next = s->chunks, .size = size };
		s->chunks = c;
	}
	copy = c->bytes + c->used;
	memcpy(copy, text, length);
	copy[length] = 0;
	c->used += length + 1;
	return copy;
}

static const char *add(struct strings *s, uint32_t *index, const char *text, size_t length)
{
	char *copy;

	if (!(s->count & (s->count - 1))) {
		char **texts = realloc(s->texts, (s->count ? 2 * s->count : 1) * sizeof(*texts));

		if (!texts)
			return NULL;
		s->texts = texts;
	}
	copy = store(s, text, length);
	if (!copy)
		return NULL;
	*index = (uint32_t)s->count;
	s->texts[s->count++] = copy;
	return copy;
}

const char *strings_intern(struct strings *s, const char *text, size_t length)
{
	uint64_t hash = hash_bytes(0, text, length);

	/* Who chooses the texts can choose two with one hash: the next key, then, not another's text. */
	for (;; hash++) {
		uint32_t *known = table_find(&s->by_hash, hash);
		const char *copy;
		uint32_t index;
		bool added;

		if (known) {
			copy = s->texts[*known];
			if (!strncmp(copy, text, length) && !copy[length])
				return copy;
			continue;
		}
		/* The text first: a key without one would be found by the next who asks. */
		copy = add(s, &index, text, length);
		known = copy ? table_add(&s->by_hash, hash, &added) : NULL;
		if (!known)
			return NULL;
		*known = index;
		return copy;
	}
}

void strings_release(struct strings *s)
{
	while (s->chunks) {
		struct strings_chunk *next = s->chunks->next;

		free(s->chunks);
		s->chunks = next;
	}
	free(s->texts);
	table_release(&s->by_hash);
	*s = (struct strings){ 0 };
}
