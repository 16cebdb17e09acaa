// SPDX-License-Identifier: GPL-2.0-or-later
/* heaptap doctor: the kernel, our privileges on it, limits and memory. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/units.h"
#include "../target/privilege.h"
#include "../target/process.h"
#include "../trace/tables.h"
#include "doctor.h"

#define LARGE_CPUS	   64
#define FEW_FILES	   1024
#define TIGHT_MEMORY_SHARE 0.25 /* of what is available: more than a guest should take */

/* The first line of a file of /proc or /sys, "" when there is none. */
static const char *first_line(struct buffer *b, const char *path)
{
	char *text;

	buffer_clear(b);
	if (buffer_read_file(b, path, 1 << 16))
		buffer_clear(b);
	if (!*buffer_string(b))
		return "";
	text = (char *)b->data;
	text[strcspn(text, "\n")] = 0;
	return text;
}

/* --- kernel ---------------------------------------------------------------------------------- */

static bool is_session(int feature)
{
	return feature == LINK_SESSION || feature == LINK_SESSION_CTX;
}

static int best_link(const struct features *f)
{
	for (int kind = 0; kind < LINK_KINDS; kind++)
		if (!f->all[kind].error)
			return kind;
	return -1;
}

/* Does the kernel offer something better than perf uprobes, whoever may use it? */
static bool has_multi(const struct features *f)
{
	return f->all[LINK_SESSION].error != -EOPNOTSUPP ||
	       f->all[LINK_SESSION_CTX].error != -EOPNOTSUPP ||
	       f->all[LINK_MULTI].error != -EOPNOTSUPP;
}

/* How to come by missing capabilities is said once, for all of them. */
static void add_absence(struct checks *c, const struct feature *f)
{
	const char *grant = f->remedy ? strstr(f->remedy, PRIVILEGE_GRANT) : NULL;

	if (grant) {
		checks_why(c, "%.*s", (int)(grant - f->remedy), f->remedy);
		return;
	}
	checks_why(c, "%s", strerror(-f->error));
	if (f->remedy)
		checks_remedy(c, "%s", f->remedy);
}

static void add_link(struct checks *c, const struct features *f, int kind)
{
	const struct feature *link = &f->all[kind];
	int best = best_link(f);

	/* Of the two signatures of a session a kernel has one. */
	if (is_session(kind) && link->error && (is_session(best) || kind == LINK_SESSION_CTX))
		return;
	checks_add(c, "kernel", !link->error ? CHECK_OK : CHECK_MISSING, "%s", link->name);
	if (!link->error)
		return;
	if (best >= 0 && best < kind)
		checks_why(c, "%s; not needed, %s are there", strerror(-link->error),
			f->all[best].name);
	else if (kind == LINK_PERF && has_multi(f))
		checks_why(c, "%s; not needed on this kernel", strerror(-link->error));
	else
		add_absence(c, link);
}

static void add_feature(struct checks *c, const struct feature *f, enum check_state absent)
{
	checks_add(c, "kernel", f->error ? absent : CHECK_OK, "%s", f->name);
	if (f->error)
		add_absence(c, f);
}

static void add_lockdown(struct checks *c)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	const char *line = first_line(&b, "/sys/kernel/security/lockdown");

	if (strstr(line, "[confidentiality]")) {
		checks_add(c, "kernel", CHECK_MISSING, "lockdown");
		checks_value(c, "confidentiality");
		checks_why(c, "BPF programs may not read memory");
		checks_remedy(c, "boot with lockdown=integrity or without lockdown");
	} else {
		checks_add(c, "kernel", CHECK_OK, "lockdown");
		checks_value(c, "%s", strstr(line, "[integrity]") ? "integrity" : "none");
	}
}

