// SPDX-License-Identifier: GPL-2.0-or-later
#include "unwind.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cfi.h"

#define PROGRAM_HEADERS_MAX 256
#define NAMES_MAX	    (1U << 20)
#define SECTION_BYTES_MAX   (256ULL << 20)
#define TEXT_BYTES_MAX	    (1ULL << 30)
#define GAP_BYTES	    16 /* between functions: padding, where no call returns to */

/* A file as far as this parser goes into it. */
struct file {
	int fd;
	Elf64_Ehdr header;
	Elf64_Phdr *segments; /* header.e_phnum of them */
};

/* Exactly n bytes. 0 or -ENOEXEC: what is not there was not described truly. */
static int read_at(int fd, void *to, uint64_t n, uint64_t offset)
{
	uint8_t *at = to;

	if (offset > INT64_MAX)
		return -ENOEXEC;
	while (n) {
		ssize_t got = pread(fd, at, n, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -ENOEXEC;
		at += got;
		offset += (uint64_t)got;
		n -= (uint64_t)got;
	}
	return 0;
}

/* As many as there are, up to n, for what the file may describe too long. */
static int read_section(int fd, struct buffer *out, uint64_t n, uint64_t offset)
{
	struct stat st;

	if (!n || fstat(fd, &st) || offset >= (uint64_t)st.st_size)
		return -ENOEXEC;
	if (n > (uint64_t)st.st_size - offset)
		n = (uint64_t)st.st_size - offset;
	if (n > SECTION_BYTES_MAX)
		return -EFBIG;
	if (!buffer_extend(out, n))
		return -ENOMEM;
	return read_at(fd, out->data, n, offset);
}

static int open_elf(struct file *f)
{
	size_t bytes;

	if (read_at(f->fd, &f->header, sizeof(f->header), 0) ||
		memcmp(f->header.e_ident, ELFMAG, SELFMAG) ||
		f->header.e_ident[EI_CLASS] != ELFCLASS64 ||
		f->header.e_ident[EI_DATA] != ELFDATA2LSB || f->header.e_machine != EM_X86_64)
		return -ENOEXEC;
	if (!f->header.e_phnum || f->header.e_phnum > PROGRAM_HEADERS_MAX ||
		f->header.e_phentsize != sizeof(Elf64_Phdr))
		return -ENOEXEC;
	bytes = f->header.e_phnum * sizeof(Elf64_Phdr);
	f->segments = malloc(bytes);
	if (!f->segments)
		return -ENOMEM;
	return read_at(f->fd, f->segments, bytes, f->header.e_phoff);
}

/* From the first to the last executable byte. */
static int text_extent(const struct file *f, uint64_t *start, uint64_t *end)
{
	*start = UINT64_MAX;
	*end = 0;
	for (unsigned int i = 0; i < f->header.e_phnum; i++) {
		const Elf64_Phdr *p = &f->segments[i];

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || !p->p_filesz)
			continue;
		if (p->p_vaddr >> 47 || p->p_filesz > TEXT_BYTES_MAX)
			return -EFBIG;
		if (p->p_vaddr < *start)
			*start = p->p_vaddr;
		if (p->p_vaddr + p->p_filesz > *end)
			*end = p->p_vaddr + p->p_filesz;
	}
	if (*start >= *end)
		return -ENOENT;
	return *end - *start > TEXT_BYTES_MAX ? -EFBIG : 0;
}

/* --- finding the tables ----------------------------------------------------------------------- */

struct found {
	struct buffer bytes;
	struct cfi_section section;
};

static int take_section(const struct file *f, struct found *found, uint64_t offset, uint64_t bytes,
	uint64_t address, bool debug_frame)
{
	int error;

	buffer_clear(&found->bytes);
	error = read_section(f->fd, &found->bytes, bytes, offset);
	if (error)
		return error;
	found->section = (struct cfi_section){ .data = found->bytes.data,
		.length = found->bytes.length,
		.address = address,
		.debug_frame = debug_frame };
	return 0;
}

static bool is_named(const struct buffer *names, uint32_t at, const char *name)
{
	size_t n = strlen(name) + 1;

	return at < names->length && names->length - at >= n && !memcmp(names->data + at, name, n);
}

static int section_headers(const struct file *f, struct buffer *sections, struct buffer *names)
{
	const Elf64_Ehdr *h = &f->header;
	const Elf64_Shdr *table;
	int error;

	if (!h->e_shnum || h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shstrndx >= h->e_shnum)
		return -ENOENT;
	if (!buffer_extend(sections, h->e_shnum * sizeof(Elf64_Shdr)))
		return -ENOMEM;
	error = read_at(f->fd, sections->data, sections->length, h->e_shoff);
	if (error)
		return error;
	table = (const void *)sections->data;
	if (table[h->e_shstrndx].sh_size > NAMES_MAX)
		return -EFBIG;
	return read_section(
		f->fd, names, table[h->e_shstrndx].sh_size, table[h->e_shstrndx].sh_offset);
}

static int find_section(
	const struct file *f, const char *name, bool debug_frame, struct found *found)
{
	struct buffer sections CLEANUP_BUFFER = { 0 }, names CLEANUP_BUFFER = { 0 };
	int error = section_headers(f, &sections, &names);
	const Elf64_Shdr *s = (const void *)sections.data;

	if (error)
		return error;
	for (unsigned int i = 0; i < f->header.e_shnum; i++, s++) {
		/* NOBITS in files that hold debug information alone. */
		if (s->sh_type == SHT_NOBITS || s->sh_type == SHT_NULL || !s->sh_size ||
			s->sh_flags & SHF_COMPRESSED || !is_named(&names, s->sh_name, name))
			continue;
		return take_section(f, found, s->sh_offset, s->sh_size, s->sh_addr, debug_frame);
	}
	return -ENOENT;
}

