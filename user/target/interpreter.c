// SPDX-License-Identifier: GPL-2.0-or-later
#include "interpreter.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"

#define HEADERS_MAX 128
#define LINE_BYTES  256 /* of "#!": BINPRM_BUF_SIZE */

static enum interpreter of_script(const char *line, char *to, size_t size)
{
	size_t n;

	line += 2;
	line += strspn(line, " \t");
	n = strcspn(line, " \t\n");
	if (!n || n >= size)
		return INTERPRETER_NONE;
	snprintf(to, size, "%.*s", (int)n, line);
	return INTERPRETER_SCRIPT;
}

static enum interpreter of_elf(int fd, const Elf64_Ehdr *e, char *to, size_t size)
{
	for (uint32_t i = 0; i < e->e_phnum && i < HEADERS_MAX; i++) {
		Elf64_Phdr p;
		ssize_t n;

		if (pread(fd, &p, sizeof(p), (off_t)(e->e_phoff + i * sizeof(p))) != sizeof(p))
			break;
		if (p.p_type != PT_INTERP || !p.p_filesz || p.p_filesz > size)
			continue;
		n = pread(fd, to, p.p_filesz, (off_t)p.p_offset);
		if (n != (ssize_t)p.p_filesz || memchr(to, 0, p.p_filesz) == NULL)
			break;
		return INTERPRETER_LOADER;
	}
	to[0] = 0;
	return INTERPRETER_NONE;
}

enum interpreter interpreter_of_fd(int fd, char *to, size_t size)
{
	union {
		Elf64_Ehdr elf;
		char line[LINE_BYTES + 1];
	} start = { .line = "" };
	ssize_t n = pread(fd, &start, LINE_BYTES, 0);

	to[0] = 0;
	if (n > 2 && !memcmp(start.line, "#!", 2))
		return of_script(start.line, to, size);
	if (n < (ssize_t)sizeof(start.elf) || memcmp(start.elf.e_ident, ELFMAG, SELFMAG) ||
		start.elf.e_ident[EI_CLASS] != ELFCLASS64 ||
		start.elf.e_phentsize != sizeof(Elf64_Phdr))
		return INTERPRETER_NONE;
	return of_elf(fd, &start.elf, to, size);
}

enum interpreter interpreter_of(const char *path, char *to, size_t size)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	to[0] = 0;
	return fd < 0 ? INTERPRETER_NONE : interpreter_of_fd(fd, to, size);
}
