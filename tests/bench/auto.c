// SPDX-License-Identifier: GPL-2.0-or-later
/* What --mode auto costs whole programs with its default budget. */
#include <stdio.h>

#include "bench.h"
#include "slowdown.h"

/* A probe's first moments cost what they cost: the budget is one of any longer time. */
#define VISIT_S 4.0

int bench_auto(const struct bench_opts *opts)
{
	if (!opts->heaptap) {
		puts("auto: skipped, there is no heaptap");
		return 0;
	}
	return slowdown_programs(
		opts, "auto", VISIT_S, PROGRAM_REDIS | PROGRAM_PYTHON | PROGRAM_CXX | PROGRAM_LOOP);
}