/* The segment whose bytes in the file hold an address. */
static const Elf64_Phdr *segment_of(const struct file *f, uint64_t address)
{
	for (unsigned int i = 0; i < f->header.e_phnum; i++) {
		const Elf64_Phdr *p = &f->segments[i];

		if (p->p_type == PT_LOAD && address >= p->p_vaddr &&
			address - p->p_vaddr < p->p_filesz)
			return p;
	}
	return NULL;
}

/* Without sections: the header that exception handling finds the table by at run time. */
static int find_by_segment(const struct file *f, struct found *found)
{
	const Elf64_Phdr *h = NULL, *p;
	uint8_t bytes[12];
	struct bytes b = { .at = bytes + 4, .end = bytes + sizeof(bytes) };
	uint64_t address;

	for (unsigned int i = 0; i < f->header.e_phnum && !h; i++)
		if (f->segments[i].p_type == PT_GNU_EH_FRAME)
			h = &f->segments[i];
	if (!h || h->p_filesz < sizeof(bytes))
		return -ENOENT;
	/* version, encodings of: pointer, count, table; then the pointer */
	if (read_at(f->fd, bytes, sizeof(bytes), h->p_offset) || bytes[0] != 1 ||
		!cfi_address(&b, bytes[1], 8, h->p_vaddr + 4, &address))
		return -ENOENT;
	p = segment_of(f, address);
	if (!p)
		return -ENOENT;
	return take_section(f, found, p->p_offset + (address - p->p_vaddr),
		p->p_filesz - (address - p->p_vaddr), address, false);
}

static int find_tables(const struct file *f, struct found *found)
{
	int error = find_section(f, ".eh_frame", false, found);

	if (error && error != -ENOMEM)
		error = find_by_segment(f, found);
	if (error && error != -ENOMEM)
		error = find_section(f, ".debug_frame", true, found);
	return error;
}

/* --- compiling ---------------------------------------------------------------------------------- */

static bool is_supported(uint64_t rule)
{
	return ht_rule_kind(rule) != HT_CFA_UNSUPPORTED;
}

static void count_unsupported(struct unwind_info *info)
{
	const uint32_t *rows = unwind_rows(info);

	for (uint32_t i = 0; i < info->row_count; i++)
		info->unsupported_rows += !is_supported(unwind_rules(info)[ht_row_rule(rows[i])]);
}

static void run_functions(const struct cfi *cfi, struct unwind_rows *rows, struct unwind_info *info)
{
	const struct cfi_fde *fdes = (const void *)cfi->fdes.data;
	size_t count = cfi->fdes.length / sizeof(*fdes);
	uint64_t end = rows->text_start;

	for (size_t i = 0; i < count && !rows->rows.failed; i++) {
		if (fdes[i].start < rows->text_start || fdes[i].end > rows->text_end)
			continue;
		if (fdes[i].start > end && fdes[i].start - end >= GAP_BYTES)
			unwind_rows_add(rows, end, HT_CFA_NONE);
		info->broken_functions += !cfi_run(cfi, &fdes[i], rows);
		info->functions++;
		if (fdes[i].end > end)
			end = fdes[i].end;
	}
	unwind_rows_add(rows, end, HT_CFA_NONE);
}

static int compile(const struct file *f, const struct cfi_section *section, struct buffer *out)
{
	struct cfi cfi CLEANUP(cfi_release) = { 0 };
	struct unwind_rows rows CLEANUP(unwind_rows_release) = { 0 };
	struct unwind_info info = { .magic = UNWIND_MAGIC, .version = UNWIND_VERSION };
	uint64_t start, end;
	int error = text_extent(f, &start, &end);

	if (!error)
		error = cfi_read(&cfi, section);
	if (!error)
		error = cfi.fdes.length ? unwind_rows_begin(&rows, start, end) : -ENOENT;
	if (error)
		return error;
	info.broken_functions = cfi.broken;
	run_functions(&cfi, &rows, &info);
	buffer_append(out, &info, sizeof(info));
	if (buffer_failed(out))
		return -ENOMEM;
	error = unwind_rows_finish(&rows, out);
	if (!error)
		count_unsupported((struct unwind_info *)(void *)out->data);
	return error;
}

static void release_file(struct file *f)
{
	free(f->segments);
}

static void release_found(struct found *found)
{
	buffer_release(&found->bytes);
}

static int unwind_parse(const int *files, size_t count, const struct buffer *in, struct buffer *out)
{
	struct file f CLEANUP(release_file) = { .fd = count ? files[0] : -1 };
	struct found found CLEANUP(release_found) = { 0 };
	int error = open_elf(&f);

	(void)in;
	if (!error)
		error = find_tables(&f, &found);
	return error ? error : compile(&f, &found.section, out);
}

static int unwind_answer_check(const struct buffer *in, const struct buffer *out)
{
	(void)in;
	return unwind_check(out->data, out->length) ? -EBADMSG : 0;
}

const struct parser unwind_parser = { "unwind tables", unwind_parse, unwind_answer_check };
