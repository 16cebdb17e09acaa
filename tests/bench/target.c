// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "levels.h"
#include "target.h"

#define BATCH_TIMEOUT_NS (60 * 1000000000ull)

/* The parent fills in the order and adds one to `asked`; the child answers and makes `done` equal
 * to it. */
struct target_page {
	uint32_t asked; /* futex */
	uint32_t done;	/* futex */
	uint32_t depth;
	uint32_t pairs;
	uint64_t size;
	uint64_t elapsed_ns;
	uint32_t frames;   /* as counted by the child: shows that the compiler kept them all */
	uint32_t language; /* enum target_language */
};

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

/* ---- the child ---- */

/* One CPU from now on, the last: migrations cost more than they tell, and tracers are free to use
 * the others. */
static void pin_to_last_cpu(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		sched_setaffinity(0, sizeof(set), &set);
		return;
	}
}

#define ABOVE 4 /* frames, before the first that counts itself */

static __attribute__((noinline)) void answer(struct target_page *page)
{
	/* main, target_main, this one and the next. */
	struct levels_run run = { .pairs = page->pairs, .frames = ABOVE, .size = page->size };

	if (page->language == TARGET_CXX)
		levels_cxx(&run, page->depth - ABOVE);
	else
		levels_c(&run, page->depth - ABOVE);
	page->frames = run.frames;
	page->elapsed_ns = run.elapsed_ns;
}

int target_main(int page_fd)
{
	struct target_page *page =
		mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);

	if (page == MAP_FAILED)
		return bench_err(-errno, "target: mmap: %m");
	close(page_fd);
	/* A Ctrl-C of the terminal is the parent's business: it detaches first. */
	signal(SIGINT, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin_to_last_cpu();
	for (;;) {
		uint32_t asked = __atomic_load_n(&page->asked, __ATOMIC_ACQUIRE);

		if (asked == page->done) {
			futex(&page->asked, FUTEX_WAIT, asked, NULL);
			continue;
		}
		answer(page);
		__atomic_store_n(&page->done, asked, __ATOMIC_RELEASE);
		futex(&page->done, FUTEX_WAKE, INT_MAX, NULL);
	}
}

/* ---- the parent ---- */

static void exec_target(int page_fd)
{
	char fd[16];

	snprintf(fd, sizeof(fd), "%d", page_fd);
	execl("/proc/self/exe", "bench-target", TARGET_ARG, fd, NULL);
	bench_err(0, "target: exec: %m");
	_exit(127);
}

int target_start(struct target *target, enum target_language language)
{
	struct target_page *page = MAP_FAILED;
	int fd = memfd_create(
		"heaptap-bench", 0); /* no CLOEXEC: the target is the one to inherit it */
	int rc = 0;
	pid_t pid;

	if (fd < 0)
		return bench_err(-errno, "target: memfd_create: %m");
	if (!ftruncate(fd, sizeof(*page)))
		page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		rc = bench_err(-errno, "target: shared page: %m");
		close(fd);
		return rc;
	}
	pid = fork();
	if (!pid)
		exec_target(fd);
	if (pid < 0)
		rc = bench_err(-errno, "target: fork: %m");
	close(fd);
	if (rc) {
		munmap(page, sizeof(*page));
		return rc;
	}
	target->pid = pid;
	target->page = page;
	page->language = language;
	return 0;
}

void target_stop(struct target *target)
{
	if (target->pid > 0) {
		kill(target->pid, SIGKILL);
		waitpid(target->pid, NULL, 0);
	}
	if (target->page)
		munmap(target->page, sizeof(*target->page));
	target->pid = 0;
	target->page = NULL;
}

/* A probe in the wrong place kills the target: what it died of is a result. */
static int check_alive(struct target *target)
{
	int status;

	if (waitpid(target->pid, &status, WNOHANG) != target->pid)
		return 0;
	target->pid = 0;
	if (WIFSIGNALED(status))
		return bench_err(-ESRCH, "the target was killed by signal %d", WTERMSIG(status));
	return bench_err(-ESRCH, "the target exited with %d", WEXITSTATUS(status));
}

static int wait_done(struct target *target)
{
	const struct timespec step = { .tv_nsec = 200 * 1000 * 1000 };
	struct target_page *page = target->page;
	uint64_t deadline_ns = bench_now_ns() + BATCH_TIMEOUT_NS;

	for (;;) {
		uint32_t done = __atomic_load_n(&page->done, __ATOMIC_ACQUIRE);

		if (done == page->asked)
			return 0;
		if (bench_stopping())
			return -EINTR;
		if (bench_now_ns() > deadline_ns)
			return bench_err(-ETIMEDOUT, "the target does not answer");
		if (futex(&page->done, FUTEX_WAIT, done, &step) && errno == ETIMEDOUT) {
			int rc = check_alive(target);

			if (rc)
				return rc;
		}
	}
}

int target_batch(struct target *target, unsigned int depth, unsigned int pairs, size_t size,
	double *ns_per_pair)
{
	struct target_page *page = target->page;
	int rc;

	page->depth = depth;
	page->pairs = pairs;
	page->size = size;
	__atomic_add_fetch(&page->asked, 1, __ATOMIC_RELEASE);
	futex(&page->asked, FUTEX_WAKE, INT_MAX, NULL);
	rc = wait_done(target);
	if (rc)
		return rc;
	if (page->frames != depth)
		return bench_err(-EINVAL, "target: %u frames, not %u", page->frames, depth);
	*ns_per_pair = pairs ? (double)page->elapsed_ns / pairs : 0;
	return 0;
}
