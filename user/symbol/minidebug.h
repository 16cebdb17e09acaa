/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * .gnu_debugdata: an ELF file with the symbols that .dynsym lacks, packed by xz, which Fedora and
 * its relatives leave in stripped files.
 */
#ifndef HEAPTAP_MINIDEBUG_H
#define HEAPTAP_MINIDEBUG_H

#include <libelf.h>

#include "../base/buffer.h"

/* The file within the file, or NULL. Its bytes are in *bytes, which has to live as long. */
Elf *minidebug_open(Elf *elf, struct buffer *bytes);

#endif
