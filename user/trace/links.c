// SPDX-License-Identifier: GPL-2.0-or-later
#include "links.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "../base/err.h"
#include "attach_types.h"

/* --- which program goes where ---------------------------------------------------------------- */

/* Probes of a plan that one program is for. */
enum probes { PROBES_ALLOCATING, PROBES_FREEING, PROBES_ALL };

struct part {
	enum kernel_program program;
	enum probes probes;
	bool at_return;
};

/*
 * In the order of attaching. Returns before entries: the program for returns passes over what it
 * does not know, while an entry whose return is not seen would stay in flight.
 */
#define MAX_PARTS 3
static const struct {
	uint32_t count;
	struct part parts[MAX_PARTS];
} kinds[LINK_KINDS] = {
	[LINK_SESSION] = { 2, { { PROGRAM_ALLOCATE, PROBES_ALLOCATING, false },
				      { PROGRAM_RELEASE, PROBES_FREEING, false } } },
	[LINK_SESSION_CTX] = { 2, { { PROGRAM_ALLOCATE, PROBES_ALLOCATING, false },
					  { PROGRAM_RELEASE, PROBES_FREEING, false } } },
	[LINK_MULTI] = { 2, { { PROGRAM_LEAVE, PROBES_ALLOCATING, true },
				    { PROGRAM_ENTER, PROBES_ALL, false } } },
	[LINK_PERF] = { 3, { { PROGRAM_LEAVE, PROBES_ALLOCATING, true },
				   { PROGRAM_ENTER, PROBES_ALLOCATING, false },
				   { PROGRAM_ENTER, PROBES_FREEING, false } } },
};

static bool belongs(const struct plan_probe *probe, enum probes probes)
{
	return probes == PROBES_ALL || probe->returns == (probes == PROBES_ALLOCATING);
}

static void places_release(struct places *p)
{
	free(p->offsets);
	free(p->cookies);
}

static int places_collect(struct places *p, const struct plan *plan, uint32_t module_id,
	const struct module *module, enum probes probes, uint64_t tag)
{
	p->offsets = calloc(plan->count, sizeof(*p->offsets));
	p->cookies = calloc(plan->count, sizeof(*p->cookies));
	if (plan->count && (!p->offsets || !p->cookies))
		return err(-ENOMEM, "out of memory");
	for (uint32_t i = 0; i < plan->count; i++) {
		const struct plan_probe *probe = &plan->probes[i];

		if (probe->module != module_id || !belongs(probe, probes))
			continue;
		if (probe->returns && plan_check_return(probe, module))
			return -EINVAL;
		p->offsets[p->count] = probe->offset;
		p->cookies[p->count++] = tag | (uint64_t)probe->pushed << 8 | probe->role;
	}
	return 0;
}

/* --- making links ---------------------------------------------------------------------------- */

/*
 * Our descriptor is the mapped inode; the path in the target's world may be another one by now.
 */
#define FILE_PATH 32
static const char *file_path(char text[FILE_PATH], const struct module *module)
{
	snprintf(text, FILE_PATH, "/proc/self/fd/%d", module->fd);
	return text;
}

int link_create_multi(int program, uint32_t attach_type, bool at_return, const char *path,
	const struct places *places, pid_t pid)
{
	struct uprobe_multi_attr attr = {
		.program_fd = (uint32_t)program,
		.attach_type = attach_type,
		.path = (uint64_t)(uintptr_t)path,
		.offsets = (uint64_t)(uintptr_t)places->offsets,
		.cookies = (uint64_t)(uintptr_t)places->cookies,
		.count = places->count,
		.multi_flags = at_return ? UPROBE_MULTI_RETURN : 0,
		.pid = (uint32_t)pid,
	};
	int fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : fd;
}

/*
 * An event for a process is one for its first thread, but the program runs for all that share its
 * memory. It is never enabled: the program runs all the same, and nobody counts the event itself.
 */
static int create_perf_event(const char *path, uint64_t offset, bool at_return, pid_t pid)
{
	int pmu = features_uprobe_pmu(), fd;
	struct perf_event_attr attr = {
		.type = (uint32_t)pmu,
		.size = sizeof(attr),
		.config = at_return, /* bit 0: format/retprobe of the PMU */
		.disabled = 1,
		.config1 = (uint64_t)(uintptr_t)path,
		.config2 = offset,
	};

	if (pmu < 0)
		return pmu;
	/* Of all processes: on any one CPU, the program runs on all. */
	fd = (int)syscall(
		SYS_perf_event_open, &attr, pid ? pid : -1, pid ? -1 : 0, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The link holds its event: closing it ends both. */
int link_create_perf(
	int program, bool at_return, const char *path, uint64_t offset, uint64_t cookie, pid_t pid)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .perf_event.bpf_cookie = cookie);
	int event CLEANUP_CLOSE = create_perf_event(path, offset, at_return, pid), fd;

	if (event < 0)
		return event;
	fd = bpf_link_create(program, event, BPF_PERF_EVENT, &options);
	return fd < 0 ? -errno : fd;
}

/* --- attaching ------------------------------------------------------------------------------- */

