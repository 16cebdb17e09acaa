// SPDX-License-Identifier: GPL-2.0-or-later
/* heaptap doctor -p PID: what that process allows. It is only looked at. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/buffer.h"
#include "../base/err.h"
#include "../target/privilege.h"
#include "../target/runtime.h"
#include "../trace/session.h"
#include "doctor.h"

#define GROUP "target"

static int read_proc(struct buffer *b, pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return buffer_read_file(b, path, 256UL << 20);
}

/* --- its code -------------------------------------------------------------------------------- */

/* map_files names the mapped inodes themselves; it wants a capability, and the directory is the owner's. */
static bool map_files_open(pid_t pid)
{
	char path[64 + NAME_MAX];
	struct dirent *entry;
	int fd = -1;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/map_files", pid);
	directory = opendir(path);
	while (directory && fd < 0 && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/map_files/%s", pid, entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			break;
	}
	if (directory)
		closedir(directory);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void add_way_to_files(struct checks *c, pid_t pid)
{
	uint32_t wanted = PRIVILEGE_CHECKPOINT_RESTORE | PRIVILEGE_DAC_READ_SEARCH;
	uint32_t lacking = privilege_lacking(privilege_effective(), wanted);
	bool open = map_files_open(pid);
	char remedy[PRIVILEGE_TEXT];

	checks_add(c, GROUP, open ? CHECK_OK : CHECK_DEGRADED, "way to its files");
	checks_value(c, open ? "map_files" : "their paths");
	if (open)
		return;
	checks_why(c, "files that were deleted or replaced while it runs cannot be opened");
	if (lacking)
		checks_remedy(c, "%s", privilege_remedy(remedy, lacking));
}

static void add_runtime(struct checks *c, const struct image *image)
{
	struct runtime_facts best = { 0 };

	for (uint32_t i = 0; i < image->module_count; i++) {
		struct buffer in CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
		const struct runtime_facts *f;

		if (parse_file(&runtime_parser, image->modules[i].fd, &in, &out))
			continue;
		f = (const void *)out.data;
		/* Modules come by address: the program, but for a few, before its libraries. */
		if (f->runtime > best.runtime && (!f->whole_program || !i))
			best = *f;
	}
	if (!best.runtime)
		return;
	checks_add(c, GROUP, best.runtime == RUNTIME_GO ? CHECK_DEGRADED : CHECK_OK, "runtime");
	checks_value(
		c, "%s%s%s", runtime_name(best.runtime), best.version[0] ? " " : "", best.version);
	if (best.runtime == RUNTIME_GO)
		checks_why(c, "Go allocates by itself: only what its C code allocates is counted");
}

static void add_modules(struct checks *c, const struct image *image)
{
	char build_id[ELF_BUILD_ID_TEXT];

	for (uint32_t i = 0; i < image->module_count; i++) {
		const struct module *m = &image->modules[i];

		if (m->allocator) {
			elf_build_id_text(build_id, module_elf(m));
			checks_add(c, GROUP, CHECK_OK, "allocator %s", m->allocator);
			checks_value(c, "%s%s", m->path, m->deleted ? " (deleted)" : "");
			checks_why(c, "build id %s", build_id[0] ? build_id : "none");
		}
		if (m->allocator && allocator_has_own_new(module_elf(m))) {
			checks_add(c, GROUP, CHECK_DEGRADED, "operator new of %s", m->allocator);
			checks_value(c, "not traced");
			checks_why(c, "what C++ code allocates by it is not counted");
		}
		if (m->error) {
			checks_add(c, GROUP, CHECK_DEGRADED, "file %s", m->path);
			checks_value(c, "not opened");
			checks_why(c, "%s; an allocator in it would not be found",
				m->error == -ESTALE ? "it is not on disk any more"
						    : strerror(-m->error));
		}
	}
	if (image->range_count > HT_RANGES_PER_PROCESS) {
		checks_add(c, GROUP, CHECK_DEGRADED, "executable mappings");
		checks_count(c, image->range_count);
		checks_why(c, "stacks through those above the first %d are truncated",
			HT_RANGES_PER_PROCESS);
	}
}

static void add_plan(struct checks *c, const struct plan *plan)
{
	struct buffer slow CLEANUP_BUFFER = { 0 };
	uint32_t count = 0;

	for (uint32_t i = 0; i < plan->count; i++) {
		const struct plan_probe *p = &plan->probes[i];

		if (p->emulated)
			continue;
		buffer_format(&slow, "%s%.*s", count++ ? ", " : "", (int)strcspn(p->function, "="),
			p->function);
	}
	checks_add(c, GROUP, plan->count ? CHECK_OK : CHECK_MISSING, "probes");
	checks_count(c, plan->count);
	if (!count)
		return;
	checks_add(c, GROUP, CHECK_DEGRADED, "single-stepped probes");
	checks_count(c, count);
	checks_why(c, "3 to 13 times the cost of the others: %s", buffer_string(&slow));
}

/* --- its surroundings ------------------------------------------------------------------------ */

/* The text behind "Name:" in /proc/PID/status, up to the end of the line; "" when there is none. */
static void status_field(char *to, size_t size, const char *status, const char *name)
{
	const char *line = strstr(status, name);

	to[0] = 0;
	if (!line)
		return;
	line += strlen(name);
	line += strspn(line, " \t");
	snprintf(to, size, "%.*s", (int)strcspn(line, "\n"), line);
}

static void add_namespaces(struct checks *c, pid_t pid, const char *status)
{
	static const char *const names[] = { "mnt", "pid", "user" };
	char path[64], own[64], theirs[64], pids[128];

	status_field(pids, sizeof(pids), status, "\nNSpid:");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		ssize_t n, m;

		snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, names[i]);
		n = readlink(path, theirs, sizeof(theirs));
		snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		m = readlink(path, own, sizeof(own));
		checks_add(c, GROUP, n < 0 || m < 0 ? CHECK_UNKNOWN : CHECK_OK, "%s namespace",
			names[i]);
		if (n < 0 || m < 0)
			continue;
		if (n == m && !memcmp(own, theirs, (size_t)n)) {
			checks_value(c, "the same");
			continue;
		}
		checks_value(c, "another");
		if (!strcmp(names[i], "pid") && strrchr(pids, '\t'))
			checks_why(c, "there its id is %s", strrchr(pids, '\t') + 1);
	}
}

