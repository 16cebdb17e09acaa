// SPDX-License-Identifier: GPL-2.0-or-later
#include "debugfile.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "../base/err.h"
#include "../target/rooted.h"

#define GLOBAL_DIRECTORY "/usr/lib/debug"
#define CRC_STEP	 (256UL << 10)
#define FILE_BYTES_MAX	 (8LL << 30)

struct candidate {
	int fd; /* -1: none */
	int root;
	char path[PATH_MAX];
};

static bool cancelled(const struct debugfile_finder *f)
{
	return atomic_load(f->cancelled);
}

int debugfile_open(struct debugfile_finder *f, pid_t pid, const atomic_bool *cancelled_flag)
{
	*f = (struct debugfile_finder){ .target = -1, .cancelled = cancelled_flag };
	f->host = rooted_directory(0);
	f->server = debuginfod_new(cancelled_flag);
	if (f->host < 0 || !f->server) {
		debugfile_close(f);
		return -ENOMEM;
	}
	f->target = pid ? rooted_directory(pid) : -1;
	if (f->target >= 0 && rooted_is_same(f->target, f->host))
		close(TAKE_FD(f->target));
	return 0;
}

void debugfile_close(struct debugfile_finder *f)
{
	cleanup_close(&f->host);
	cleanup_close(&f->target);
	debuginfod_free(f->server);
	*f = (struct debugfile_finder){ .host = -1, .target = -1 };
}

