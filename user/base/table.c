// SPDX-License-Identifier: GPL-2.0-or-later
#include "table.h"

#include <stdlib.h>

static uint64_t finalize(uint64_t h)
{
	h ^= h >> 30;
	h *= 0xbf58476d1ce4e5b9ULL;
	h ^= h >> 27;
	h *= 0x94d049bb133111ebULL;
	return h ^ h >> 31;
}

uint64_t hash_mix(uint64_t hash, uint64_t word)
{
	return finalize(hash * 31 + word + 0x9e3779b97f4a7c15ULL);
}

uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t h = seed ^ 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return finalize(h);
}

static struct table_entry *place_of(const struct table *t, uint64_t key)
{
	size_t at = finalize(key) & (t->capacity - 1);

	while (t->entries[at].used && t->entries[at].key != key)
		at = (at + 1) & (t->capacity - 1);
	return &t->entries[at];
}

uint32_t *table_find(const struct table *t, uint64_t key)
{
	struct table_entry *e;

	if (!t->capacity)
		return NULL;
	e = place_of(t, key);
	return e->used ? &e->value : NULL;
}

static bool grow(struct table *t)
{
	struct table bigger = { .capacity = t->capacity ? t->capacity * 2 : 64, .count = t->count };

	bigger.entries = calloc(bigger.capacity, sizeof(*bigger.entries));
	if (!bigger.entries)
		return false;
	for (size_t i = 0; i < t->capacity; i++)
		if (t->entries[i].used)
			*place_of(&bigger, t->entries[i].key) = t->entries[i];
	free(t->entries);
	*t = bigger;
	return true;
}

uint32_t *table_add(struct table *t, uint64_t key, bool *added)
{
	struct table_entry *e;

	*added = false;
	if (2 * (t->count + 1) > t->capacity && !grow(t))
		return NULL;
	e = place_of(t, key);
	if (!e->used) {
		*e = (struct table_entry){ .key = key, .used = 1 };
		t->count++;
		*added = true;
	}
	return &e->value;
}

void table_release(struct table *t)
{
	free(t->entries);
	*t = (struct table){ 0 };
}
