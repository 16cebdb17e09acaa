// SPDX-License-Identifier: GPL-2.0-or-later
#include "tasks.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../include/records.h"
#include "../base/err.h"
#include "tasks.skel.h"

#define INITIAL_PID_NAMESPACE 0xeffffffcU /* PROC_PID_INIT_INO, include/linux/proc_ns.h */
#define IDS_LIMIT	      (64UL << 20)
#define ATTEMPTS	      10 /* the kernel may ask to read again */

static bool in_initial_namespace(void)
{
	struct stat st;

	return !stat("/proc/self/ns/pid", &st) && st.st_ino == INITIAL_PID_NAMESPACE;
}

static int read_ids(struct tasks *t)
{
	int fd = bpf_iter_create(t->link), error = fd < 0 ? -errno : -EAGAIN;

	for (int i = 0; i < ATTEMPTS && error == -EAGAIN; i++) {
		buffer_clear(&t->ids);
		error = buffer_read_fd(&t->ids, fd, IDS_LIMIT);
	}
	if (fd >= 0)
		close(fd);
	return error;
}

/* The kernel takes the pid as one of our namespace (6.1: task_group_seq_get_next in kernel/bpf/task_iter.c). */
static int create_link(const struct bpf_program *program, pid_t pid)
{
	union bpf_iter_link_info info = { .task.pid = (uint32_t)pid };
	LIBBPF_OPTS(
		bpf_link_create_opts, options, .iter_info = &info, .iter_info_len = sizeof(info));
	int fd = bpf_link_create(bpf_program__fd(program), 0, BPF_TRACE_ITER, &options);

	return fd < 0 ? -errno : fd;
}

static int open_iterator(struct tasks *t)
{
	struct tasks_bpf *bpf = tasks_bpf__open_and_load();
	int error = bpf ? 0 : -errno;

	if (!error) {
		/* The link keeps the program. */
		t->link = create_link(bpf->progs.threads, t->pid);
		error = t->link < 0 ? t->link : read_ids(t);
	}
	tasks_bpf__destroy(bpf);
	return error;
}

int tasks_open(struct tasks *t, pid_t pid)
{
	const struct ht_thread_id *first;
	int error;

	*t = (struct tasks){ .pid = pid, .tgid = (uint32_t)pid, .link = -1 };
	if (in_initial_namespace())
		return 0;
	error = open_iterator(t);
	if (error)
		return err(error,
			"cannot tell pid %d of this pid namespace to the kernel: %s; run heaptap "
			"outside of it",
			pid, strerror(-error));
	if (t->ids.length < sizeof(*first))
		return err(-ESRCH, "pid %d has exited", pid);
	first = (const void *)t->ids.data;
	t->tgid = first->tgid;
	debug("pid %d is %u in the initial pid namespace", pid, t->tgid);
	return 0;
}

uint32_t tasks_own_level(void)
{
	struct tasks t = { .pid = getpid(), .link = -1 };
	uint32_t level = 0;

	if (in_initial_namespace())
		return 0;
	if (!open_iterator(&t) && t.ids.length >= sizeof(struct ht_thread_id))
		level = ((const struct ht_thread_id *)(const void *)t.ids.data)->level;
	tasks_close(&t);
	return level;
}

void tasks_close(struct tasks *t)
{
	if (t->link >= 0)
		close(t->link);
	buffer_release(&t->ids);
	*t = (struct tasks){ .link = -1 };
}

static bool is_listed(const struct tasks *t, uint32_t tid)
{
	const struct ht_thread_id *ids = (const void *)t->ids.data;

	for (size_t i = 0; i < t->ids.length / sizeof(*ids); i++)
		if (ids[i].tid == tid)
			return true;
	return false;
}

bool tasks_thread_ended(struct tasks *t, uint32_t tid)
{
	char path[64];

	if (t->link < 0) {
		snprintf(path, sizeof(path), "/proc/%d/task/%u", t->pid, tid);
		return access(path, F_OK) != 0;
	}
	/* A thread that is not in the list may have begun since: only one read now tells. */
	return !is_listed(t, tid) && !read_ids(t) && !is_listed(t, tid);
}
