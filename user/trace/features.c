// SPDX-License-Identifier: GPL-2.0-or-later
#include "features.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../target/privilege.h"
#include "attach_types.h"
#include "empty_program.h"
#include "sideband.h"

#define UPROBE_PMU "/sys/bus/event_source/devices/uprobe/type"

#define FOR_PROGRAMS (PRIVILEGE_BPF | PRIVILEGE_PERFMON)

static const struct {
	const char *key, *name;
	uint32_t privileges; /* that help against -EPERM and -EACCES */
	const char *lacking; /* what helps against any other error */
} known[FEATURES] = {
	[LINK_SESSION] = { "session", "uprobe session links", FOR_PROGRAMS,
		"Linux 6.13 or newer, built with CONFIG_UPROBES and CONFIG_BPF_EVENTS" },
	[LINK_SESSION_CTX] = { "session_ctx", "uprobe session links of Linux 7.0", FOR_PROGRAMS,
		"Linux 7.0 or newer, built with CONFIG_UPROBES and CONFIG_BPF_EVENTS" },
	[LINK_MULTI] = { "multi", "uprobe_multi links", FOR_PROGRAMS,
		"Linux 6.6 or newer, built with CONFIG_UPROBES and CONFIG_BPF_EVENTS" },
	[LINK_PERF] = { "perf", "perf uprobe links", FOR_PROGRAMS | PRIVILEGE_SYS_ADMIN,
		"Linux 5.15 or newer, built with CONFIG_UPROBE_EVENTS" },
	[FEATURE_BTF] = { "btf", "type information of the kernel (BTF)", PRIVILEGE_DAC_READ_SEARCH,
		"a kernel built with CONFIG_DEBUG_INFO_BTF, and /sys mounted" },
	[FEATURE_PROGRAMS] = { "programs", "BPF programs for probes", FOR_PROGRAMS,
		"a kernel built with CONFIG_BPF_SYSCALL and CONFIG_BPF_EVENTS" },
	[FEATURE_RING_BUFFER] = { "ring_buffer", "BPF ring buffer", PRIVILEGE_BPF,
		"Linux 5.8 or newer" },
	[FEATURE_SIDE_BAND] = { "side_band", "side-band records of new code", PRIVILEGE_PERFMON,
		"a kernel built with CONFIG_PERF_EVENTS" },
};

const char *link_kind_name(enum link_kind kind)
{
	return kind == LINK_SESSION_CTX ? known[LINK_SESSION].key : known[kind].key;
}

static bool privilege_missing(int error)
{
	return error == -EPERM || error == -EACCES;
}

/* Names what this process lacks; the text holds until the next call for the same feature. */
static const char *remedy(int id, int error)
{
	static char texts[FEATURES][PRIVILEGE_TEXT];

	return privilege_missing(error) ? privilege_advice(texts[id], known[id].privileges)
					: known[id].lacking;
}

const char *features_link_remedy(enum link_kind kind, int error)
{
	return remedy((int)kind, error);
}

/* --- links ----------------------------------------------------------------------------------- */

/*
 * A link that cannot come to be: a kernel that knows the type says that a directory has no code
 * (-EBADF), one that does not says -EINVAL before it looks at the path.
 */
static int try_multi(uint32_t type)
{
	int program CLEANUP_CLOSE = empty_program_load(type);
	uint64_t offset = 0;
	struct uprobe_multi_attr attr = {
		.program_fd = (uint32_t)program,
		.attach_type = type,
		.path = (uint64_t)(uintptr_t) "/",
		.offsets = (uint64_t)(uintptr_t)&offset,
		.count = 1,
	};
	int fd CLEANUP_CLOSE = -1;

	if (program < 0)
		return program;
	fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	if (fd < 0 && errno == EBADF)
		return 0;
	return fd < 0 && privilege_missing(-errno) ? -errno : -EOPNOTSUPP;
}

int features_uprobe_pmu(void)
{
	FILE *file CLEANUP_FCLOSE = fopen(UPROBE_PMU, "re");
	char line[16];

	if (!file)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	return fgets(line, sizeof(line), file) && atoi(line) > 0 ? atoi(line) : -EOPNOTSUPP;
}

