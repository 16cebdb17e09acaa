/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a file the one that a process has mapped? By the build id in both, for inode numbers differ between what
 * /proc/PID/maps prints and what stat() says on some file systems. A parser of foreign bytes: called through
 * parse_request().
 */
#ifndef HEAPTAP_IDENTITY_H
#define HEAPTAP_IDENTITY_H

#include "../base/parse.h"

enum identity {
	IDENTITY_SAME,
	IDENTITY_DIFFERENT,
	IDENTITY_UNKNOWN, /* not a 64-bit ELF file, or not mapped from its first byte on */
};

struct identity_answer {
	uint32_t identity;
};

/*
 * files: the file, and the process's memory (/proc/PID/mem). in: the address, 64 bits, where the file's first bytes
 * are mapped. out: a struct identity_answer. Where neither has a build id their first pages are compared. -errno when
 * either cannot be read.
 */
extern const struct parser identity_parser;

#endif
