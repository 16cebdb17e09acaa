// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes its resident memory grow in one of the ways that there are, by --mib, in a function of that name:
 *
 *   malloc   small blocks, written            mmap     a mapping, touched
 *   calloc   one large block, read            fill     a mapping, filled by read(2)
 *   huge     a mapping, in huge pages         shrink   all of malloc and mmap, and most of it back
 *   child    a child that holds a copy, and writes into half of it; then the parent does
 *   squeeze  a mapping, touched; after "again" once more, forwards
 *   merge    a mapping of zeros, given to same-page merging
 *   holes    every second page of a mapping, then given to khugepaged
 *   address  maps, moves, cuts and drops; no more than a page of it is touched
 */
#define _GNU_SOURCE
#include "workload.h"

#include <sys/mman.h>
#include <sys/wait.h>

#define MIB (1UL << 20)

static uint64_t mib = 32;

/* The compiler may not merge these functions, nor make their calls jumps. */
#define WAY __attribute__((noinline, noclone, noipa)) static void

static char *pages(size_t bytes)
{
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		wl_die("mmap");
	return at;
}

static void touch(char *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += WL_PAGE)
		((volatile char *)at)[i] = (char)(i / WL_PAGE + 1);
}

WAY way_malloc(void)
{
	for (uint64_t done = 0; done < mib * MIB; done += 2000)
		memset(wl_kept(malloc(2000)), 1, 2000);
	wl_kept(NULL);
}

WAY way_calloc(void)
{
	volatile char *block = wl_kept(calloc(mib, MIB));

	/* Reading maps the zero page, which is nobody's. */
	for (size_t i = 0; i < mib * MIB; i += WL_PAGE)
		if (block[i])
			wl_die("calloc");
	for (size_t i = 0; i < mib * MIB; i += 2 * WL_PAGE)
		block[i] = 1;
}

WAY way_mmap(void)
{
	touch(pages(mib * MIB), mib * MIB);
	wl_kept(NULL);
}

WAY way_fill(void)
{
	char *at = pages(mib * MIB);
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	for (uint64_t i = 0; i < mib; i++)
		if (read(zero, at + i * MIB, MIB) != (ssize_t)MIB)
			wl_die("read");
	close(zero);
}

WAY way_huge(void)
{
	char *at = pages((mib + 2) * MIB);

	at = (char *)(((uintptr_t)at + 2 * MIB - 1) & ~(2 * MIB - 1));
	madvise(at, mib * MIB, MADV_HUGEPAGE);
	touch(at, mib * MIB);
	wl_kept(NULL);
}

WAY way_shrink(void)
{
	char *at = pages(mib * MIB), *block = wl_kept(malloc(mib * MIB));

	touch(at, mib * MIB);
	touch(block, mib * MIB);
	madvise(at, mib * MIB / 2, MADV_DONTNEED);
	munmap(at + mib * MIB / 2, mib * MIB / 4);
	free(block);
}

WAY way_child(void)
{
	char *at = pages(mib * MIB);
	pid_t child;

	touch(at, mib * MIB);
	child = fork();
	if (!child) {
		touch(at, mib * MIB / 2);
		_exit(0);
	}
	if (child < 0 || waitpid(child, NULL, 0) != child)
		wl_die("fork");
	touch(at, mib * MIB);
}

WAY way_squeeze(void)
{
	char *at = pages(mib * MIB);

	touch(at, mib * MIB);
	wl_say("touched\n");
	wl_expect("again");
	touch(at, mib * MIB);
}

WAY way_merge(void)
{
	char *at = pages(mib * MIB);

	for (size_t i = 0; i < mib * MIB; i += WL_PAGE)
		((volatile char *)at)[i] = 0;
	madvise(at, mib * MIB, MADV_MERGEABLE);
}

WAY way_holes(void)
{
	char *at = pages((mib + 2) * MIB);

	at = (char *)(((uintptr_t)at + 2 * MIB - 1) & ~(2 * MIB - 1));
	for (size_t i = 0; i < mib * MIB; i += 2 * WL_PAGE)
		((volatile char *)at)[i] = 1;
	madvise(at, mib * MIB, MADV_HUGEPAGE);
}

WAY way_address(void)
{
	char *at = pages(64 * MIB);

	munmap(at + 16 * MIB, 16 * MIB);
	at = mremap(at, 16 * MIB, 32 * MIB, MREMAP_MAYMOVE);
	madvise(at, MIB, MADV_DONTNEED);
	if (at == MAP_FAILED || sbrk(8 * MIB) == (void *)-1 ||
		sbrk(-4 * (intptr_t)MIB) == (void *)-1)
		wl_die("address");
}

static const struct {
	const char *name;
	void (*run)(void);
} ways[] = {
	{ "malloc", way_malloc },
	{ "calloc", way_calloc },
	{ "mmap", way_mmap },
	{ "fill", way_fill },
	{ "huge", way_huge },
	{ "shrink", way_shrink },
	{ "child", way_child },
	{ "squeeze", way_squeeze },
	{ "merge", way_merge },
	{ "holes", way_holes },
	{ "address", way_address },
};

int main(int argc, char **argv)
{
	const char *name = "malloc";
	const struct wl_option options[] = {
		{ "--way", NULL, &name, NULL },
		{ "--mib", &mib, NULL, NULL },
		{ NULL, NULL, NULL, NULL },
	};

	wl_options(argc, argv, options);
	wl_ready();
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (!strcmp(ways[i].name, name))
			ways[i].run();
	wl_say("done\n");
	wl_park();
}
