// SPDX-License-Identifier: GPL-2.0-or-later
#include "usage.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/clock.h"

#define PROC_LIMIT (1 << 20)
#define PSS_SHARE  50 /* one part of the time in so many */

static const char *read_text(struct buffer *b, const char *path)
{
	return buffer_read_file(b, path, PROC_LIMIT) ? NULL : buffer_string(b);
}

static const char *read_proc(struct buffer *b, pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return read_text(b, path);
}

/* The number behind a name; -1: it is not there. */
static int64_t number_after(const char *text, const char *name)
{
	const char *at = text ? strstr(text, name) : NULL;

	return at ? (int64_t)strtoull(at + strlen(name), NULL, 10) : -1;
}

static int64_t kb_after(const char *text, const char *name)
{
	int64_t kb = number_after(text, name);

	return kb < 0 ? -1 : kb << 10;
}

static void read_status(pid_t thread, struct usage *u)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	const char *text = read_proc(&b, thread, "status");

	u->rss = kb_after(text, "\nVmRSS:");
	u->rss_anon = kb_after(text, "\nRssAnon:");
	u->rss_file = kb_after(text, "\nRssFile:");
	u->rss_shmem = kb_after(text, "\nRssShmem:");
	u->swap = kb_after(text, "\nVmSwap:");
	u->threads = number_after(text, "\nThreads:");
}

/* Fields 10, 12, 14 and 15 of proc(5), counted from the name's closing parenthesis. */
static void read_stat(pid_t pid, struct usage *u)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	const char *text = read_proc(&b, pid, "stat"), *close = text ? strrchr(text, ')') : NULL;
	uint64_t minor, major, user, system;

	if (!close || sscanf(close + 1,
			      " %*c %*d %*d %*d %*d %*d %*u %" SCNu64 " %*u %" SCNu64
			      " %*u %" SCNu64 " %" SCNu64,
			      &minor, &major, &user, &system) != 4)
		return;
	u->minor_faults = (int64_t)minor;
	u->major_faults = (int64_t)major;
	u->cpu_ms = (int64_t)((user + system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

static int64_t read_number(const char *root, const char *cgroup, const char *file)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	char path[PATH_MAX];
	const char *text;

	if (snprintf(path, sizeof(path), "%s%s/%s", root, cgroup, file) >= (int)sizeof(path))
		return -1;
	text = read_text(&b, path);
	return text && *text >= '0' && *text <= '9' ? (int64_t)strtoull(text, NULL, 10) : -1;
}

static void read_cgroup(const char *cgroup, struct usage *u)
{
	u->cgroup_usage = read_number("/sys/fs/cgroup", cgroup, "memory.current");
	if (u->cgroup_usage < 0)
		u->cgroup_usage =
			read_number("/sys/fs/cgroup/memory", cgroup, "memory.usage_in_bytes");
	u->cgroup_limit = process_cgroup_limit(cgroup);
}

static int64_t read_pss(pid_t thread, struct usage_clock *clock)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	uint64_t now = clock_monotonic_ns();
	int64_t pss;

	if (clock->pss_read_ns && now - clock->pss_read_ns < PSS_SHARE * clock->pss_cost_ns)
		return -1;
	pss = kb_after(read_proc(&b, thread, "smaps_rollup"), "\nPss:");
	clock->pss_read_ns = now;
	clock->pss_cost_ns = clock_monotonic_ns() - now;
	return pss;
}

void usage_read(const struct process *p, struct usage_clock *clock, struct usage *u)
{
	pid_t thread = process_live_thread(p);
	struct host_usage host;

	*u = (struct usage){ .rss = -1,
		.rss_anon = -1,
		.rss_file = -1,
		.rss_shmem = -1,
		.pss = -1,
		.swap = -1,
		.minor_faults = -1,
		.major_faults = -1,
		.cpu_ms = -1,
		.threads = -1 };
	read_status(thread, u);
	read_stat(p->pid, u);
	read_cgroup(p->cgroup, u);
	u->pss = read_pss(thread, clock);
	host_read_usage(&clock->host, &host);
	u->mem_total = (int64_t)host.mem_total;
	u->mem_available = (int64_t)host.mem_available;
	u->host_cpu = host.cpu;
}