static bool is_id(const struct build_id *a, const struct build_id *b)
{
	return a->length && a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

enum purpose { FOR_DEBUG, FOR_SUPPLEMENT /* which may hold nothing but texts */ };

/* Takes the file when it has the build id, and what it is for; else closes it. */
static bool accept_id(struct candidate *c, const struct build_id *id, enum purpose purpose)
{
	struct debuglinks links;

	if (c->fd < 0)
		return false;
	if (!debuglinks_read(c->fd, &links) && is_id(&links.id, id) &&
		(purpose == FOR_SUPPLEMENT || links.has_dwarf || links.has_symtab))
		return true;
	debug("%s is not the debug file of the build id that is looked for", c->path);
	close(TAKE_FD(c->fd));
	return false;
}

static bool is_crc(const struct debugfile_finder *f, int fd, uint32_t wanted)
{
	uint8_t *bytes CLEANUP_FREE = malloc(CRC_STEP);
	uLong crc = crc32(0, NULL, 0);
	off_t at = 0;
	ssize_t n;

	if (!bytes)
		return false;
	while (!cancelled(f) && at < FILE_BYTES_MAX && (n = pread(fd, bytes, CRC_STEP, at)) > 0) {
		crc = crc32(crc, bytes, (uInt)n);
		at += n;
	}
	return crc == wanted;
}

static bool try_path(struct candidate *c, int root, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static bool try_path(struct candidate *c, int root, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(c->path, sizeof(c->path), format, arguments);
	va_end(arguments);
	if (root < 0 || n < 0 || n >= (int)sizeof(c->path))
		return false;
	c->fd = rooted_open(root, c->path, true);
	c->root = root;
	return c->fd >= 0;
}

/* --- by build id ----------------------------------------------------------------------------- */

static bool find_by_id(const struct debugfile_finder *f, const struct build_id *id,
	enum purpose purpose, struct candidate *c)
{
	const int roots[] = { f->host, f->target };
	char text[2 * ELF_MAX_BUILD_ID + 1];

	if (id->length < 2)
		return false;
	for (uint32_t i = 0; i < id->length; i++)
		snprintf(text + 2 * i, 3, "%02x", id->bytes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(roots); i++)
		if (try_path(c, roots[i], GLOBAL_DIRECTORY "/.build-id/%.2s/%s.debug", text,
			    text + 2) &&
			accept_id(c, id, purpose))
			return true;
	return false;
}

static bool find_by_server(const struct debugfile_finder *f, const struct build_id *id,
	enum purpose purpose, struct candidate *c)
{
	if (cancelled(f))
		return false;
	snprintf(c->path, sizeof(c->path), "what the debuginfod server sent");
	c->root = -1;
	c->fd = debuginfod_get(f->server, id);
	return accept_id(c, id, purpose);
}

/* --- by debug link --------------------------------------------------------------------------- */

static bool is_plain_name(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

static bool accept_crc(const struct debugfile_finder *f, struct candidate *c, uint32_t crc)
{
	if (is_crc(f, c->fd, crc))
		return true;
	debug("%s is not the debug file that links to it: the CRC differs", c->path);
	close(TAKE_FD(c->fd));
	return false;
}

static bool find_by_link(const struct debugfile_finder *f, const char *path,
	const struct debuglinks *links, struct candidate *c)
{
	const int roots[] = { f->target < 0 ? f->host : f->target, f->target < 0 ? -1 : f->host };
	static const char *const formats[][2] = { { "", "/" }, { "", "/.debug/" },
		{ GLOBAL_DIRECTORY, "/" } };
	const char *slash = strrchr(path, '/');

	if (!is_plain_name(links->name) || *path != '/')
		return false;
	for (size_t r = 0; r < ARRAY_SIZE(roots); r++)
		for (size_t i = 0; i < ARRAY_SIZE(formats) && !cancelled(f); i++)
			if (try_path(c, roots[r], "%s%.*s%s%s", formats[i][0], (int)(slash - path),
				    path, formats[i][1], links->name) &&
				accept_crc(f, c, links->crc))
				return true;
	return false;
}

/* --- the supplement -------------------------------------------------------------------------- */

/* By the name that dwz wrote: absolute, or seen from the file that holds it. */
static bool find_by_name(const struct debugfile_finder *f, const struct candidate *from,
	const struct debuglinks *links, struct candidate *c)
{
	const int roots[] = { from->root, f->host, f->target };
	const char *slash = strrchr(from->path, '/');

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		bool found = *links->alt_name == '/'
				     ? try_path(c, roots[i], "%s", links->alt_name)
				     : slash && try_path(c, roots[i], "%.*s/%s",
							(int)(slash - from->path), from->path,
							links->alt_name);

		if (found && accept_id(c, &links->alt_id, FOR_SUPPLEMENT))
			return true;
	}
	return false;
}

static int find_supplementary(const struct debugfile_finder *f, const struct candidate *from,
	const struct debuglinks *links)
{
	struct candidate c = { .fd = -1 };

	if (!*links->alt_name || !links->alt_id.length || cancelled(f))
		return -1;
	if (find_by_id(f, &links->alt_id, FOR_SUPPLEMENT, &c) || find_by_name(f, from, links, &c) ||
		find_by_server(f, &links->alt_id, FOR_SUPPLEMENT, &c))
		return c.fd;
	debug("%s has a supplement that is not there: %s", from->path, links->alt_name);
	return -1;
}

struct debugfiles debugfile_find(struct debugfile_finder *f, int fd, const char *path)
{
	struct debugfiles files = { -1, -1 };
	struct candidate c = { .fd = -1, .root = f->target < 0 ? f->host : f->target };
	struct debuglinks links;

	if (fd < 0 || cancelled(f) || debuglinks_read(fd, &links))
		return files;
	snprintf(c.path, sizeof(c.path), "%s", path);
	if (!links.has_dwarf) {
		if (!find_by_id(f, &links.id, FOR_DEBUG, &c) &&
			!find_by_link(f, path, &links, &c) &&
			!find_by_server(f, &links.id, FOR_DEBUG, &c))
			return files;
		debug("the debug file of %s is %s", path, c.path);
		files.debug = c.fd;
		if (debuglinks_read(c.fd, &links))
			return files;
	}
	files.supplementary = find_supplementary(f, &c, &links);
	return files;
}
