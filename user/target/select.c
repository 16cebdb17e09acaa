// SPDX-License-Identifier: GPL-2.0-or-later
#include "select.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/err.h"
#include "process.h"

#define MOUNT	     "/sys/fs/cgroup"
#define CGROUP_LIMIT (1 << 16)

static bool starts_with(const char *text, size_t length, const char *prefix, size_t n)
{
	return length >= n && !memcmp(text, prefix, n);
}

/* Without slashes at its end: the root is "". */
static size_t trimmed(const char *path)
{
	size_t n = strlen(path);

	while (n && path[n - 1] == '/')
		n--;
	return n;
}

/* path is `of` or below. */
static bool is_below(const char *path, size_t length, const char *of)
{
	size_t n = trimmed(of);

	return starts_with(path, length, of, n) && (length == n || path[n] == '/');
}

/*
 * "id:controllers:path". Of a path of the file system what is below the mount counts: the unified hierarchy's own
 * directory, or that of one or several controllers of version 1.
 */
bool selection_has_cgroup(const char *cgroup, const char *line, size_t length)
{
	const char *controllers = memchr(line, ':', length), *path, *below;
	size_t n, path_length;

	controllers = controllers ? controllers + 1 : NULL;
	path = controllers ? memchr(controllers, ':', length - (size_t)(controllers - line)) : NULL;
	if (!path)
		return false;
	n = (size_t)(path - controllers);
	path++;
	path_length = length - (size_t)(path - line);
	if (!starts_with(cgroup, strlen(cgroup), MOUNT, strlen(MOUNT)))
		return is_below(path, path_length, cgroup);
	below = cgroup + strlen(MOUNT);
	if (!n && is_below(path, path_length, below))
		return true;
	if (*below != '/')
		return false;
	below++;
	if (starts_with(controllers, n, "name=", 5)) {
		controllers += 5;
		n -= 5;
	}
	/* "unified" is where both versions are mounted. */
	if (!n) {
		controllers = "unified";
		n = strlen(controllers);
	}
	return starts_with(below, strlen(below), controllers, n) &&
	       (!below[n] || below[n] == '/') && is_below(path, path_length, below + n);
}

static bool is_in_cgroup(pid_t pid, const char *cgroup)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	if (buffer_read_file(&b, path, CGROUP_LIMIT))
		return false;
	for (const char *line = buffer_string(&b), *end; *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		if (selection_has_cgroup(cgroup, line, (size_t)(end - line)))
			return true;
	}
	return false;
}

static bool is_ours(pid_t pid)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	char path[64];
	const char *line;

	if (pid == getpid())
		return true;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (buffer_read_file(&b, path, CGROUP_LIMIT))
		return false;
	line = strstr(buffer_string(&b), "\nPPid:");
	return line && atoi(line + strlen("\nPPid:")) == getpid();
}

static bool is_meant(const struct selection *s, pid_t pid)
{
	struct process_stat stat;

	if (process_read_stat(pid, &stat) || stat.flags & PROCESS_KERNEL_THREAD ||
		process_is_zombie(&stat))
		return false;
	if (s->comm && strcmp(stat.comm, s->comm))
		return false;
	if (s->cgroup && !is_in_cgroup(pid, s->cgroup))
		return false;
	return (s->all || s->comm || s->cgroup) && !is_ours(pid);
}

int selection_list(const struct selection *selection, struct buffer *pids)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		return err(-errno, "cannot read /proc: %s", strerror(errno));
	while ((entry = readdir(proc))) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid > 0 && is_meant(selection, pid))
			buffer_append(pids, &pid, sizeof(pid));
	}
	closedir(proc);
	return buffer_failed(pids) ? err(-ENOMEM, "out of memory") : 0;
}

static bool is_directory(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

bool selection_cgroup_exists(const char *cgroup)
{
	char path[PATH_MAX];
	DIR *mounts;
	struct dirent *entry;
	bool found;

	if (starts_with(cgroup, strlen(cgroup), MOUNT, strlen(MOUNT)))
		return is_directory(cgroup);
	snprintf(path, sizeof(path), MOUNT "/%s", cgroup);
	found = is_directory(path);
	mounts = opendir(MOUNT);
	while (mounts && !found && (entry = readdir(mounts))) {
		if (snprintf(path, sizeof(path), MOUNT "/%s/%s", entry->d_name, cgroup) <
			(int)sizeof(path))
			found = entry->d_name[0] != '.' && is_directory(path);
	}
	if (mounts)
		closedir(mounts);
	return found;
}
