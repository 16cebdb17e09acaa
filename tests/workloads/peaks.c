// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Holds memory for a while, again and again more of it, and writes how much it was at most.
 *
 *   --held N     peaks that are held for --ms milliseconds, each higher than the one before
 *   --spike      at the end one of double the height that is gone at once
 */

#include "workload.h"

#define BLOCKS 200

static void *blocks[2 * BLOCKS];

WL_SITE static void *site_peak(size_t size)
{
	return wl_kept(malloc(size));
}

static uint64_t rise_and_fall(uint64_t count, size_t size, uint64_t ms)
{
	for (uint64_t i = 0; i < count; i++)
		blocks[i] = site_peak(size);
	if (ms)
		wl_sleep_ns(ms * 1000000);
	for (uint64_t i = 0; i < count; i++)
		free(blocks[i]);
	return count * size;
}

int main(int argc, char **argv)
{
	uint64_t held = 3, ms = 200, most = 0;
	int spike = 0;
	char line[32];
	const struct wl_option options[] = {
		{ "--held", &held, NULL, NULL },
		{ "--ms", &ms, NULL, NULL },
		{ "--spike", NULL, NULL, &spike },
		{ NULL, NULL, NULL, NULL },
	};

	wl_options(argc, argv, options);
	wl_ready();
	for (uint64_t i = 1; i <= held; i++) {
		most = rise_and_fall(BLOCKS, 1000 * i, ms);
		wl_sleep_ns(20000000);
	}
	if (spike)
		most = rise_and_fall(2 * BLOCKS, 1000 * held, 0);
	snprintf(line, sizeof(line), "done %llu\n", (unsigned long long)most);
	wl_say(line);
	wl_park();
}
