// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/PID/maps of these bytes. Paths lie inside, and what is written again reads the same. */
#include "fuzz.h"

#include <inttypes.h>

#include "../../user/target/maps.h"

static void write_again(const struct map_entry *m, const char *text, struct buffer *again)
{
	buffer_format(again,
		"%" PRIx64 "-%" PRIx64 " --%cp %" PRIx64 " %" PRIx64 ":%" PRIx64 " %" PRIu64 " ",
		m->start, m->end, m->executable ? 'x' : '-', m->offset, m->device >> 32,
		m->device & UINT32_MAX, m->inode);
	buffer_append(again, text + m->path, m->path_length);
	buffer_text(again, m->deleted ? " (deleted)\n" : "\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer out CLEANUP_BUFFER = { 0 }, again CLEANUP_BUFFER = { 0 };
	struct buffer second CLEANUP_BUFFER = { 0 };
	const struct map_entry *m, *n;
	size_t count;

	if (maps_parse((const char *)data, size, &out))
		return 0;
	REQUIRE(!(out.length % sizeof(*m)));
	count = out.length / sizeof(*m);
	m = (const void *)out.data;
	for (size_t i = 0; i < count; i++) {
		REQUIRE(m[i].start < m[i].end);
		REQUIRE((size_t)m[i].path + m[i].path_length <= size);
		write_again(&m[i], (const char *)data, &again);
	}
	REQUIRE(!maps_parse((const char *)again.data, again.length, &second));
	REQUIRE(second.length == out.length);
	n = (const void *)second.data;
	for (size_t i = 0; i < count; i++) {
		REQUIRE(n[i].start == m[i].start && n[i].end == m[i].end);
		REQUIRE(n[i].offset == m[i].offset && n[i].inode == m[i].inode);
		REQUIRE(n[i].executable == m[i].executable && n[i].deleted == m[i].deleted);
		REQUIRE(n[i].path_length == m[i].path_length && n[i].device == m[i].device);
	}
	return 0;
}
