// SPDX-License-Identifier: GPL-2.0-or-later
/* malloc and free pairs below a stack of a known depth, the same at every pair. */

#include "workload.h"

enum { SITE_pair, SITES };

static const char *const names[SITES] = { "site_pair" };

static uint64_t depth = 20, seconds, pairs, size = 64;
static struct wl_tally tally;

WL_SITE static void *site_pair(size_t bytes)
{
	return wl_kept(malloc(bytes));
}

WL_SITE static void run_pairs(void)
{
	uint64_t start = wl_now_ns(), elapsed = 0, done = 0;
	char line[96];

	while (pairs ? done < pairs : elapsed < seconds * 1000000000u) {
		for (int i = 0; i < 1024 && (!pairs || done < pairs); i++, done++)
			free(site_pair(size));
		elapsed = wl_now_ns() - start;
	}
	tally.site[SITE_pair].alloc_count = tally.site[SITE_pair].free_count = done;
	tally.site[SITE_pair].alloc_bytes = tally.site[SITE_pair].free_bytes = done * size;
	snprintf(line, sizeof(line), "pairs %llu ns %llu ns_per_pair %llu\n",
		(unsigned long long)done, (unsigned long long)elapsed,
		(unsigned long long)(elapsed / (done ? done : 1)));
	wl_say(line);
}

WL_SITE static void descend(uint64_t frames)
{
	if (frames)
		descend(frames - 1);
	else
		run_pairs();
	/* After the call, so that it is not a tail call and the frame stays. */
	__asm__ volatile("" : : : "memory");
}

int main(int argc, char **argv)
{
	const char *truth = NULL;
	const struct wl_option options[] = {
		{ "--depth", &depth, NULL, NULL },
		{ "--seconds", &seconds, NULL, NULL },
		{ "--pairs", &pairs, NULL, NULL },
		{ "--size", &size, NULL, NULL },
		{ "--truth", NULL, &truth, NULL },
		{ NULL, NULL, NULL, NULL },
	};

	wl_options(argc, argv, options);
	if (!pairs && !seconds)
		pairs = 100000;
	wl_ready();
	descend(depth);
	wl_truth(truth, names, SITES, &tally, 1);
	wl_say("done\n");
	wl_park();
}
