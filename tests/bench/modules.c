// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "modules.h"

#define ROWS_A_FUNCTION	 8
#define FUNCTIONS	 (MODULES_ROWS / ROWS_A_FUNCTION)
#define FUNCTION_BYTES	 128
#define TEXT_BYTES	 (FUNCTIONS * FUNCTION_BYTES)
#define BUILD_ID_BYTES	 20
#define TEXT_OFFSET	 4096
#define EH_FRAME_OFFSET	 (TEXT_OFFSET + TEXT_BYTES)
#define EH_FRAME_ADDRESS (EH_FRAME_OFFSET + 0x100000)

static const char section_names[] = "\0.eh_frame\0.shstrtab";

/* All before the text. */
struct head {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdrs[2];
	Elf64_Shdr shdrs[3];
	char names[sizeof(section_names)];
	struct {
		Elf64_Nhdr header;
		char name[4];
		unsigned char id[BUILD_ID_BYTES];
	} note;
};

struct cie {
	uint32_t length;
	uint32_t id;
	uint8_t body[20];
} __attribute__((packed));

struct fde {
	uint32_t length;
	uint32_t cie;
	int32_t start;
	uint32_t bytes;
	uint8_t augmentation;
	uint8_t program[3 * (ROWS_A_FUNCTION - 1) + 2];
} __attribute__((packed));

/* Pushes and pops, and from module to module a little different. */
static void fill_fde(struct fde *f, uint32_t index, uint32_t at)
{
	uint8_t *p = f->program;

	*f = (struct fde){ .length = sizeof(*f) - 4,
		.cie = at + 4,
		.start = (int32_t)(TEXT_OFFSET + index * FUNCTION_BYTES -
				   (EH_FRAME_ADDRESS + at + 8)),
		.bytes = FUNCTION_BYTES };
	for (unsigned int row = 1; row < ROWS_A_FUNCTION; row++) {
		*p++ = 0x40 | (1 + (index + row) % 15); /* DW_CFA_advance_loc */
		*p++ = 0x0e;				/* DW_CFA_def_cfa_offset */
		*p++ = (uint8_t)(8 + 8 * ((row + index) % 13 + 1));
	}
}

static void fill_head(struct head *h, uint32_t eh_frame_bytes, uint32_t number)
{
	memset(h, 0, sizeof(*h));
	memcpy(h->ehdr.e_ident, ELFMAG, SELFMAG);
	h->ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	h->ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	h->ehdr.e_ident[EI_VERSION] = EV_CURRENT;
	h->ehdr.e_type = ET_DYN;
	h->ehdr.e_machine = EM_X86_64;
	h->ehdr.e_version = EV_CURRENT;
	h->ehdr.e_ehsize = sizeof(Elf64_Ehdr);
	h->ehdr.e_phoff = offsetof(struct head, phdrs);
	h->ehdr.e_phentsize = sizeof(Elf64_Phdr);
	h->ehdr.e_phnum = 2;
	h->ehdr.e_shoff = offsetof(struct head, shdrs);
	h->ehdr.e_shentsize = sizeof(Elf64_Shdr);
	h->ehdr.e_shnum = 3;
	h->ehdr.e_shstrndx = 2;
	h->phdrs[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_offset = TEXT_OFFSET,
		.p_vaddr = TEXT_OFFSET,
		.p_filesz = TEXT_BYTES,
		.p_memsz = TEXT_BYTES,
		.p_align = 4096 };
	h->phdrs[1] = (Elf64_Phdr){ .p_type = PT_NOTE,
		.p_offset = offsetof(struct head, note),
		.p_filesz = sizeof(h->note),
		.p_align = 4 };
	h->shdrs[1] = (Elf64_Shdr){ .sh_name = 1,
		.sh_type = SHT_PROGBITS,
		.sh_addr = EH_FRAME_ADDRESS,
		.sh_offset = EH_FRAME_OFFSET,
		.sh_size = eh_frame_bytes };
	h->shdrs[2] = (Elf64_Shdr){ .sh_name = 11,
		.sh_type = SHT_STRTAB,
		.sh_offset = offsetof(struct head, names),
		.sh_size = sizeof(section_names) };
	memcpy(h->names, section_names, sizeof(section_names));
	h->note.header = (Elf64_Nhdr){ 4, BUILD_ID_BYTES, NT_GNU_BUILD_ID };
	memcpy(h->note.name, "GNU", 4);
	memcpy(h->note.id, &number, sizeof(number));
	memcpy(h->note.id + 4, "heaptap bench", 13);
}

