// SPDX-License-Identifier: GPL-2.0-or-later
#include "mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "identity.h"

#define OVERLAY_MAGIC 0x794c7630 /* linux/magic.h */

/* The kernel writes a newline in a name as \\012, and nothing else in an other way. */
const char *mapped_path(char to[MAPPED_PATH], const char *maps_text, const struct map_entry *m)
{
	const char *text = maps_text + m->path;
	size_t used = 0;

	for (size_t i = 0; i < m->path_length && used + 1 < MAPPED_PATH; i++) {
		if (m->path_length - i >= 4 && !memcmp(text + i, "\\012", 4)) {
			to[used++] = '\n';
			i += 3;
		} else {
			to[used++] = text[i];
		}
	}
	to[used] = 0;
	return to;
}

bool mapped_is_nameless(const char *path)
{
	return !strncmp(path, "/memfd:", 7) || !strncmp(path, "/dev/", 5) ||
	       !strncmp(path, "/SYSV", 5);
}

/* Where the file's first bytes are mapped: linkers put the text behind them. 0: not at all. */
static uint64_t first_bytes(const struct map_entry *first, const struct map_entry *m)
{
	for (;; m--) {
		if (!m->offset)
			return m->start;
		if (m == first || m[-1].inode != m->inode || m[-1].device != m->device)
			return 0;
	}
}

/* A negative number when the process's memory may not be read. */
static int compare_with_image(int fd, pid_t pid, uint64_t address)
{
	struct buffer in CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	int files[2] = { fd, -1 }, error;
	char path[64];

	if (!address)
		return IDENTITY_UNKNOWN;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	files[1] = open(path, O_RDONLY | O_CLOEXEC);
	if (files[1] < 0)
		return -errno;
	buffer_append(&in, &address, sizeof(address));
	error = parse_request(&identity_parser, files, 2, &in, &out);
	close(files[1]);
	return error ? error : (int)((const struct identity_answer *)(void *)out.data)->identity;
}

/*
 * The same build id is not the same inode: a copy has it too, and probes on a copy see nothing. Only on overlayfs do
 * the numbers differ for one file: there the build id has to do.
 */
static int verify(int fd, pid_t pid, const struct map_entry *first, const struct map_entry *m)
{
	int identity = compare_with_image(fd, pid, first_bytes(first, m));
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return -ESTALE;
	if (identity == IDENTITY_DIFFERENT)
		return -ESTALE;
	if (st.st_ino == m->inode)
		return 0;
	if (fstatfs(fd, &fs) || fs.f_type != OVERLAY_MAGIC)
		return -ESTALE;
	return identity == IDENTITY_SAME ? 0 : identity < 0 ? identity : -ESTALE;
}

static int open_verified(
	const char *path, pid_t pid, const struct map_entry *first, const struct map_entry *m)
{
	struct stat st;
	int fd, error;

	/* Not a FIFO or a device that the target's owner put there: opening those can block. */
	if (stat(path, &st))
		return errno == ENOENT || errno == ENOTDIR ? -ESTALE : -errno;
	if (!S_ISREG(st.st_mode))
		return -ESTALE;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	error = verify(fd, pid, first, m);
	if (error)
		close(fd);
	return error ? error : fd;
}

int mapped_open(
	pid_t pid, const struct map_entry *first, const struct map_entry *m, const char *path)
{
	char link[96], rooted[4200];
	int fd, by_exe;

	snprintf(link, sizeof(link), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, m->start,
		m->end);
	fd = open(link, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	fd = -ESTALE;
	if (!m->deleted && snprintf(rooted, sizeof(rooted), "/proc/%d/root%s", pid, path) <
				   (int)sizeof(rooted))
		fd = open_verified(rooted, pid, first, m);
	if (fd >= 0)
		return fd;
	/* The program itself has a link of its own, which holds when its path is gone. */
	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	by_exe = open_verified(link, pid, first, m);
	return by_exe >= 0 ? by_exe : fd;
}
