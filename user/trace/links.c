// SPDX-License-Identifier: GPL-2.0-or-later
#include "links.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "../base/err.h"
#include "attach_types.h"

static int create_link(int program_fd, bool session, int file, const uint64_t *offsets,
	const uint64_t *cookies, uint32_t count, pid_t pid)
{
	char path[64];
	struct uprobe_multi_attr attr = {
		.program_fd = (uint32_t)program_fd,
		.attach_type = session ? ATTACH_UPROBE_SESSION : ATTACH_UPROBE_MULTI,
		.path = (uint64_t)(uintptr_t)path,
		.offsets = (uint64_t)(uintptr_t)offsets,
		.cookies = (uint64_t)(uintptr_t)cookies,
		.count = count,
		.pid = (uint32_t)pid,
	};
	int fd;

	/*
	 * Our descriptor is the mapped inode; the path in the target's world may be another one by
	 * now.
	 */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

static int attach_error(int error, const struct module *module, pid_t pid)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		return err(error,
			"the kernel refuses probes in pid %d: run as root or with CAP_BPF and "
			"CAP_PERFMON",
			pid);
	case -ESRCH:
		return err(error, "pid %d exited while probes were attached", pid);
	case -EINVAL:
		return err(-EOPNOTSUPP,
			"the kernel has no uprobe sessions: Linux 6.13 or newer is needed");
	default:
		return err(error, "cannot attach probes to %s: %s", module->path, strerror(-error));
	}
}

int links_attach(struct links *links, int program_fd, const struct plan *plan, uint32_t module_id,
	const struct module *module, bool returns, pid_t pid)
{
	uint64_t *offsets CLEANUP_FREE = calloc(plan->count, sizeof(*offsets));
	uint64_t *cookies CLEANUP_FREE = calloc(plan->count, sizeof(*cookies));
	struct link *all = realloc(links->all, (links->count + 1) * sizeof(*all));
	uint32_t count = 0;
	int fd;

	if (all)
		links->all = all;
	if (!offsets || !cookies || !all)
		return err(-ENOMEM, "out of memory");
	for (uint32_t i = 0; i < plan->count; i++) {
		const struct plan_probe *probe = &plan->probes[i];

		if (probe->module != module_id || probe->returns != returns)
			continue;
		if (returns && plan_check_return(probe, module))
			return -EINVAL;
		offsets[count] = probe->offset;
		cookies[count++] = (uint64_t)probe->pushed << 8 | probe->role;
	}
	if (!count)
		return 0;
	fd = create_link(program_fd, returns, module->fd, offsets, cookies, count, pid);
	if (fd < 0)
		return attach_error(fd, module, pid);
	all[links->count++] = (struct link){ .fd = fd, .returns = returns };
	return 0;
}

static void *close_link(void *fd)
{
	close((int)(intptr_t)fd);
	return NULL;
}

void links_begin_close(struct links *links, bool returns)
{
	for (uint32_t i = 0; i < links->count; i++) {
		struct link *link = &links->all[i];

		if (link->returns == returns && !link->closing)
			link->closing = !pthread_create(
				&link->thread, NULL, close_link, (void *)(intptr_t)link->fd);
	}
}

void links_close(struct links *links)
{
	links_begin_close(links, true);
	links_begin_close(links, false);
	for (uint32_t i = 0; i < links->count; i++) {
		if (links->all[i].closing)
			pthread_join(links->all[i].thread, NULL);
		else
			close(links->all[i].fd);
	}
	free(links->all);
	*links = (struct links){ 0 };
}