static int write_module(const char *directory, uint32_t number)
{
	/* Version 1, "zR", code 1, data -8, RA 16, pcrel sdata4; CFA = rsp + 8, RA at CFA - 8. */
	static const struct cie cie = { sizeof(cie) - 4, 0,
		{ 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1 } };
	size_t bytes = sizeof(cie) + FUNCTIONS * sizeof(struct fde);
	cleanup_free uint8_t *frame = malloc(bytes);
	struct head head;
	char path[128];
	bool done;
	int fd;

	if (!frame)
		return -ENOMEM;
	memcpy(frame, &cie, sizeof(cie));
	for (uint32_t i = 0; i < FUNCTIONS; i++) {
		uint32_t at = (uint32_t)(sizeof(cie) + i * sizeof(struct fde));
		struct fde fde;

		fill_fde(&fde, i + number, at);
		fde.start =
			(int32_t)(TEXT_OFFSET + i * FUNCTION_BYTES - (EH_FRAME_ADDRESS + at + 8));
		memcpy(frame + at, &fde, sizeof(fde));
	}
	fill_head(&head, (uint32_t)bytes, number);
	snprintf(path, sizeof(path), "%s/%u.so", directory, number);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return bench_err(-errno, "%s: %m", path);
	done = pwrite(fd, &head, sizeof(head), 0) == sizeof(head) &&
	       pwrite(fd, frame, bytes, EH_FRAME_OFFSET) == (ssize_t)bytes;
	close(fd);
	return done ? 0 : bench_err(-EIO, "%s: cannot write", path);
}

static void map_all(const char *directory)
{
	for (uint32_t i = 0; i < MODULES_COUNT; i++) {
		char path[128];
		int fd;

		snprintf(path, sizeof(path), "%s/%u.so", directory, i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || mmap(NULL, TEXT_BYTES, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd,
				      TEXT_OFFSET) == MAP_FAILED)
			_exit(1);
		close(fd);
	}
}

int modules_start(struct modules *m)
{
	char ready = 0;
	int pipe_fds[2], rc = 0;

	*m = (struct modules){ .directory = "/tmp/heaptap-bench-XXXXXX" };
	if (!mkdtemp(m->directory))
		return bench_err(-errno, "mkdtemp: %m");
	for (uint32_t i = 0; !rc && i < MODULES_COUNT; i++)
		rc = write_module(m->directory, i);
	if (!rc && pipe(pipe_fds))
		rc = -errno;
	if (rc)
		return rc;
	m->pid = fork();
	if (!m->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		map_all(m->directory);
		if (write(pipe_fds[1], "r", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	close(pipe_fds[1]);
	if (m->pid < 0 || read(pipe_fds[0], &ready, 1) != 1)
		rc = bench_err(-ECHILD, "the process with many modules did not start");
	close(pipe_fds[0]);
	return rc;
}

void modules_stop(struct modules *m)
{
	char path[128];

	if (m->pid > 0) {
		kill(m->pid, SIGKILL);
		waitpid(m->pid, NULL, 0);
	}
	for (uint32_t i = 0; *m->directory && i < MODULES_COUNT; i++) {
		snprintf(path, sizeof(path), "%s/%u.so", m->directory, i);
		unlink(path);
	}
	if (*m->directory)
		rmdir(m->directory);
}
