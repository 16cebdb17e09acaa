// SPDX-License-Identifier: GPL-2.0-or-later
#include "identity.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define HEAD_BYTES   4096
#define NOTE_BYTES   4096 /* more notes than that are not looked at */
#define MAX_BUILD_ID 32
#define PLACES	     2

/* The file, or its image in memory. */
struct view {
	int fd;
	uint64_t base; /* of the file's first byte */
	bool mapped;
	_Alignas(Elf64_Ehdr) uint8_t head[HEAD_BYTES];
	size_t head_length;
	uint8_t build_id[MAX_BUILD_ID];
	size_t build_id_length;
};

static ssize_t read_at(const struct view *v, uint64_t at, void *to, size_t n)
{
	ssize_t got = pread(v->fd, to, n, (off_t)(v->base + at));

	return got < 0 ? -errno : got;
}

/* Program headers in the first page: there linkers put them. */
static const Elf64_Phdr *program_headers(const struct view *v, uint16_t *count)
{
	const Elf64_Ehdr *e = (const void *)v->head;

	if (v->head_length < sizeof(*e) || memcmp(e->e_ident, ELFMAG, SELFMAG) ||
		e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_phentsize != sizeof(Elf64_Phdr) ||
		e->e_phoff > v->head_length || e->e_phoff % _Alignof(Elf64_Phdr) ||
		e->e_phnum > (v->head_length - e->e_phoff) / sizeof(Elf64_Phdr))
		return NULL;
	*count = e->e_phnum;
	return (const void *)(v->head + e->e_phoff);
}

static bool take_build_id(struct view *v, const uint8_t *notes, size_t n)
{
	size_t at = 0;

	while (n - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		size_t name, description;

		memcpy(&note, notes + at, sizeof(note));
		at += sizeof(note);
		name = ((size_t)note.n_namesz + 3) & ~3UL;
		description = ((size_t)note.n_descsz + 3) & ~3UL;
		if (name > n - at || description > n - at - name)
			return false;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
			!memcmp(notes + at, "GNU", 4) && note.n_descsz <= MAX_BUILD_ID) {
			memcpy(v->build_id, notes + at + name, note.n_descsz);
			v->build_id_length = note.n_descsz;
			return true;
		}
		at += name + description;
	}
	return false;
}

static int read_build_id(struct view *v, const Elf64_Phdr *headers, uint16_t count)
{
	uint64_t origin = 0; /* the address of the file's first byte in the ELF's own space */

	for (uint16_t i = 0; i < count; i++)
		if (headers[i].p_type == PT_LOAD && !headers[i].p_offset)
			origin = headers[i].p_vaddr;
	for (uint16_t i = 0; i < count; i++) {
		const Elf64_Phdr *p = &headers[i];
		uint8_t notes[NOTE_BYTES];
		ssize_t n;

		if (p->p_type != PT_NOTE)
			continue;
		n = read_at(v, v->mapped ? p->p_vaddr - origin : p->p_offset, notes,
			p->p_filesz < NOTE_BYTES ? p->p_filesz : NOTE_BYTES);
		if (n < 0)
			return (int)n;
		if (take_build_id(v, notes, (size_t)n))
			break;
	}
	return 0;
}

/* 0; 1: it is nothing to compare; -errno. */
static int view_open(struct view *v)
{
	const Elf64_Phdr *headers;
	uint16_t count;
	ssize_t n = read_at(v, 0, v->head, sizeof(v->head));

	if (n < 0)
		return (int)n;
	v->head_length = (size_t)n;
	headers = program_headers(v, &count);
	return headers ? read_build_id(v, headers, count) : 1;
}

static enum identity compare(const struct view *a, const struct view *b)
{
	bool same;

	if (a->build_id_length || b->build_id_length)
		same = a->build_id_length == b->build_id_length &&
		       !memcmp(a->build_id, b->build_id, a->build_id_length);
	else /* the rest of a mapping's last page is zeros, and the file ends before */
		same = a->head_length <= b->head_length &&
		       !memcmp(a->head, b->head, a->head_length);
	return same ? IDENTITY_SAME : IDENTITY_DIFFERENT;
}

static int identity_parse(
	const int *files, size_t count, const struct buffer *in, struct buffer *out)
{
	struct identity_answer *answer = buffer_extend(out, sizeof(*answer));
	struct view *views CLEANUP_FREE = calloc(PLACES, sizeof(*views));
	int file, memory;

	if (!answer || !views)
		return -ENOMEM;
	if (count < PLACES || in->length != sizeof(uint64_t))
		return -EINVAL;
	views[0].fd = files[0];
	views[1].fd = files[1];
	views[1].mapped = true;
	memcpy(&views[1].base, in->data, sizeof(views[1].base));
	file = view_open(&views[0]);
	memory = view_open(&views[1]);
	if (file < 0 || memory < 0)
		return file < 0 ? file : memory;
	answer->identity = file && memory   ? IDENTITY_UNKNOWN
			   : file || memory ? IDENTITY_DIFFERENT
					    : compare(&views[0], &views[1]);
	return 0;
}

static int identity_check(const struct buffer *in, const struct buffer *out)
{
	(void)in;
	return out->length == sizeof(struct identity_answer) ? 0 : -EBADMSG;
}

const struct parser identity_parser = { "program header", identity_parse, identity_check };
