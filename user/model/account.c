// SPDX-License-Identifier: GPL-2.0-or-later
#include "account.h"

void account_make(
	struct account *a, const struct usage *now, const struct usage *start, uint64_t live_bytes)
{
	*a = (struct account){
		.rss = now->rss,
		.file = now->rss_file,
		.shmem = now->rss_shmem,
		.anon = now->rss_anon,
		.before = start ? start->rss_anon : -1,
		.live = (int64_t)live_bytes,
	};
	a->complete = a->anon >= 0 && a->before >= 0;
	if (a->complete)
		a->rest = a->anon - a->before - a->live;
}
