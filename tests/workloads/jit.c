// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A compiler at run time, as small as one can be: writes functions that call malloc into memory of
 * its own, and their names into the map that perf defined. "go" runs jit_first; "again" compiles
 * jit_second, whose name comes into the map then, and runs that.
 */

#include <sys/mman.h>

#include "workload.h"

#define BLOCKS	 100
#define FUNCTION 64 /* bytes a function */

typedef void *(*allocate)(size_t size);

static unsigned char *code;
static char map_path[64];

/* push %rbp; mov %rsp,%rbp; movabs $malloc,%rax; call *%rax; pop %rbp; ret */
static allocate compile(unsigned int index, const char *name)
{
	unsigned char *at = code + index * FUNCTION;
	void *(*target)(size_t) = malloc;
	struct wl_buffer line = { 0 };
	int fd;

	memcpy(at, "\x55\x48\x89\xe5\x48\xb8", 6);
	memcpy(at + 6, &target, 8);
	memcpy(at + 14, "\xff\xd0\x5d\xc3", 4);
	wl_print(&line, "%lx %x %s\n", (unsigned long)at, FUNCTION, name);
	fd = open(map_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd < 0)
		wl_die("cannot write the map");
	wl_write(fd, line.text, line.used);
	close(fd);
	return (allocate)(void *)at;
}

static void run(allocate function, size_t size)
{
	for (int i = 0; i < BLOCKS; i++)
		wl_kept(function(size));
}

int main(void)
{
	char line[64];
	allocate first;

	code = mmap(NULL, WL_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	if (code == MAP_FAILED)
		wl_die("cannot map memory for code");
	snprintf(map_path, sizeof(map_path), "/tmp/perf-%d.map", (int)getpid());
	unlink(map_path);
	first = compile(0, "jit_first /app/a.js:1");
	wl_ready();
	run(first, 200);
	wl_say("done\n");
	if (wl_line(line, sizeof(line)) >= 0 && !strcmp(line, "again")) {
		run(compile(1, "jit_second /app/a.js:9"), 300);
		wl_say("done again\n");
		wl_line(line, sizeof(line));
	}
	unlink(map_path);
	_exit(0);
}
