/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HEAPTAP_DRY_RUN_H
#define HEAPTAP_DRY_RUN_H

#include "../target/plan.h"

/*
 * The plan, a line a probe: kind, file offset, function, instruction, how the kernel runs it, file.
 * Scripts may rely on the first three columns and the last.
 */
void dry_run_print(const struct process *process, const struct image *image,
	const struct plan *plan, struct buffer *out);

#endif
