// SPDX-License-Identifier: GPL-2.0-or-later
#include "debuglinks.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <string.h>

#include "sections.h"

static void copy_id(struct build_id *id, const void *bytes, size_t length)
{
	if (!length || length > sizeof(id->bytes))
		return;
	memcpy(id->bytes, bytes, length);
	id->length = (uint32_t)length;
}

static bool has_symtab(Elf *elf)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;

	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, &header) && header.sh_type == SHT_SYMTAB)
			return true;
	return false;
}

/* A name, a NUL, and behind it at `align` bytes `rest` more. Returns these, or NULL. */
static const uint8_t *read_link(
	Elf *elf, const char *section_name, size_t align, char *name, size_t *rest)
{
	Elf_Scn *section = sections_find(elf, section_name);
	Elf_Data *data = section ? elf_rawdata(section, NULL) : NULL;
	size_t length, at;

	if (!data || !data->d_buf)
		return NULL;
	length = strnlen(data->d_buf, data->d_size);
	at = (length + align) & ~(align - 1); /* with the NUL, rounded up */
	if (!length || length >= DEBUGLINKS_NAME || length == data->d_size || at >= data->d_size)
		return NULL;
	memcpy(name, data->d_buf, length + 1);
	*rest = data->d_size - at;
	return (const uint8_t *)data->d_buf + at;
}

static int debuglinks_parse(
	const int *files, size_t count, const struct buffer *in, struct buffer *out)
{
	Elf *elf CLEANUP(sections_close) = sections_open(count ? files[0] : -1);
	struct debuglinks *l = buffer_extend(out, sizeof(*l));
	const uint8_t *bytes;
	const void *id;
	ssize_t length;
	size_t rest;

	(void)in;
	if (!elf)
		return -ENOEXEC;
	if (!l)
		return -ENOMEM;
	length = dwelf_elf_gnu_build_id(elf, &id);
	if (length > 0)
		copy_id(&l->id, id, (size_t)length);
	l->has_dwarf = sections_have_dwarf(elf);
	l->has_symtab = has_symtab(elf);
	/* Written in the order of the machine, which is ours. */
	bytes = read_link(elf, ".gnu_debuglink", sizeof(l->crc), l->name, &rest);
	if (bytes && rest >= sizeof(l->crc))
		memcpy(&l->crc, bytes, sizeof(l->crc));
	else
		*l->name = 0;
	bytes = read_link(elf, ".gnu_debugaltlink", 1, l->alt_name, &rest);
	if (bytes)
		copy_id(&l->alt_id, bytes, rest);
	return 0;
}

const struct parser debuglinks_parser = { "links to debug files", debuglinks_parse };

int debuglinks_read(int fd, struct debuglinks *links)
{
	struct buffer in CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	int error = parse_file(&debuglinks_parser, fd, &in, &out);

	if (error)
		return error;
	if (out.length != sizeof(*links))
		return -EBADMSG;
	memcpy(links, out.data, sizeof(*links));
	links->name[DEBUGLINKS_NAME - 1] = links->alt_name[DEBUGLINKS_NAME - 1] = 0;
	if (links->id.length > sizeof(links->id.bytes) ||
		links->alt_id.length > sizeof(links->alt_id.bytes))
		return -EBADMSG;
	return 0;
}
