// SPDX-License-Identifier: GPL-2.0-or-later
#include "sections.h"

#include <string.h>

#include "../base/parse.h"

Elf *sections_open(int fd)
{
	Elf *elf;

	if (fd < 0)
		return NULL;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, parse_is_sandboxed() ? ELF_C_READ_MMAP : ELF_C_READ, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF)
		return elf;
	elf_end(elf);
	return NULL;
}

void sections_close(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

Elf_Scn *sections_find(Elf *elf, const char *name)
{
	Elf_Scn *section = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		const char *own;

		if (!gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS)
			continue;
		own = elf_strptr(elf, names, header.sh_name);
		if (own && !strcmp(own, name))
			return section;
	}
	return NULL;
}

bool sections_have_dwarf(Elf *elf)
{
	return sections_find(elf, ".debug_info") || sections_find(elf, ".zdebug_info");
}
