/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parsers of this floor share about ELF files. Everything here reads foreign bytes. */
#ifndef HEAPTAP_SECTIONS_H
#define HEAPTAP_SECTIONS_H

#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>

/*
 * An ELF file, or NULL. Mapped in a sandbox only, since a file that its owner cuts short meanwhile is a
 * SIGBUS then; elsewhere read, section by section.
 */
Elf *sections_open(int fd);
void sections_close(Elf **elf); /* for CLEANUP */

/* A section that has bytes in this file, by name. NULL: none. */
Elf_Scn *sections_find(Elf *elf, const char *name);
/* Of functions, lines and inlining; not what unwinding alone needs. */
bool sections_have_dwarf(Elf *elf);

#endif
