/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/maps, parsed. A pure function over the text: names in it are chosen by the target. */
#ifndef HEAPTAP_MAPS_H
#define HEAPTAP_MAPS_H

#include "../base/buffer.h"

struct map_entry {
	uint64_t start;
	uint64_t end;	 /* first address behind */
	uint64_t offset; /* in the file, bytes */
	uint64_t device; /* major : 32 | minor : 32, as printed; never compare with stat's */
	uint64_t inode;	 /* 0: no file */
	uint32_t path;	 /* bytes from the start of the text passed in */
	uint32_t path_length;
	bool executable;
	bool deleted; /* the kernel says that the path is gone */
};

/*
 * Appends a struct map_entry a line to *out, in order of address. 0, or -EINVAL when a line is
 * malformed.
 */
int maps_parse(const char *text, size_t length, struct buffer *out);

#endif
