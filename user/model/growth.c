// SPDX-License-Identifier: GPL-2.0-or-later
#include "growth.h"

int64_t growth_sum(const struct growth_figures *g)
{
	uint64_t sum = 0;

	for (int i = 0; i < HT_GROWTH_CAUSE_COUNT; i++)
		sum += g->grown[i] - g->shrunk[i];
	return (int64_t)sum;
}

int64_t growth_residual(const struct growth_figures *g)
{
	return g->end_bytes < 0 ? 0 : g->end_bytes - g->start_bytes - growth_sum(g);
}