static int attach_error(
	int error, const struct kernel *kernel, const struct module *module, pid_t pid)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		return err(error, "the kernel refuses %s probes in pid %d: %s",
			link_kind_name(kernel->kind), pid,
			features_link_remedy(kernel->kind, error));
	case -ESRCH:
		return err(error, "pid %d exited while probes were attached", pid);
	case -EINVAL:
		return err(-EOPNOTSUPP, "the kernel refuses %s probes in %s; -v tells more",
			link_kind_name(kernel->kind), module->path);
	case -EMFILE:
		return err(error, "too many open files: raise ulimit -n");
	default:
		return err(error, "cannot attach probes to %s: %s", module->path, strerror(-error));
	}
}

/* What a keeper makes: the links of one module. */
struct order {
	const struct kernel *kernel;
	const struct places *places; /* one a part of the kind */
	const char *path;
	pid_t pid;
};

static int make_part(const struct order *order, const struct part *part,
	const struct places *places, struct descriptors *made)
{
	const struct bpf_program *program = order->kernel->programs[part->program];
	int fd, error = 0;

	if (!places->count)
		return 0;
	if (order->kernel->kind != LINK_PERF) {
		fd = link_create_multi(bpf_program__fd(program),
			bpf_program__expected_attach_type(program), part->at_return, order->path,
			places, order->pid);
		return fd < 0 ? fd : descriptors_add(made, fd);
	}
	for (uint32_t i = 0; !error && i < places->count; i++) {
		fd = link_create_perf(bpf_program__fd(program), part->at_return, order->path,
			places->offsets[i], places->cookies[i], order->pid);
		error = fd < 0 ? fd : descriptors_add(made, fd);
	}
	return error;
}

static int make_links(const void *context, struct descriptors *made)
{
	const struct order *order = context;
	enum link_kind kind = order->kernel->kind;
	int error = 0;

	for (uint32_t i = 0; !error && i < kinds[kind].count; i++)
		error = make_part(order, &kinds[kind].parts[i], &order->places[i], made);
	return error;
}

static int reserve_one(struct links *links)
{
	struct keeper *all = realloc(links->keepers, (links->count + 1UL) * sizeof(*all));
	struct link_owner *owners;

	if (!all)
		return -ENOMEM;
	links->keepers = all;
	owners = realloc(links->owners, (links->count + 1UL) * sizeof(*owners));
	if (!owners)
		return -ENOMEM;
	links->owners = owners;
	return 0;
}

static int add_keeper(struct links *links, const struct order *order, uint32_t module_id)
{
	int error = reserve_one(links);

	if (!error)
		error = keeper_start(&links->keepers[links->count], make_links, order,
			links->keepers, links->count);
	if (!error)
		links->owners[links->count++] = (struct link_owner){ module_id, order->pid };
	return error;
}

int links_attach(struct links *links, const struct kernel *kernel, const struct plan *plan,
	uint32_t module_id, const struct module *module, pid_t pid, uint64_t tag)
{
	struct places places[MAX_PARTS] = { 0 };
	char path[FILE_PATH];
	struct order order = { kernel, places, file_path(path, module), pid };
	uint32_t probes = 0;
	int error = 0;

	for (uint32_t i = 0; !error && i < kinds[kernel->kind].count; i++) {
		error = places_collect(&places[i], plan, module_id, module,
			kinds[kernel->kind].parts[i].probes, tag);
		probes += places[i].count;
	}
	if (!error && probes) {
		error = add_keeper(links, &order, module_id);
		if (error)
			error = attach_error(error, kernel, module, pid);
	}
	for (uint32_t i = 0; i < MAX_PARTS; i++)
		places_release(&places[i]);
	return error;
}

bool links_hold(const struct links *links)
{
	for (uint32_t i = 0; i < links->count; i++)
		if (!keeper_lives(&links->keepers[i]))
			return false;
	return true;
}

bool links_has(const struct links *links, uint32_t module_id, pid_t pid)
{
	for (uint32_t i = 0; i < links->count; i++)
		if (links->owners[i].module == module_id && links->owners[i].pid == pid)
			return true;
	return false;
}

static int move_at(struct links *links, uint32_t i, struct links *to)
{
	int error = reserve_one(to);

	if (error)
		return error;
	to->keepers[to->count] = links->keepers[i];
	to->owners[to->count++] = links->owners[i];
	links->count--;
	links->keepers[i] = links->keepers[links->count];
	links->owners[i] = links->owners[links->count];
	return 0;
}

int links_move_process(struct links *links, pid_t pid, struct links *to)
{
	int error = 0;

	for (uint32_t i = links->count; !error && i-- > 0;)
		if (links->owners[i].pid == pid)
			error = move_at(links, i, to);
	return error;
}

int links_move_module(struct links *links, uint32_t module_id, struct links *to)
{
	int error = 0;

	for (uint32_t i = links->count; !error && i-- > 0;)
		if (links->owners[i].module == module_id && links->owners[i].pid)
			error = move_at(links, i, to);
	return error;
}

void links_begin_close(struct links *links)
{
	for (uint32_t i = 0; i < links->count; i++)
		keeper_begin_stop(&links->keepers[i]);
}

void links_close(struct links *links)
{
	links_begin_close(links);
	for (uint32_t i = 0; i < links->count; i++)
		keeper_stop(&links->keepers[i]);
	free(links->keepers);
	free(links->owners);
	*links = (struct links){ 0 };
}
