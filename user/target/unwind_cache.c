// SPDX-License-Identifier: GPL-2.0-or-later
#include "unwind_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TABLE_BYTES_MAX (512U << 20)
#define NAME_BYTES	(ELF_BUILD_ID_TEXT + 32)

static bool is_ours_alone(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static int directory_path(char *path, size_t size)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;

	if (base && *base == '/')
		n = snprintf(path, size, "%s/heaptap", base);
	else if (!geteuid())
		n = snprintf(path, size, "/var/cache/heaptap");
	else if (home && *home == '/')
		n = snprintf(path, size, "%s/.cache/heaptap", home);
	else
		return -ENOENT;
	return n >= (int)size ? -ENAMETOOLONG : 0;
}

int unwind_cache_open(void)
{
	char path[PATH_MAX];
	int error = directory_path(path, sizeof(path));
	struct stat st;
	int fd;

	if (error)
		return error;
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !is_ours_alone(&st)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

bool unwind_may_share(int fd, const struct elf_info *elf, uint64_t *bytes)
{
	struct stat st;

	if (!elf || !elf->build_id_length || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return false;
	*bytes = (uint64_t)st.st_size;
	return (!st.st_uid || st.st_uid == geteuid()) && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

static void file_name(char name[NAME_BYTES], const struct elf_info *elf, uint64_t bytes)
{
	char id[ELF_BUILD_ID_TEXT];

	snprintf(name, NAME_BYTES, "%s-%" PRIx64 ".v%u", elf_build_id_text(id, elf), bytes,
		UNWIND_VERSION);
}

int unwind_cache_load(int dir, const struct elf_info *elf, uint64_t bytes, struct buffer *out)
{
	char name[NAME_BYTES];
	struct stat st;
	int error;

	buffer_clear(out);
	file_name(name, elf, bytes);
	int fd CLEANUP_CLOSE = dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !is_ours_alone(&st) ||
		st.st_size > TABLE_BYTES_MAX)
		return -EPERM;
	error = buffer_read_fd(out, fd, TABLE_BYTES_MAX);
	if (!error)
		error = unwind_check(out->data, out->length);
	if (error)
		buffer_clear(out);
	return error;
}

/* Directories of other people's making can be large: only so many entries are looked at. */
static void make_room(int dir)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0;
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	char oldest[NAME_MAX + 1] = "";
	struct timespec oldest_time = { 0 };
	struct dirent *e;
	struct stat st;

	while (entries && count < 4 * UNWIND_CACHE_FILES && (e = readdir(entries))) {
		if (e->d_name[0] == '.' || fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (!count++ || st.st_mtim.tv_sec < oldest_time.tv_sec) {
			snprintf(oldest, sizeof(oldest), "%s", e->d_name);
			oldest_time = st.st_mtim;
		}
	}
	if (count >= UNWIND_CACHE_FILES)
		unlinkat(dir, oldest, 0);
	if (entries)
		closedir(entries);
	else if (copy >= 0)
		close(copy);
}

static bool write_all(int fd, const struct buffer *b)
{
	for (size_t at = 0; at < b->length;) {
		ssize_t n = write(fd, b->data + at, b->length - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

void unwind_cache_store(
	int dir, const struct elf_info *elf, uint64_t bytes, const struct buffer *table)
{
	char name[NAME_BYTES], temporary[NAME_BYTES + 16];
	bool whole;
	int fd;

	if (dir < 0)
		return;
	make_room(dir);
	file_name(name, elf, bytes);
	snprintf(temporary, sizeof(temporary), ".%s.%d", name, (int)getpid());
	unlinkat(dir, temporary, 0); /* of an earlier process with our pid */
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	whole = write_all(fd, table);
	whole &= !close(fd);
	/* All of it or nothing, for whoever reads meanwhile. */
	if (!whole || renameat(dir, temporary, dir, name))
		unlinkat(dir, temporary, 0);
}
