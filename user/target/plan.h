/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The probe plan: which instructions of which files get a probe, and what each will tell. Made from
 * bytes alone, before anything touches the kernel; --dry-run prints it.
 */
#ifndef HEAPTAP_PLAN_H
#define HEAPTAP_PLAN_H

#include "image.h"
#include "insn.h"

#define PLAN_FUNCTION 96

struct plan_probe {
	uint32_t module; /* id in the image */
	enum ht_role role;
	bool returns;		      /* a session: entry and return */
	bool emulated;		      /* one trap; else it is single-stepped, 3 to 13 times that */
	uint16_t pushed;	      /* words that the stack pointer is below its value at entry */
	uint64_t offset;	      /* of the instruction, in the file */
	uint64_t address;	      /* of the instruction, in the ELF's own address space */
	char function[PLAN_FUNCTION]; /* aliases joined by "=" */
	char text[48];		      /* the instruction */
};

struct plan {
	struct plan_probe *probes;
	uint32_t count;
};

/*
 * Adds the probes of one module: nothing when it defines no allocator. 0 or -errno with its
 * message.
 */
int plan_add_module(struct plan *plan, uint32_t id, const struct module *module);
/* All modules of an image. -ENXIO, silently, when there is nothing to probe. */
int plan_make(struct plan *plan, const struct image *image);
/* Says why there is nothing to probe. -ENXIO, -EACCES or -EMFILE. */
int plan_explain_nothing(const struct image *image, const struct process *p);
void plan_release(struct plan *plan);

/*
 * Reads the code again and checks what a misplaced return probe would do: overwrite a saved
 * register and kill the target. 0, or -EINVAL with a message. The attach code calls it for each
 * probe that returns.
 */
int plan_check_return(const struct plan_probe *probe, const struct module *module);

#endif
