// SPDX-License-Identifier: GPL-2.0-or-later
#include "trap_cost.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "attach_types.h"
#include "empty_program.h"
#include "links.h"
#include "subject.h"

#define BATCHES 25
#define SELF	"/proc/self/exe"

/* As the plan finds them in allocators: a push at the entry, and a move that the kernel has to step over. */
#if defined(__x86_64__)
__asm__(".pushsection .text\n"
	".balign 64\n"
	".local trap_entry\n"
	".type trap_entry, @function\n"
	"trap_entry: push %rbx\n pop %rbx\n ret\n"
	".balign 64\n"
	".local trap_return\n"
	".type trap_return, @function\n"
	"trap_return: push %rbx\n pop %rbx\n ret\n"
	".balign 64\n"
	".local trap_stepped\n"
	".type trap_stepped, @function\n"
	"trap_stepped: mov %rdi, %rax\n ret\n"
	".popsection\n");
void trap_entry(void);
void trap_return(void);
void trap_stepped(void);
#else
#error "probed instructions for this architecture"
#endif

enum work { WORK_ENTRY, WORK_STEPPED, WORK_RETURN, WORKS };

static void (*const functions[WORKS])(void) = { trap_entry, trap_stepped, trap_return };
/* Of a batch: stepping takes some 20 us where the machine is a virtual one. */
static const uint32_t calls[WORKS] = { 200, 10, 200 };

static void run_calls(uint32_t work, uint32_t times)
{
	for (uint32_t i = 0; i < times; i++)
		functions[work]();
}

/* Where a function of this program lies in its file: 0, or -ENOENT. */
static int file_offset(void (*function)(void), uint64_t *offset)
{
	FILE *maps CLEANUP_FCLOSE = fopen("/proc/self/maps", "re");
	uint64_t address = (uint64_t)(uintptr_t)function;
	unsigned long long start, end, from;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%llx-%llx %*s %llx", &start, &end, &from) != 3 ||
			address < start || address >= end)
			continue;
		*offset = address - start + from;
		return 0;
	}
	return -ENOENT;
}

struct links_made {
	int fds[3];
	int count;
};

static void links_made_close(struct links_made *p)
{
	for (int i = 0; i < p->count; i++)
		close(p->fds[i]);
	p->count = 0;
}

static int add(struct links_made *p, int fd)
{
	if (fd < 0)
		return fd;
	p->fds[p->count++] = fd;
	return 0;
}

/* The probe of one piece of work, as links.c makes it for this kind. 0 or -errno. */
static int attach(struct links_made *made, enum link_kind kind, enum work work, pid_t pid)
{
	uint64_t offset = 0, cookie = 0;
	struct places place = { &offset, &cookie, 1 };
	bool session = work == WORK_RETURN && (kind == LINK_SESSION || kind == LINK_SESSION_CTX);
	uint32_t type = kind == LINK_PERF ? 0
			: session	  ? ATTACH_UPROBE_SESSION
					  : ATTACH_UPROBE_MULTI;
	int program CLEANUP_CLOSE = empty_program_load(type);
	int error = program < 0 ? program : file_offset(functions[work], &offset);

	for (int at_return = work == WORK_RETURN && !session; !error && at_return >= 0; at_return--)
		error = add(made,
			kind == LINK_PERF
				? link_create_perf(program, at_return, SELF, offset, 0, pid)
				: link_create_multi(program, type, at_return, SELF, &place, pid));
	return error;
}

/* The fastest of the batches. */
static int measure_batches(
	const struct subject *subject, enum work work, const bool *stop, double *ns)
{
	double batch;
	int error = 0;

	*ns = INFINITY;
	for (int i = 0; !error && i < BATCHES; i++) {
		if (__atomic_load_n(stop, __ATOMIC_RELAXED))
			return -ECANCELED;
		error = subject_measure(subject, work, calls[work], 1, &batch);
		*ns = fmin(*ns, batch);
	}
	return error;
}

/* One function bare, then probed: the difference. */
static int measure_work(const struct subject *subject, enum link_kind kind, enum work work,
	const bool *stop, double *ns)
{
	struct links_made made CLEANUP(links_made_close) = { 0 };
	double bare, probed;
	int error = measure_batches(subject, work, stop, &bare);

	if (!error)
		error = attach(&made, kind, work, subject->pid);
	if (!error)
		error = measure_batches(subject, work, stop, &probed);
	if (!error)
		*ns = probed > bare ? probed - bare : 0;
	return error;
}

static int measure(enum link_kind kind, const bool *stop, struct trap_cost *cost)
{
	struct subject subject CLEANUP(subject_stop) = { 0 };
	double ns[WORKS];
	int error = subject_start(&subject, NULL, run_calls);

	for (enum work work = 0; !error && work < WORKS; work++)
		error = measure_work(&subject, kind, work, stop, &ns[work]);
	if (error)
		return error;
	cost->entry = ns[WORK_ENTRY];
	cost->stepped = ns[WORK_STEPPED];
	cost->returned = ns[WORK_RETURN] > ns[WORK_ENTRY] ? ns[WORK_RETURN] - ns[WORK_ENTRY] : 0;
	return 0;
}

int trap_cost_measure(enum link_kind kind, const bool *stop, struct trap_cost *cost)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct {
		bool known;
		int error;
		struct trap_cost cost;
	} kinds[LINK_KINDS];
	int error;

	pthread_mutex_lock(&lock);
	if (!kinds[kind].known) {
		kinds[kind].error = measure(kind, stop, &kinds[kind].cost);
		kinds[kind].known = kinds[kind].error != -ECANCELED;
	}
	*cost = kinds[kind].cost;
	error = kinds[kind].error;
	pthread_mutex_unlock(&lock);
	return error;
}
