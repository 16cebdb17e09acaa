/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening the files that a process has mapped: those very ones, not what lies at their paths by now. */
#ifndef HEAPTAP_MAPPED_H
#define HEAPTAP_MAPPED_H

#include <sys/types.h>

#include "maps.h"

#define MAPPED_PATH 4097

/* The path of an entry as the process sees it: the kernel escapes newlines. Returns to. */
const char *mapped_path(char to[MAPPED_PATH], const char *maps_text, const struct map_entry *m);

/* Memory that is called a file and has no path of its own: a JIT's code, shared memory. */
bool mapped_is_nameless(const char *path);

/*
 * Opens the file of entry m, one of the entries from `first` on. By /proc/PID/map_files, which names the mapped inode
 * itself but wants CAP_CHECKPOINT_RESTORE; else by the path below the process's root, believed only when its build id
 * is that of the mapped image. A descriptor; -ESTALE: what is at the path now is another file, or none; or -errno,
 * silently.
 */
int mapped_open(
	pid_t pid, const struct map_entry *first, const struct map_entry *m, const char *path);

#endif
