/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hash table from 64-bit keys to 32-bit values: open addressing, at most half full, no removal.
 */
#ifndef HEAPTAP_TABLE_H
#define HEAPTAP_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
	struct table_entry {
		uint64_t key;
		uint32_t value;
		uint32_t used;
	} * entries;
	size_t capacity; /* a power of two, or 0 */
	size_t count;
};

/* The value's place, or NULL. Valid until the next table_add(). */
uint32_t *table_find(const struct table *t, uint64_t key);
/* The place of a new or existing key; *added tells which, and a new value is 0. NULL: no memory. */
uint32_t *table_add(struct table *t, uint64_t key, bool *added);
void table_release(struct table *t);

/* A well-mixed hash of bytes (FNV-1a, then a finalizer): stable across runs and hosts. */
uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t n);
uint64_t hash_mix(uint64_t hash, uint64_t word);

#endif
