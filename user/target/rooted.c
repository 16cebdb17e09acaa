// SPDX-License-Identifier: GPL-2.0-or-later
#include "rooted.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/cleanup.h"

int rooted_directory(pid_t pid)
{
	char path[64] = "/";
	int fd;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/root", pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

bool rooted_is_same(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int rooted_open(int root, const char *path, bool last_link)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | (last_link ? 0 : O_NOFOLLOW),
		.resolve = RESOLVE_IN_ROOT,
	};
	CLEANUP_CLOSE int found = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	struct stat st;
	char self[64];
	int fd;

	if (found < 0 || fstat(found, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", found);
	fd = open(self, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