static void add_jit(struct checks *c)
{
	struct buffer b CLEANUP_BUFFER = { 0 };
	const char *line = first_line(&b, "/proc/sys/net/core/bpf_jit_enable");

	/* Only root may read it; kernels that are built for nothing else do not have it. */
	if (strcmp(line, "0") != 0)
		return;
	checks_add(c, "kernel", CHECK_DEGRADED, "BPF compiler");
	checks_value(c, "off");
	checks_why(c, "programs are interpreted, several times as slow");
	checks_remedy(c, "sysctl net.core.bpf_jit_enable=1");
}

void doctor_kernel(struct checks *c, const struct features *f)
{
	struct utsname name;

	checks_add(c, "kernel", CHECK_OK, "release");
	if (!uname(&name))
		checks_value(c, "%s %s", name.release, name.machine);
	add_feature(c, &f->all[FEATURE_BTF], CHECK_MISSING);
	add_feature(c, &f->all[FEATURE_PROGRAMS], CHECK_MISSING);
	add_feature(c, &f->all[FEATURE_RING_BUFFER], CHECK_MISSING);
	for (int kind = 0; kind < LINK_KINDS; kind++)
		add_link(c, f, kind);
	add_feature(c, &f->all[FEATURE_SIDE_BAND], CHECK_DEGRADED);
	add_lockdown(c);
	add_jit(c);
}

/* --- privileges ------------------------------------------------------------------------------ */

static void add_capability(struct checks *c, uint32_t bit, bool lacking, bool idle)
{
	const struct privilege_use *p = &privilege_uses[bit];

	checks_add(c, "privileges",
		!lacking || idle ? CHECK_OK
		: p->needed	 ? CHECK_MISSING
				 : CHECK_DEGRADED,
		"%s", p->name);
	if (!lacking)
		return;
	checks_value(c, idle ? "not needed" : "no");
	checks_why(c, "for %s", p->use);
}

/* One line for all that are missing: setcap takes them at once. */
static void add_remedy(struct checks *c, uint32_t lacking)
{
	char text[PRIVILEGE_TEXT];

	if (!lacking)
		return;
	checks_add(c, "privileges",
		lacking & (PRIVILEGE_BPF | PRIVILEGE_PERFMON) ? CHECK_MISSING : CHECK_DEGRADED,
		"capabilities");
	checks_value(c, "incomplete");
	checks_why(c, "%s", privilege_names(text, lacking));
	checks_remedy(
		c, "%s; in a systemd unit AmbientCapabilities=", privilege_remedy(text, lacking));
}

void doctor_privileges(struct checks *c, const struct features *f)
{
	uint32_t wanted = PRIVILEGES_USUAL | (has_multi(f) ? 0 : PRIVILEGE_SYS_ADMIN);
	uint32_t lacking = privilege_lacking(privilege_effective(), (1U << PRIVILEGES) - 1);

	checks_add(c, "privileges", CHECK_OK, "user id");
	checks_value(c, "%u", (unsigned int)geteuid());
	for (uint32_t bit = 0; bit < PRIVILEGES; bit++)
		add_capability(c, bit, lacking >> bit & 1, !(wanted >> bit & 1));
	add_remedy(c, lacking & wanted);
	if (privilege_in_first_namespace())
		return;
	checks_add(c, "privileges", CHECK_MISSING, "user namespace");
	checks_value(c, "not the host's");
	checks_why(c, "its capabilities do not count for BPF");
	checks_remedy(c, "run heaptap in the host's user namespace");
}

/* --- limits, memory -------------------------------------------------------------------------- */

