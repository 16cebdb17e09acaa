// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A process with children, each of which knows the truth about its own heap:
 *
 *   --via fork    children with memory of their own; they free some blocks of their parent's too
 *         vfork   children that share it: what they do is their parent's doing
 *         vm      the same by clone(CLONE_VM)
 *         spawn   children that run this program, by posix_spawn
 *         exec    the process itself runs this program
 *
 * Forked children begin after --wait MS, the parent makes one each --pause MS.
 *
 * --truth FILE is the parent's; children write FILE.1, FILE.2 ... and say "child N PID" once their heap rests.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "workload.h"

enum { SITE_parent, SITE_child, SITE_shared, SITES };
static const char *const names[SITES] = { "site_parent", "site_child", "site_shared" };

#define CHILDREN_MAX  16
#define INHERITED_MAX 10
#define STACK_BYTES   65536

static uint64_t children = 3, rounds = 1000, child, pause_ms, wait_ms;
static const char *truth, *via = "fork", *program;
static struct wl_tally tally;
static void *inherited[INHERITED_MAX];

WL_SITE static void *site_parent(size_t bytes)
{
	return wl_kept(malloc(bytes));
}

WL_SITE static void *site_child(size_t bytes)
{
	return wl_kept(malloc(bytes));
}

WL_SITE static void *site_shared(size_t bytes)
{
	return wl_kept(malloc(bytes));
}

/* Two of three blocks are freed again. */
static void use_heap(unsigned int site, void *(*allocate)(size_t))
{
	for (uint64_t i = 0; i < rounds; i++) {
		size_t size = 16 + i % 200;
		void *block = allocate(size);

		wl_alloc(&tally, site, size);
		if (i % 3) {
			free(block);
			wl_free(&tally, site, size);
		}
	}
}

static void write_truth(uint64_t number)
{
	char path[512];

	if (!truth)
		return;
	snprintf(path, sizeof(path), "%s.%llu", truth, (unsigned long long)number);
	wl_truth(number ? path : truth, names, SITES, &tally, 1);
}

__attribute__((noreturn)) static void rest(uint64_t number)
{
	char line[64];

	write_truth(number);
	snprintf(line, sizeof(line), "child %llu %d\n", (unsigned long long)number, (int)getpid());
	wl_say(line);
	/* The parent's end ends it. */
	for (;;)
		pause();
}

__attribute__((noreturn)) static void be_child(uint64_t number)
{
	memset(&tally, 0, sizeof(tally));
	wl_sleep_ns(wait_ms * 1000000);
	use_heap(SITE_child, site_child);
	for (int i = 0; i < INHERITED_MAX; i++) {
		free(inherited[i]);
		tally.untracked_frees++;
	}
	rest(number);
}

static int be_shared(void *nothing)
{
	(void)nothing;
	use_heap(SITE_shared, site_shared);
	_exit(0);
}

static void share(void)
{
	static char stack[STACK_BYTES] __attribute__((aligned(16)));
	int flags = CLONE_VM | SIGCHLD | (strcmp(via, "vfork") ? 0 : CLONE_VFORK);
	pid_t pid = clone(be_shared, stack + STACK_BYTES, flags, NULL);

	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		wl_die("cannot clone");
}

static char **arguments(uint64_t number)
{
	static char as[24], of[24];
	static const char *argv[12];
	int n = 0;

	snprintf(as, sizeof(as), "%llu", (unsigned long long)number);
	snprintf(of, sizeof(of), "%llu", (unsigned long long)rounds);
	argv[n++] = program;
	argv[n++] = "--child";
	argv[n++] = as;
	argv[n++] = "--rounds";
	argv[n++] = of;
	if (truth) {
		argv[n++] = "--truth";
		argv[n++] = truth;
	}
	argv[n] = NULL;
	return (char **)(uintptr_t)argv;
}

extern char **environ;

static void make_child(uint64_t number)
{
	pid_t pid = 0;

	if (!strcmp(via, "vfork") || !strcmp(via, "vm")) {
		share();
		return;
	}
	if (!strcmp(via, "spawn")) {
		/* It allocates its own stack by mmap. */
		if (posix_spawn(&pid, program, NULL, NULL, arguments(number), environ))
			wl_die("cannot spawn");
		return;
	}
	pid = fork();
	if (pid < 0)
		wl_die("cannot fork");
	if (!pid)
		be_child(number);
}

int main(int argc, char **argv)
{
	const struct wl_option options[] = {
		{ "--children", &children, NULL, NULL },
		{ "--rounds", &rounds, NULL, NULL },
		{ "--child", &child, NULL, NULL },
		{ "--pause", &pause_ms, NULL, NULL },
		{ "--wait", &wait_ms, NULL, NULL },
		{ "--via", NULL, &via, NULL },
		{ "--truth", NULL, &truth, NULL },
		{ NULL, NULL, NULL, NULL },
	};

	program = argv[0];
	wl_options(argc, argv, options);
	if (child) {
		use_heap(SITE_child, site_child);
		rest(child);
	}
	for (int i = 0; i < INHERITED_MAX; i++)
		inherited[i] = malloc(100);
	/* The children's end is no one's matter, and none outlives its parent. */
	signal(SIGTERM, SIG_DFL);
	setpgid(0, 0);
	wl_ready();
	use_heap(SITE_parent, site_parent);
	if (!strcmp(via, "exec"))
		execv(program, arguments(1));
	for (uint64_t i = 1; i <= children; i++) {
		make_child(i);
		if (pause_ms)
			wl_sleep_ns(pause_ms * 1000000);
	}
	write_truth(0);
	wl_say("done\n");
	wl_expect("end");
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while (wait(NULL) > 0)
		;
	_exit(0);
}
