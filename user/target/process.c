// SPDX-License-Identifier: GPL-2.0-or-later
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/clock.h"
#include "../base/err.h"

#define PROC_LIMIT (1 << 20)
#define PF_KTHREAD 0x00200000UL /* include/linux/sched.h; user-visible as field 9 of stat */

static int read_proc(struct buffer *b, pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return buffer_read_file(b, path, PROC_LIMIT);
}

struct stat_fields {
	char state;
	unsigned long flags;
	long threads;
	uint64_t start_ticks;
	char comm[PROCESS_COMM];
};

/* The name may hold blanks and parentheses: fields are counted from the last parenthesis. */
static int read_stat(pid_t pid, struct stat_fields *s)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	const char *text, *open, *close;
	int n;

	if (read_proc(&b, pid, "stat"))
		return -ESRCH;
	text = buffer_string(&b);
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open)
		return -ESRCH;
	snprintf(s->comm, sizeof(s->comm), "%.*s", (int)(close - open - 1), open + 1);
	n = sscanf(close + 1,
		" %c %*d %*d %*d %*d %*d %lu %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d "
		"%" SCNu64,
		&s->state, &s->flags, &s->threads, &s->start_ticks);
	return n == 4 ? 0 : -ESRCH;
}

static bool has_ended(const struct stat_fields *s)
{
	return s->state == 'Z' || s->state == 'X';
}

pid_t process_live_thread(const struct process *p)
{
	struct stat_fields s;
	struct dirent *entry;
	char path[64];
	pid_t found = 0;
	DIR *tasks;

	if (!read_stat(p->pid, &s) && !has_ended(&s))
		return p->pid;
	snprintf(path, sizeof(path), "/proc/%d/task", p->pid);
	tasks = opendir(path);
	while (tasks && !found && (entry = readdir(tasks))) {
		pid_t tid = (pid_t)atoi(entry->d_name);

		if (tid > 0 && !read_stat(tid, &s) && !has_ended(&s))
			found = tid;
	}
	if (tasks)
		closedir(tasks);
	return found;
}

/* Field 47; the name in field 2 may hold blanks and parentheses. */
uint64_t process_heap_start(const struct process *p)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	const char *at;

	if (read_proc(&b, p->pid, "stat"))
		return 0;
	at = strrchr(buffer_string(&b), ')');
	for (int field = 2; at && field < 47; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

static pid_t leader_of(pid_t pid)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	const char *line;

	if (read_proc(&b, pid, "status"))
		return pid;
	line = strstr(buffer_string(&b), "\nTgid:");
	return line ? (pid_t)atoi(line + strlen("\nTgid:")) : pid;
}

static char *read_exe(pid_t pid)
{
	char path[64], target[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, target, sizeof(target) - 1);
	return n < 0 ? strdup("") : strndup(target, (size_t)n);
}

/* Lines are "id:controllers:path"; the unified hierarchy has id 0 and no controllers. */
static char *read_cgroup(pid_t pid)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	char *unified = NULL, *memory = NULL, *line, *next;

	if (read_proc(&b, pid, "cgroup"))
		return strdup("");
	buffer_string(&b);
	for (line = (char *)b.data; line && *line; line = next) {
		char *path;

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		path = strchr(line, ':');
		path = path ? strchr(path + 1, ':') : NULL;
		if (!path)
			continue;
		if (!strncmp(line, "0::", 3))
			unified = path + 1;
		else if (strstr(line, "memory"))
			memory = path + 1;
	}
	return strdup(memory ? memory : unified ? unified : "");
}

static uint64_t start_realtime_ns(uint64_t ticks)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	uint64_t boot_s = 0;
	const char *line;

	if (buffer_read_file(&b, "/proc/stat", PROC_LIMIT))
		return 0;
	line = strstr(buffer_string(&b), "\nbtime ");
	if (line)
		boot_s = strtoull(line + strlen("\nbtime "), NULL, 10);
	return boot_s * NS_PER_S + ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

int process_open(pid_t pid, struct process *p)
{
	struct process opened = { .pid = leader_of(pid) };
	struct stat_fields s;

	if (read_stat(opened.pid, &s))
		return err(-ESRCH, "no process has the pid %d", pid);
	if (opened.pid != pid)
		info("%d is a thread of %d (%s): the whole process is traced", pid, opened.pid,
			s.comm);
	if (s.flags & PF_KTHREAD)
		return err(-ENXIO, "pid %d (%s) is a kernel thread: it has no user memory to trace",
			pid, s.comm);
	if (has_ended(&s) && s.threads <= 1)
		return err(-ESRCH,
			"pid %d (%s) has already exited: only its parent has to take note", pid,
			s.comm);
	opened.pidfd = (int)syscall(SYS_pidfd_open, opened.pid, 0);
	if (opened.pidfd < 0)
		return err(errno == ESRCH ? -ESRCH : -errno, "cannot open pid %d: %s", pid,
			strerror(errno));
	memcpy(opened.comm, s.comm, sizeof(opened.comm));
	opened.start_ticks = s.start_ticks;
	opened.start_realtime_ns = start_realtime_ns(s.start_ticks);
	opened.exe = read_exe(opened.pid);
	opened.cgroup = read_cgroup(opened.pid);
	if (!opened.exe || !opened.cgroup) {
		process_close(&opened);
		return err(-ENOMEM, "out of memory");
	}
	*p = opened;
	return 0;
}