/* An event on a file that is not there: whoever may have one is told so. */
static int try_perf_event(void)
{
	int pmu = features_uprobe_pmu();
	struct perf_event_attr attr = {
		.type = (uint32_t)pmu,
		.size = sizeof(attr),
		.config1 = (uint64_t)(uintptr_t) "/proc/self/fd/none",
	};
	int fd CLEANUP_CLOSE = -1;

	if (pmu < 0)
		return pmu;
	fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 && errno != ENOENT ? -errno : 0;
}

static int try_perf(void)
{
	int program CLEANUP_CLOSE = empty_program_load(0), error = try_perf_event();
	int link CLEANUP_CLOSE = -1;

	if (program < 0)
		return program;
	if (error)
		return error;
	/* Links with a cookie came at once with links of perf events. */
	link = bpf_link_create(program, -1, BPF_PERF_EVENT, NULL);
	if (link < 0 && errno == EBADF)
		return 0;
	return link < 0 && privilege_missing(-errno) ? -errno : -EOPNOTSUPP;
}

int features_try_link(enum link_kind kind)
{
	switch (kind) {
	case LINK_SESSION:
	case LINK_SESSION_CTX:
		return try_multi(ATTACH_UPROBE_SESSION);
	case LINK_MULTI:
		return try_multi(ATTACH_UPROBE_MULTI);
	default:
		return try_perf();
	}
}

/* --- the rest -------------------------------------------------------------------------------- */

/* How many arguments bpf_session_cookie() takes, or -errno when there is none. */
static int session_cookie_arguments(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "bpf_session_cookie", BTF_KIND_FUNC);

	if (id < 0)
		return -EOPNOTSUPP;
	return btf_vlen(btf__type_by_id(btf, btf__type_by_id(btf, (uint32_t)id)->type));
}

static int try_session(const struct btf *btf, enum link_kind kind)
{
	int error = features_try_link(kind), arguments;

	if (error || !btf) /* without BTF the link is all that can be tried */
		return error;
	arguments = session_cookie_arguments(btf);
	if (arguments < 0)
		return arguments;
	return arguments == (kind == LINK_SESSION_CTX) ? 0 : -EOPNOTSUPP;
}

static int try_ring_buffer(void)
{
	int fd CLEANUP_CLOSE = bpf_map_create(
		BPF_MAP_TYPE_RINGBUF, "try", 0, 0, (uint32_t)sysconf(_SC_PAGESIZE), NULL);

	return fd < 0 ? -errno : 0;
}

static int try_programs(void)
{
	int fd CLEANUP_CLOSE = empty_program_load(0);

	return fd < 0 ? fd : 0;
}

static int try_side_band(void)
{
	struct sideband s = { 0 };
	int error = sideband_open(&s);

	sideband_close(&s);
	return error;
}

static void set(struct features *f, int id, int error)
{
	f->all[id] = (struct feature){ .key = known[id].key,
		.name = known[id].name,
		.error = error,
		.remedy = error ? remedy(id, error) : NULL };
}

void features_probe(struct features *out)
{
	struct btf *btf = btf__load_vmlinux_btf();

	set(out, FEATURE_BTF, btf ? 0 : -errno);
	set(out, FEATURE_PROGRAMS, try_programs());
	set(out, FEATURE_RING_BUFFER, try_ring_buffer());
	set(out, FEATURE_SIDE_BAND, try_side_band());
	set(out, LINK_SESSION, try_session(btf, LINK_SESSION));
	set(out, LINK_SESSION_CTX, try_session(btf, LINK_SESSION_CTX));
	set(out, LINK_MULTI, features_try_link(LINK_MULTI));
	set(out, LINK_PERF, features_try_link(LINK_PERF));
	btf__free(btf);
	/* A kernel has one of the two: there is nothing to mend about the other. */
	if (!out->all[LINK_SESSION].error)
		out->all[LINK_SESSION_CTX].remedy = NULL;
	if (!out->all[LINK_SESSION_CTX].error)
		out->all[LINK_SESSION].remedy = NULL;
}
