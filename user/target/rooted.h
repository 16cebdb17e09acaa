/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files as a process names them: below its own root directory, which a container chose. */
#ifndef HEAPTAP_ROOTED_H
#define HEAPTAP_ROOTED_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * The root directory of a process, or the host's with pid 0, by O_PATH: good for rooted_open() also
 * when the process has ended. -errno.
 */
int rooted_directory(pid_t pid);
bool rooted_is_same(int a, int b);

/*
 * Opens a regular file for reading as a process with that root would name it: links lead nowhere else,
 * and a FIFO or a device is looked at, but not opened, which could block or worse. last_link: the
 * last part may be a symbolic link. -errno.
 */
int rooted_open(int root, const char *path, bool last_link);

#endif