static void add_seccomp(struct checks *c, const char *status)
{
	char mode[16];

	status_field(mode, sizeof(mode), status, "\nSeccomp:");
	checks_add(c, GROUP, mode[0] ? CHECK_OK : CHECK_UNKNOWN, "seccomp");
	if (!mode[0])
		return;
	checks_value(c, "%s", mode[0] == '0' ? "none" : mode[0] == '1' ? "strict" : "filter");
}

static void add_other_tracers(struct checks *c, pid_t pid, const char *status)
{
	struct buffer maps CLEANUP_BUFFER = { 0 };
	char tracer[16];

	status_field(tracer, sizeof(tracer), status, "\nTracerPid:");
	if (tracer[0] && strcmp(tracer, "0") != 0) {
		checks_add(c, GROUP, CHECK_OK, "debugger");
		checks_value(c, "pid %s", tracer);
		checks_why(c, "while it holds the process, nothing happens in it to count");
	}
	if (read_proc(&maps, pid, "maps"))
		return;
	checks_add(c, GROUP, CHECK_OK, "probes of other tracers");
	if (strstr(buffer_string(&maps), "[uprobes]")) {
		checks_value(c, "seen");
		checks_why(c, "it has met a uprobe since it began, of heaptap or another tracer: "
			      "where two stand, both are paid");
	} else {
		checks_value(c, "none seen");
	}
}

static void add_memory(struct checks *c, const struct process *p)
{
	struct process_memory m;

	process_read_memory(p, false, &m);
	checks_add(c, GROUP, m.rss < 0 ? CHECK_UNKNOWN : CHECK_OK, "RSS");
	if (m.rss >= 0)
		checks_bytes(c, (uint64_t)m.rss);
	checks_add(c, GROUP, CHECK_OK, "memory limit");
	if (m.limit >= 0)
		checks_bytes(c, (uint64_t)m.limit);
	else
		checks_value(c, "none");
}

static void add_surroundings(struct checks *c, const struct process *p)
{
	struct buffer status CLEANUP_BUFFER = { 0 };
	pid_t thread = process_live_thread(p);

	if (read_proc(&status, thread, "status"))
		return;
	add_namespaces(c, thread, buffer_string(&status));
	add_seccomp(c, buffer_string(&status));
	add_other_tracers(c, thread, buffer_string(&status));
	add_memory(c, p);
}

static void add_verdict(
	struct checks *c, pid_t pid, const struct process *p, int error, struct buffer *messages)
{
	checks_add(c, GROUP, error ? CHECK_MISSING : CHECK_OK, "process %d", pid);
	if (p->comm[0])
		checks_value(c, "%s", p->comm);
	if (error)
		doctor_add_message(c, messages, error);
}

int doctor_target(struct checks *c, pid_t pid)
{
	struct buffer messages CLEANUP_BUFFER = { 0 };
	struct session *session = NULL;
	const struct process *p;
	int error;

	log_capture(&messages);
	error = session_open(&session, pid, HT_MODE_EXACT, 1 << HT_DOMAIN_HEAP);
	log_capture(NULL);
	if (!session)
		return error;
	p = session_process(session);
	add_verdict(c, pid, p, error, &messages);
	if (p->pid && session_image(session)->module_count) {
		add_way_to_files(c, p->pid);
		add_runtime(c, session_image(session));
		add_modules(c, session_image(session));
		add_plan(c, session_plan(session));
	}
	if (p->pid)
		add_surroundings(c, p);
	session_close(session);
	return error;
}