void process_close(struct process *p)
{
	if (p->pidfd > 0)
		close(p->pidfd);
	free(p->exe);
	free(p->cgroup);
	*p = (struct process){ .pidfd = -1 };
}

int process_copy(const struct process *p, struct process *copy)
{
	struct process c = *p;

	c.pidfd = -1;
	c.exe = strdup(p->exe);
	c.cgroup = strdup(p->cgroup);
	if (!c.exe || !c.cgroup) {
		process_close(&c);
		return -ENOMEM;
	}
	*copy = c;
	return 0;
}

bool process_ended(const struct process *p)
{
	struct pollfd fd = { .fd = p->pidfd, .events = POLLIN };

	return poll(&fd, 1, 0) > 0;
}

/* --- memory ---------------------------------------------------------------------------------- */

/* A "Name:   123 kB" line, in bytes. */
static int64_t kb_line(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? (int64_t)(strtoull(line + strlen(name), NULL, 10) << 10) : -1;
}

static int64_t read_limit(const char *directory, const char *file)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	char path[PATH_MAX];
	unsigned long long limit;
	char *end;

	if (snprintf(path, sizeof(path), "%s/%s", directory, file) >= (int)sizeof(path))
		return -1;
	if (buffer_read_file(&b, path, PROC_LIMIT))
		return -1;
	limit = strtoull(buffer_string(&b), &end, 10);
	/* "max" in version 2; a number near 2^63 in version 1. */
	return end == (char *)b.data || limit >= 1ULL << 60 ? -1 : (int64_t)limit;
}

/* The tightest limit on the way from a cgroup up to the root of its hierarchy. */
static int64_t tightest_limit(const char *root, const char *cgroup, const char *file)
{
	char path[PATH_MAX];
	int64_t tightest = -1;
	size_t root_length = strlen(root);

	if (snprintf(path, sizeof(path), "%s%s", root, cgroup) >= (int)sizeof(path))
		return -1;
	while (strlen(path) >= root_length) {
		int64_t limit = read_limit(path, file);
		char *slash;

		if (limit >= 0 && (tightest < 0 || limit < tightest))
			tightest = limit;
		slash = strrchr(path, '/');
		if (!slash)
			break;
		*slash = 0;
	}
	return tightest;
}

void process_read_memory(const struct process *p, bool with_pss, struct process_memory *m)
{
	struct buffer status CLEANUP_BUFFER = { 0 }, rollup CLEANUP_BUFFER = { 0 };

	*m = (struct process_memory){ .rss = -1,
		.pss = -1,
		.swap = -1,
		.rss_anon = -1,
		.rss_file = -1,
		.rss_shmem = -1,
		.anon_huge = -1,
		.limit = -1 };
	if (!read_proc(&status, process_live_thread(p), "status")) {
		m->rss = kb_line(buffer_string(&status), "\nVmRSS:");
		m->swap = kb_line(buffer_string(&status), "\nVmSwap:");
		m->rss_anon = kb_line(buffer_string(&status), "\nRssAnon:");
		m->rss_file = kb_line(buffer_string(&status), "\nRssFile:");
		m->rss_shmem = kb_line(buffer_string(&status), "\nRssShmem:");
	}
	if (with_pss && !read_proc(&rollup, process_live_thread(p), "smaps_rollup")) {
		m->pss = kb_line(buffer_string(&rollup), "\nPss:");
		m->anon_huge = kb_line(buffer_string(&rollup), "\nAnonHugePages:");
	}
	m->limit = tightest_limit("/sys/fs/cgroup", p->cgroup, "memory.max");
	if (m->limit < 0)
		m->limit =
			tightest_limit("/sys/fs/cgroup/memory", p->cgroup, "memory.limit_in_bytes");
}

void host_read_usage(struct host_clock *before, struct host_usage *u)
{
	struct buffer memory CLEANUP_BUFFER = { 0 }, stat CLEANUP_BUFFER = { 0 };
	uint64_t t[8] = { 0 }, total = 0, busy;

	*u = (struct host_usage){ .cpu = -1 };
	if (!buffer_read_file(&memory, "/proc/meminfo", PROC_LIMIT)) {
		u->mem_total = (uint64_t)kb_line(buffer_string(&memory), "MemTotal:");
		u->mem_available = (uint64_t)kb_line(buffer_string(&memory), "MemAvailable:");
	}
	if (buffer_read_file(&stat, "/proc/stat", PROC_LIMIT))
		return;
	/* user nice system idle iowait irq softirq steal */
	if (sscanf(buffer_string(&stat),
		    "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		    " %" SCNu64 " %" SCNu64,
		    &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) != 8)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		total += t[i];
	busy = total - t[3] - t[4];
	if (before->total && total > before->total)
		u->cpu = (double)(busy - before->busy) / (double)(total - before->total);
	*before = (struct host_clock){ .busy = busy, .total = total };
}
