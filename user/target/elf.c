// SPDX-License-Identifier: GPL-2.0-or-later
#include "elf.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <string.h>

static void end_elf(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

static int read_segments(Elf *elf, struct elf_info *info)
{
	size_t count;

	if (elf_getphdrnum(elf, &count))
		return -ENOEXEC;
	for (size_t i = 0; i < count && info->load_count < ELF_MAX_LOADS; i++) {
		GElf_Phdr ph;

		if (!gelf_getphdr(elf, (int)i, &ph))
			return -ENOEXEC;
		if (ph.p_type != PT_LOAD)
			continue;
		info->loads[info->load_count++] = (struct elf_load){
			.offset = ph.p_offset,
			.address = ph.p_vaddr,
			.file_bytes = ph.p_filesz,
			.executable = (ph.p_flags & PF_X) != 0,
		};
	}
	return info->load_count ? 0 : -ENOEXEC;
}

/*
 * From the notes of the segments: they are mapped, and outlive a file whose sections were stripped.
 */
static void read_build_id(Elf *elf, struct elf_info *info)
{
	size_t count;

	if (elf_getphdrnum(elf, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		size_t at = 0, name, description;
		GElf_Phdr ph;
		GElf_Nhdr note;
		Elf_Data *data;

		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_NOTE)
			continue;
		data = elf_getdata_rawchunk(elf, (int64_t)ph.p_offset, ph.p_filesz,
			ph.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
		while (data && (at = gelf_getnote(data, at, &note, &name, &description)) > 0) {
			const char *bytes = data->d_buf;

			if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 ||
				memcmp(bytes + name, "GNU", 4) || note.n_descsz > ELF_MAX_BUILD_ID)
				continue;
			memcpy(info->build_id, bytes + description, note.n_descsz);
			info->build_id_length = note.n_descsz;
			return;
		}
	}
}

static int offset_of_address(const struct elf_info *info, uint64_t address, uint64_t *offset)
{
	for (uint32_t i = 0; i < info->load_count; i++) {
		const struct elf_load *l = &info->loads[i];

		if (!l->executable || address < l->address || address - l->address >= l->file_bytes)
			continue;
		*offset = address - l->address + l->offset;
		return 0;
	}
	return -ENOENT;
}

static int name_index(const struct buffer *names, const char *name)
{
	const char *at = (const char *)names->data, *end = at + names->length;

	for (int i = 0; at < end; i++, at += strlen(at) + 1)
		if (!strcmp(at, name))
			return i;
	return -1;
}

static bool already_known(const struct buffer *out, const struct elf_function *f)
{
	const struct elf_info *info = (const void *)out->data;

	for (uint32_t i = 0; i < info->function_count; i++)
		if (info->functions[i].name == f->name && info->functions[i].address == f->address)
			return true;
	return false;
}

static void read_symbol(Elf *elf, const GElf_Shdr *section, const GElf_Sym *symbol,
	const struct buffer *names, struct buffer *out)
{
	struct elf_info *info = (void *)out->data;
	struct elf_function f = { .address = symbol->st_value, .bytes = symbol->st_size };
	const char *name;
	int index;

	if (GELF_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF)
		return;
	info->has_symbols = 1;
	name = elf_strptr(elf, section->sh_link, symbol->st_name);
	index = name ? name_index(names, name) : -1;
	if (index < 0 || info->function_count >= ELF_MAX_FUNCTIONS ||
		offset_of_address(info, f.address, &f.offset))
		return;
	f.name = (uint32_t)index;
	if (already_known(out, &f))
		return;
	info->function_count++;
	buffer_append(out, &f, sizeof(f)); /* may move the record */
}

static void read_symbols(Elf *elf, const struct buffer *names, struct buffer *out)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr section;
		Elf_Data *data;
		size_t count;

		if (!gelf_getshdr(scn, &section))
			continue;
		if (section.sh_type != SHT_DYNSYM && section.sh_type != SHT_SYMTAB)
			continue;
		data = elf_getdata(scn, NULL);
		if (!data || !section.sh_entsize)
			continue;
		count = data->d_size / section.sh_entsize;
		for (size_t i = 0; i < count && i < INT32_MAX; i++) {
			GElf_Sym symbol;

			if (!gelf_getsym(data, (int)i, &symbol))
				break;
			read_symbol(elf, &section, &symbol, names, out);
			if (buffer_failed(out))
				return;
		}
	}
}

static int elf_parse(const int *files, size_t count, const struct buffer *in, struct buffer *out)
{
	struct elf_info *info = buffer_extend(out, sizeof(*info));
	GElf_Ehdr header;
	int error;

	if (!info)
		return -ENOMEM;
	elf_version(EV_CURRENT);
	/* Not mapped: a file that shrinks meanwhile must not kill us. */
	Elf *elf CLEANUP(end_elf) = elf_begin(count ? files[0] : -1, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header))
		return -ENOEXEC;
	if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
		return -ENOEXEC;
	info->machine = header.e_machine;
	info->type = header.e_type;
	error = read_segments(elf, info);
	if (error)
		return error;
	read_build_id(elf, info);
	read_symbols(elf, in, out);
	return 0;
}

static uint32_t name_count(const struct buffer *names)
{
	uint32_t count = 0;

	for (size_t i = 0; i < names->length; i++)
		count += !names->data[i];
	return count;
}

static int elf_check(const struct buffer *in, const struct buffer *out)
{
	const struct elf_info *info = (const void *)out->data;
	uint32_t names = name_count(in);

	if (out->length < sizeof(*info) || info->load_count > ELF_MAX_LOADS ||
		info->build_id_length > ELF_MAX_BUILD_ID ||
		info->function_count > ELF_MAX_FUNCTIONS ||
		out->length != sizeof(*info) + info->function_count * sizeof(struct elf_function))
		return -EBADMSG;
	for (uint32_t i = 0; i < info->function_count; i++) {
		const struct elf_function *f = &info->functions[i];
		uint64_t offset;

		if (f->name >= names || offset_of_address(info, f->address, &offset) ||
			offset != f->offset)
			return -EBADMSG;
	}
	return 0;
}

const struct parser elf_parser = { "functions", elf_parse, elf_check };

uint64_t elf_address_of_offset(const struct elf_info *info, uint64_t offset)
{
	for (uint32_t i = 0; i < info->load_count; i++) {
		const struct elf_load *l = &info->loads[i];

		/* Mappings begin at whole pages, segments need not. */
		if (l->executable && offset >= (l->offset & ~4095ULL) &&
			offset < l->offset + l->file_bytes)
			return l->address - l->offset + offset;
	}
	return UINT64_MAX;
}

const char *elf_build_id_text(char text[ELF_BUILD_ID_TEXT], const struct elf_info *info)
{
	static const char hex[] = "0123456789abcdef";

	for (uint32_t i = 0; i < info->build_id_length; i++) {
		text[2 * i] = hex[info->build_id[i] >> 4];
		text[2 * i + 1] = hex[info->build_id[i] & 15];
	}
	text[2 * info->build_id_length] = 0;
	return text;
}
