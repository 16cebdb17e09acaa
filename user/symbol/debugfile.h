/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the debug information of a module is, when the module itself was stripped of it. As
 * debuggers look for it: by build id, by debug link, by server.
 */
#ifndef HEAPTAP_DEBUGFILE_H
#define HEAPTAP_DEBUGFILE_H

#include <stdatomic.h>

#include "debuginfod.h"

struct debugfile_finder {
	int host;   /* root directories, O_PATH */
	int target; /* of the process; -1: the same */
	struct debuginfod *server;
	const atomic_bool *cancelled;
};

/* pid 0: none but the host's. Ends a search early when *cancelled. 0 or -errno. */
int debugfile_open(struct debugfile_finder *f, pid_t pid, const atomic_bool *cancelled);
void debugfile_close(struct debugfile_finder *f);

struct debugfiles {
	int debug; /* -1: none, or not needed; the caller's */
	int supplementary;
};

/*
 * Looks for the files of a module: fd is open on it, path is what the process calls it. The names that
 * lead to them are chosen by the target, so only regular files are opened, below its own root, and
 * only those whose build id or CRC is the one asked for are taken. May take long: a CRC reads the
 * whole file, a server may be slow.
 */
struct debugfiles debugfile_find(struct debugfile_finder *f, int fd, const char *path);

#endif
