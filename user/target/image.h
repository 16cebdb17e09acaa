/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code of a process: its modules (files that it has mapped executable) and where they lie.
 *
 *   image -> modules (file, build id, allocator functions) by dense id
 *         -> ranges (executable mappings, sorted) -> module id
 *
 * A module stays, with its open file, when the process unmaps it: stacks taken before refer to it.
 * The kernel's own code in the process, the vDSO, is a module too: its file is a copy in memory.
 */
#ifndef HEAPTAP_IMAGE_H
#define HEAPTAP_IMAGE_H

#include "../../include/records.h"
#include "allocator.h"
#include "process.h"

#define MODULE_VDSO "[vdso]"

struct module {
	char *path; /* as the process sees it, without the kernel's " (deleted)"; or MODULE_VDSO */
	uint64_t device; /* as /proc/PID/maps prints it */
	uint64_t inode;
	int fd;	   /* the mapped inode, also when its path is gone; -1: could not be opened */
	int error; /* of opening it, negative; 0: it is open */
	bool deleted;
	struct buffer elf;     /* a struct elf_info, or empty when the file is not usable */
	const char *allocator; /* NULL: defines none */
};

struct image {
	struct module *modules;
	uint32_t module_count;
	struct ht_range *ranges; /* sorted by start */
	uint32_t range_count;
};

static inline const struct elf_info *module_elf(const struct module *m)
{
	return m->elf.length ? (const struct elf_info *)m->elf.data : NULL;
}

/*
 * Reads the mappings and opens what is new; modules known already keep their ids. 0; -ESRCH: the
 * process has ended; -EACCES: /proc does not let us see it, -ENOMEM; each with its message.
 */
int image_read(struct image *image, const struct process *p);
/*
 * A file that no process has mapped yet becomes a module, known by what the mappings of one that maps it will say.
 * 0, or -errno after a message.
 */
int image_add_file(struct image *image, const char *path);
void image_release(struct image *image);

#endif