/* Security modules and sysctls that matter only to who lacks the capability above them. */
static void add_gates(struct checks *c)
{
	uint64_t effective = privilege_effective();
	struct buffer b CLEANUP_BUFFER = { 0 };
	const char *line;

	line = first_line(&b, "/proc/sys/kernel/yama/ptrace_scope");
	if (line[0] > '0' && privilege_lacking(effective, PRIVILEGE_SYS_PTRACE)) {
		checks_add(c, "limits", CHECK_DEGRADED, "kernel.yama.ptrace_scope");
		checks_value(c, "%s", line);
		checks_why(c, "the memory of other processes cannot be read to compare build ids");
		checks_remedy(c, "CAP_SYS_PTRACE, or sysctl kernel.yama.ptrace_scope=0");
	}
	line = first_line(&b, "/proc/sys/kernel/perf_event_paranoid");
	if (line[0] && privilege_lacking(effective, PRIVILEGE_PERFMON)) {
		checks_add(c, "limits", CHECK_OK, "kernel.perf_event_paranoid");
		checks_value(c, "%s", line);
		checks_why(c, "matters only without CAP_PERFMON, which probes need anyway");
	}
	line = first_line(&b, "/proc/sys/kernel/unprivileged_bpf_disabled");
	if (line[0] && privilege_lacking(effective, PRIVILEGE_BPF)) {
		checks_add(c, "limits", CHECK_OK, "kernel.unprivileged_bpf_disabled");
		checks_value(c, "%s", line);
		checks_why(c, "at 0 too, programs for probes want CAP_BPF and CAP_PERFMON");
	}
}

void doctor_limits(struct checks *c)
{
	struct rlimit files;

	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		bool few = files.rlim_cur < FEW_FILES;

		checks_add(c, "limits", few ? CHECK_DEGRADED : CHECK_OK, "open files");
		if (files.rlim_cur == RLIM_INFINITY)
			checks_value(c, "no limit");
		else
			checks_count(c, files.rlim_cur);
		if (few) {
			checks_why(c, "every file that the target runs is held open");
			checks_remedy(c, "ulimit -Hn %d", FEW_FILES);
		}
	}
	add_gates(c);
}

static void add_tables(struct checks *c, int cpus, const char *where, int64_t free_bytes)
{
	const struct table_limits limits = TABLE_LIMITS_DEFAULT;
	struct table_bytes bytes;
	char text[UNITS_TEXT];
	int error = tables_bytes(cpus, &limits, &bytes);
	bool tight =
		free_bytes >= 0 && (double)bytes.at_start > (double)free_bytes * TIGHT_MEMORY_SHARE;

	if (error) {
		checks_add(c, "memory", CHECK_UNKNOWN, "tables %s", where);
		checks_why(c, "%s", strerror(-error));
		return;
	}
	checks_add(
		c, "memory", tight ? CHECK_DEGRADED : CHECK_OK, "tables %s, at the start", where);
	checks_bytes(c, bytes.at_start);
	if (tight) {
		checks_why(c, "of %s that are available", format_bytes(text, (uint64_t)free_bytes));
		checks_remedy(c, "lower --max-live and --max-stacks");
	}
	checks_add(c, "memory", CHECK_OK, "tables %s, at most", where);
	checks_bytes(c, bytes.at_most);
	checks_why(c, "with %s live blocks; the table grows as needed",
		format_count(text, limits.max_live));
}

/* What we may still take: of the host, or of our own cgroup, which the kernel charges for maps. */
static int64_t available_bytes(int64_t *limit)
{
	char *cgroup CLEANUP_FREE = process_read_cgroup(getpid());
	struct host_clock clock = { 0 };
	struct host_usage usage;
	int64_t available;

	host_read_usage(&clock, &usage);
	available = usage.mem_total ? (int64_t)usage.mem_available : -1;
	*limit = cgroup && cgroup[0] ? process_cgroup_limit(cgroup) : -1;
	return *limit >= 0 && (available < 0 || *limit < available) ? *limit : available;
}

void doctor_memory(struct checks *c)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	int64_t limit, available = available_bytes(&limit);
	char here[64];

	checks_add(c, "memory", available < 0 ? CHECK_UNKNOWN : CHECK_OK, "available");
	if (available >= 0)
		checks_bytes(c, (uint64_t)available);
	if (limit >= 0)
		checks_why(c, "of the cgroup that heaptap runs in: the kernel charges it for the "
			      "tables");
	snprintf(here, sizeof(here), "here (%ld CPUs)", cpus);
	add_tables(c, (int)cpus, here, available);
	snprintf(here, sizeof(here), "on %d CPUs", LARGE_CPUS);
	add_tables(c, LARGE_CPUS, here, -1);
}
