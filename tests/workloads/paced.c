// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Pairs of malloc and free at a rate that is told while it runs, and a leak that is always the same: a number on a line
 * of input is pairs a second, 0 none, "max" as many as there can be. Each turn answers "rate" and how many pairs there
 * have been so far; "leak N" leaks N blocks of 1000 bytes.
 */
#include <fcntl.h>
#include <poll.h>

#include "workload.h"

#define SLICE_NS 10000000

static uint64_t pairs;

WL_SITE static void *site_pair(size_t bytes)
{
	return wl_kept(malloc(bytes));
}

WL_SITE static void *site_leak(size_t bytes)
{
	return wl_kept(malloc(bytes));
}

WL_SITE static void run_pairs(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		free(site_pair(64));
	pairs += n;
}

static void leak(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		site_leak(1000);
}

static int has_input(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&in, 1, 0) > 0;
}

/* Until there is input. */
WL_SITE static void run_at(uint64_t rate)
{
	while (!has_input()) {
		if (rate == UINT64_MAX)
			run_pairs(10000);
		else {
			run_pairs(rate * SLICE_NS / 1000000000u);
			wl_sleep_ns(SLICE_NS);
		}
	}
}

int main(void)
{
	char line[64], answer[128];
	uint64_t rate = 0;

	wl_say("ready paced\n");
	for (;;) {
		run_at(rate);
		if (wl_line(line, sizeof(line)) < 0 || !strcmp(line, "quit"))
			return 0;
		if (!strncmp(line, "leak ", 5))
			leak(strtoull(line + 5, NULL, 10));
		else
			rate = !strcmp(line, "max") ? UINT64_MAX : strtoull(line, NULL, 10);
		snprintf(answer, sizeof(answer), "rate %s pairs %llu\n", line,
			(unsigned long long)pairs);
		wl_say(answer);
	}
}
