// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Code that comes after the attach: on "go", bare-late maps it and allocates through it; built with -O2
 * -fomit-frame-pointer.
 *
 *   bare-late library   a library by dlopen, itself without frame pointers
 *   bare-late jit       machine code in anonymous memory that keeps a frame pointer
 *   bare-late bare-jit  the same without one: no one can say how that frame is laid out
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BARE	__attribute__((noinline, noclone))
#define KEEP(x) __asm__ volatile("" : : "r"(x) : "memory")

typedef void call_back(void (*function)(void));

static BARE void site_late(void)
{
	void *p = malloc(100);

	KEEP(p);
	free(p);
}

static call_back *from_library(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 16);
	void *library;

	if (n < 0)
		return NULL;
	memcpy(path + n, "-library.so", sizeof("-library.so"));
	library = dlopen(path, RTLD_NOW);
	return library ? (call_back *)dlsym(library, "call_back") : NULL;
}

static call_back *made_here(int bare)
{
	/* push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret */
	static const unsigned char kept[] = { 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3 };
	/* sub $24,%rsp; call *%rdi; add $24,%rsp; ret */
	static const unsigned char none[] = { 0x48, 0x83, 0xec, 0x18, 0xff, 0xd7, 0x48, 0x83, 0xc4,
		0x18, 0xc3 };
	void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (code == MAP_FAILED)
		return NULL;
	memcpy(code, bare ? none : kept, bare ? sizeof(none) : sizeof(kept));
	if (mprotect(code, 4096, PROT_READ | PROT_EXEC))
		return NULL;
	return (call_back *)code;
}

static BARE void site_outer(call_back *call)
{
	for (int i = 0; i < 100; i++)
		call(site_late);
	KEEP(call);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "library";
	char line[64];
	call_back *call;

	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	call = strcmp(what, "library") ? made_here(!strcmp(what, "bare-jit")) : from_library();
	if (!call)
		return 1;
	/* Longer than it takes until code that came late is known. */
	for (int i = 0; i < 100; i++) {
		site_outer(call);
		usleep(20000);
	}
	printf("done\n");
	fflush(stdout);
	return !fgets(line, sizeof(line), stdin);
}
