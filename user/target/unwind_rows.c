// SPDX-License-Identifier: GPL-2.0-or-later
#include "unwind_rows.h"

#include <errno.h>
#include <stdlib.h>

#define KNOWN_PLACES (4 * UNWIND_MAX_RULES) /* a power of two; a quarter full at most */
#define KNOWN_SMALL  4096

/* --- rules ----------------------------------------------------------------------------------- */

static uint32_t place_of(const struct unwind_rows *r, uint64_t rule)
{
	uint32_t at = (uint32_t)(rule * 0x9e3779b97f4a7c15ULL >> 40) & (r->known_places - 1);

	while (r->known_ids[at] && r->known[at] != rule)
		at = (at + 1) & (r->known_places - 1);
	return at;
}

static int know(struct unwind_rows *r, uint32_t places)
{
	const uint64_t *rules = (const void *)r->rules.data;
	uint32_t count = (uint32_t)(r->rules.length / sizeof(*rules));

	free(r->known);
	free(r->known_ids);
	r->known = malloc(places * sizeof(*r->known));
	r->known_ids = calloc(places, sizeof(*r->known_ids));
	r->known_places = places;
	if (!r->known || !r->known_ids)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = place_of(r, rules[i]);

		r->known[at] = rules[i];
		r->known_ids[at] = i + 1;
	}
	return 0;
}

/* Ids are 16 bits: what finds none any more is unsupported, a rule that is always there. */
static uint32_t rule_id(struct unwind_rows *r, uint64_t rule)
{
	uint32_t at = place_of(r, rule), count = (uint32_t)(r->rules.length / sizeof(rule));

	if (r->known_ids[at])
		return r->known_ids[at] - 1;
	if (count >= UNWIND_MAX_RULES) {
		r->too_many++;
		return 1;
	}
	if (count >= r->known_places / 4) {
		if (know(r, KNOWN_PLACES)) {
			r->rows.failed = true;
			return 1;
		}
		at = place_of(r, rule);
	}
	r->known[at] = rule;
	r->known_ids[at] = count + 1;
	buffer_append(&r->rules, &rule, sizeof(rule));
	return count;
}

/* --- rows ------------------------------------------------------------------------------------ */

int unwind_rows_begin(struct unwind_rows *r, uint64_t start, uint64_t end)
{
	*r = (struct unwind_rows){ .text_start = start & ~(uint64_t)(HT_TEXT_BUCKET - 1),
		.text_end = end };
	r->last = r->text_start;
	r->bucket_count = (uint32_t)((end - r->text_start + HT_TEXT_BUCKET - 1) >> HT_BUCKET_SHIFT);
	r->buckets = calloc((size_t)r->bucket_count + 1, sizeof(*r->buckets));
	if (!r->buckets || know(r, KNOWN_SMALL))
		return -ENOMEM;
	rule_id(r, HT_CFA_NONE);
	rule_id(r, HT_CFA_UNSUPPORTED);
	r->rule = 0;
	buffer_append(&r->rows, &(uint32_t){ ht_row(0, 0) }, sizeof(uint32_t));
	return buffer_failed(&r->rows);
}

static uint32_t row_count(const struct unwind_rows *r)
{
	return (uint32_t)(r->rows.length / sizeof(uint32_t));
}

/* Begins every bucket up to this one with the rule in effect, so that a lookup needs only one. */
static void reach_bucket(struct unwind_rows *r, uint32_t bucket)
{
	uint32_t row = ht_row(0, r->rule);

	while (r->bucket < bucket) {
		r->buckets[++r->bucket] = row_count(r);
		buffer_append(&r->rows, &row, sizeof(row));
	}
}

void unwind_rows_add(struct unwind_rows *r, uint64_t address, uint64_t rule)
{
	uint64_t offset = address - r->text_start;
	uint32_t id, row;

	if (address < r->last || address >= r->text_end)
		return;
	r->last = address;
	id = rule_id(r, rule);
	if (id == r->rule)
		return;
	reach_bucket(r, (uint32_t)(offset >> HT_BUCKET_SHIFT));
	if (r->rows.failed)
		return;
	r->rule = id;
	row = ht_row((uint32_t)offset & (HT_TEXT_BUCKET - 1), id);
	uint32_t *before = (uint32_t *)(void *)(r->rows.data + r->rows.length) - 1;
	if (ht_row_offset(*before) == ht_row_offset(row))
		*before = row;
	else
		buffer_append(&r->rows, &row, sizeof(row));
}

