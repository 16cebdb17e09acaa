// SPDX-License-Identifier: GPL-2.0-or-later
#include "perfmap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../target/rooted.h"

#define BYTES_MAX  (128LL << 20) /* of a longer map the end, which is newer */
#define NAME_BYTES 4096U
#define PROC_LIMIT 65536U

/* --- parsing --------------------------------------------------------------------------------- */

struct line {
	uint64_t start, size;
	const char *name;
	size_t name_length;
};

/* A hexadecimal number and the blank behind it. */
static const char *number(const char *at, const char *end, uint64_t *value)
{
	const char *first;

	if (end - at > 2 && at[0] == '0' && at[1] == 'x')
		at += 2;
	first = at;
	for (*value = 0; at < end; at++) {
		int digit = *at >= '0' && *at <= '9'   ? *at - '0'
			    : *at >= 'a' && *at <= 'f' ? *at - 'a' + 10
			    : *at >= 'A' && *at <= 'F' ? *at - 'A' + 10
						       : -1;

		if (digit < 0)
			break;
		if (*value >> 60)
			return NULL;
		*value = *value << 4 | (uint64_t)digit;
	}
	return at == first || at == end || *at != ' ' ? NULL : at + 1;
}

static bool parse_line(const char *at, const char *end, struct line *l)
{
	at = number(at, end, &l->start);
	at = at ? number(at, end, &l->size) : NULL;
	if (!at || at == end || !l->size || l->size > UINT64_MAX - l->start)
		return false;
	l->name = at;
	l->name_length = (size_t)(end - at);
	if (l->name_length > NAME_BYTES)
		l->name_length = NAME_BYTES;
	return true;
}

static size_t first_at(const uint64_t *addresses, size_t count, uint64_t address)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (addresses[middle] < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * The first address at or behind i without a name yet; count when there is none. Shortens its way
 * for those who come later, so that no address is looked at for each of many overlapping lines.
 */
static size_t next_unnamed(uint32_t *next, size_t i)
{
	size_t found = i;

	while (next[found] != found)
		found = next[found];
	while (next[i] != found) {
		size_t step = next[i];

		next[i] = (uint32_t)found;
		i = step;
	}
	return found;
}

static void apply(const struct line *l, const uint64_t *addresses, size_t count, uint32_t *next,
	struct buffer *out)
{
	size_t i = next_unnamed(next, first_at(addresses, count, l->start));
	uint32_t name = (uint32_t)out->length;

	if (i == count || addresses[i] >= l->start + l->size || out->length > UINT32_MAX / 2)
		return;
	buffer_append(out, l->name, l->name_length);
	for (; i < count && addresses[i] < l->start + l->size; i = next_unnamed(next, i)) {
		struct perfmap_answer *answers = (void *)out->data;

		answers[i] = (struct perfmap_answer){ l->start, name, (uint32_t)l->name_length };
		next[i] = (uint32_t)i + 1;
	}
}

int perfmap_find(const char *text, size_t length, const uint64_t *addresses, size_t count,
	struct buffer *out)
{
	uint32_t *next CLEANUP_FREE = calloc(count + 1, sizeof(*next));
	const char *end = text + length;

	if (count >= UINT32_MAX || !next ||
		!buffer_extend(out, count * sizeof(struct perfmap_answer)))
		return -ENOMEM;
	for (size_t i = 0; i <= count; i++)
		next[i] = (uint32_t)i;
	/* From the end: what names an address first is what was written last. */
	while (end > text && !buffer_failed(out)) {
		const char *newline = memrchr(text, '\n', (size_t)(end - text));
		const char *start = newline ? newline + 1 : text;
		struct line l;

		if (parse_line(start, end, &l))
			apply(&l, addresses, count, next, out);
		end = newline ? newline : text;
	}
	return buffer_failed(out);
}

static int perfmap_parse(
	const int *files, size_t count, const struct buffer *in, struct buffer *out)
{
	struct buffer text CLEANUP_BUFFER = { 0 };
	struct stat st;
	ssize_t n = 1;
	size_t used = 0;
	off_t from;

	if (!count || fstat(files[0], &st) || st.st_size < 0)
		return -EINVAL;
	from = st.st_size > BYTES_MAX ? st.st_size - BYTES_MAX : 0;
	if (!buffer_extend(&text, (size_t)(st.st_size - from)))
		return st.st_size ? -ENOMEM : -ENODATA;
	while (used < text.length && n > 0) {
		n = pread(files[0], text.data + used, text.length - used, from + (off_t)used);
		used += n > 0 ? (size_t)n : 0;
	}
	return perfmap_find((const char *)text.data, used, (const void *)in->data,
		in->length / sizeof(uint64_t), out);
}

const struct parser perfmap_parser = { "map of JIT code", perfmap_parse };

/* --- the file -------------------------------------------------------------------------------- */

struct perfmap_owner perfmap_owner_of(pid_t pid)
{
	struct perfmap_owner owner = { .uid = (uid_t)-1 };
	struct buffer status CLEANUP_BUFFER = { 0 };
	const char *text, *line;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (buffer_read_file(&status, path, PROC_LIMIT))
		return owner;
	text = buffer_string(&status);
	line = strstr(text, "\nUid:\t"); /* real, effective, ... */
	if (line)
		sscanf(line, "\nUid:\t%*u\t%u", &owner.uid);
	line = strstr(text, "\nNSpid:"); /* of each namespace, its own last */
	if (line) {
		line++;
		for (const char *at = line; *at && *at != '\n'; at++)
			if (*at == '\t')
				owner.pid = (pid_t)atoi(at + 1);
	}
	return owner;
}

int perfmap_open(int root, const struct perfmap_owner *owner)
{
	CLEANUP_CLOSE int fd = -1;
	char path[64];
	struct stat st;

	if (owner->pid <= 0 || root < 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", owner->pid);
	fd = rooted_open(root, path, false);
	if (fd < 0 || fstat(fd, &st))
		return fd < 0 ? TAKE_FD(fd) : -errno;
	if (st.st_uid && st.st_uid != owner->uid && st.st_uid != geteuid())
		return -EPERM;
	return TAKE_FD(fd);
}
