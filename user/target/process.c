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

static int read_proc(struct buffer *b, pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return buffer_read_file(b, path, PROC_LIMIT);
}

/* The name may hold blanks and parentheses: fields are counted from the last parenthesis. */
int process_read_stat(pid_t pid, struct process_stat *s)
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

static bool has_ended(const struct process_stat *s)
{
	return s->state == 'Z' || s->state == 'X';
}

bool process_is_zombie(const struct process_stat *s)
{
	return has_ended(s) && s->threads <= 1;
}

/* The first thread that is as asked; 0: none is. */
static pid_t find_thread(pid_t pid, bool (*is)(pid_t tid))
{
	struct dirent *entry;
	char path[64];
	pid_t found = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && !found && (entry = readdir(tasks))) {
		pid_t tid = (pid_t)atoi(entry->d_name);

		if (tid > 0 && is(tid))
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

static bool is_alive(pid_t tid)
{
	struct process_stat s;

	return !process_read_stat(tid, &s) && !has_ended(&s);
}

pid_t process_live_thread(const struct process *p)
{
	return is_alive(p->pid) ? p->pid : find_thread(p->pid, is_alive);
}

/* A number from /proc/PID/status; -1: not known. */
static int status_number(pid_t pid, const char *name)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	const char *line;

	if (read_proc(&b, pid, "status"))
		return -1;
	line = strstr(buffer_string(&b), name);
	return line ? atoi(line + strlen(name)) : -1;
}

static pid_t leader_of(pid_t pid)
{
	pid_t leader = status_number(pid, "\nTgid:");

	return leader > 0 ? leader : pid;
}

/* 1 is strict mode, 2 a filter: include/uapi/linux/seccomp.h. */
static bool is_filtered(pid_t tid)
{
	return status_number(tid, "\nSeccomp:") > 0;
}

bool process_is_filtered(const struct process *p)
{
	return find_thread(p->pid, is_filtered) > 0;
}

pid_t process_debugger(const struct process *p, char comm[PROCESS_COMM])
{
	struct process_stat s;
	pid_t debugger = status_number(process_live_thread(p), "\nTracerPid:");

	if (debugger <= 0 || process_read_stat(debugger, &s))
		return 0;
	memcpy(comm, s.comm, sizeof(s.comm));
	return debugger;
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
char *process_read_cgroup(pid_t pid)
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

/*
 * Pids mean one thing to /proc and another to system calls in a process that was put into a pid namespace and still
 * has the /proc of the outer one: it would read about one process and probe another.
 */
static bool proc_is_ours(void)
{
	char text[32];
	ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);

	if (n < 0)
		return false;
	text[n] = 0;
	return atoi(text) == getpid();
}

int process_open(pid_t pid, struct process *p)
{
	struct process opened = { .pid = leader_of(pid) };
	struct process_stat s;

	if (!proc_is_ours())
		return err(-EOPNOTSUPP,
			"/proc belongs to another pid namespace than heaptap: mount this one's "
			"(unshare --mount-proc, or mount -t proc proc /proc)");
	if (process_read_stat(opened.pid, &s))
		return err(-ESRCH, "no process has the pid %d", pid);
	if (opened.pid != pid)
		info("%d is a thread of %d (%s): the whole process is traced", pid, opened.pid,
			s.comm);
	if (s.flags & PROCESS_KERNEL_THREAD)
		return err(-ENXIO, "pid %d (%s) is a kernel thread: it has no user memory to trace",
			pid, s.comm);
	if (process_is_zombie(&s))
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
	opened.cgroup = process_read_cgroup(opened.pid);
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

int64_t process_cgroup_limit(const char *cgroup)
{
	int64_t limit = tightest_limit("/sys/fs/cgroup", cgroup, "memory.max");

	return limit >= 0
		       ? limit
		       : tightest_limit("/sys/fs/cgroup/memory", cgroup, "memory.limit_in_bytes");
}

void process_read_usage(const struct process *p, bool with_pss, struct process_memory *m)
{
	struct buffer status CLEANUP_BUFFER = { 0 }, rollup CLEANUP_BUFFER = { 0 };

	*m = (struct process_memory){ .rss = -1,
		.pss = -1,
		.swap = -1,
		.anonymous = -1,
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
		m->anonymous = m->rss_anon;
		if (m->anonymous >= 0 && m->swap > 0)
			m->anonymous += m->swap;
	}
	if (with_pss && !read_proc(&rollup, process_live_thread(p), "smaps_rollup")) {
		m->pss = kb_line(buffer_string(&rollup), "\nPss:");
		m->anon_huge = kb_line(buffer_string(&rollup), "\nAnonHugePages:");
	}
}

void process_read_memory(const struct process *p, bool with_pss, struct process_memory *m)
{
	process_read_usage(p, with_pss, m);
	m->limit = process_cgroup_limit(p->cgroup);
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