int unwind_rows_finish(struct unwind_rows *r, struct buffer *out)
{
	struct unwind_info *info;

	if (r->bucket_count)
		reach_bucket(r, r->bucket_count - 1);
	r->buckets[r->bucket_count] = row_count(r);
	info = (void *)out->data;
	info->text_start = r->text_start;
	info->bucket_count = r->bucket_count;
	info->row_count = row_count(r);
	info->rule_count = (uint32_t)(r->rules.length / sizeof(uint64_t));
	info->unsupported_rows += r->too_many;
	buffer_append(out, r->buckets, ((size_t)r->bucket_count + 1) * sizeof(*r->buckets));
	buffer_append(out, r->rows.data, r->rows.length);
	if ((r->bucket_count + 1 + row_count(r)) % 2)
		buffer_extend(out, sizeof(uint32_t));
	buffer_append(out, r->rules.data, r->rules.length);
	if (r->rows.failed || r->rules.failed)
		return -ENOMEM;
	return buffer_failed(out);
}

void unwind_rows_release(struct unwind_rows *r)
{
	free(r->buckets);
	free(r->known);
	free(r->known_ids);
	buffer_release(&r->rows);
	buffer_release(&r->rules);
}

/* --- looking up ------------------------------------------------------------------------------- */

static bool bucket_ok(const struct unwind_info *info, uint32_t bucket)
{
	const uint32_t *buckets = unwind_buckets(info), *rows = unwind_rows(info);
	uint32_t first = buckets[bucket], end = buckets[bucket + 1];

	if (first >= end || end > info->row_count || end - first > HT_TEXT_BUCKET ||
		ht_row_offset(rows[first]))
		return false;
	for (uint32_t i = first; i < end; i++) {
		if (ht_row_rule(rows[i]) >= info->rule_count ||
			ht_row_offset(rows[i]) >= HT_TEXT_BUCKET)
			return false;
		if (i > first && ht_row_offset(rows[i]) <= ht_row_offset(rows[i - 1]))
			return false;
	}
	return true;
}

int unwind_check(const void *bytes, size_t length)
{
	const struct unwind_info *info = bytes;
	const uint64_t *rules;

	if (length < sizeof(*info) || info->magic != UNWIND_MAGIC ||
		info->version != UNWIND_VERSION)
		return -EINVAL;
	/* Each below 2^32: the sum cannot wrap in 64 bits. */
	if (length != sizeof(*info) + unwind_words(info) * sizeof(uint32_t) || !info->rule_count ||
		info->rule_count > UNWIND_MAX_RULES || !info->bucket_count ||
		info->text_start % HT_TEXT_BUCKET || info->text_start >> 48)
		return -EINVAL;
	if (unwind_buckets(info)[0] || unwind_buckets(info)[info->bucket_count] != info->row_count)
		return -EINVAL;
	for (uint32_t i = 0; i < info->bucket_count; i++)
		if (!bucket_ok(info, i))
			return -EINVAL;
	rules = unwind_rules(info);
	for (uint32_t i = 0; i < info->rule_count; i++)
		if (ht_rule_kind(rules[i]) >= HT_CFA_KINDS)
			return -EINVAL;
	return 0;
}

uint64_t unwind_find(const struct unwind_info *info, uint64_t address)
{
	uint64_t offset = address - info->text_start;
	const uint32_t *rows = unwind_rows(info);
	uint32_t low, high, wanted;

	if (offset >> HT_BUCKET_SHIFT >= info->bucket_count)
		return HT_CFA_NONE;
	low = unwind_buckets(info)[offset >> HT_BUCKET_SHIFT];
	high = unwind_buckets(info)[(offset >> HT_BUCKET_SHIFT) + 1];
	wanted = ht_row((uint32_t)offset & (HT_TEXT_BUCKET - 1), 0xffff);
	/* The last row at or before: row `low` always is one. */
	while (high - low > 1) {
		uint32_t middle = (low + high) / 2;

		if (rows[middle] <= wanted)
			low = middle;
		else
			high = middle;
	}
	return unwind_rules(info)[ht_row_rule(rows[low])];
}
