// SPDX-License-Identifier: GPL-2.0-or-later
#include "progress.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"

#define FIRST_NS NS_PER_S
#define EACH_NS	 (NS_PER_S / 4)

static struct {
	const char *what; /* NULL: nothing is going on, or nobody looks */
	uint64_t began_ns, shown_ns;
} now;

void progress_begin(const char *what)
{
	now.what = isatty(STDERR_FILENO) && log_get_level() > LOG_ERROR ? what : NULL;
	now.began_ns = now.what ? clock_monotonic_ns() : 0;
	now.shown_ns = 0;
}

void progress_tick(void)
{
	uint64_t time;

	if (!now.what)
		return;
	time = clock_monotonic_ns();
	if (time - now.began_ns < FIRST_NS || time - now.shown_ns < EACH_NS)
		return;
	now.shown_ns = time;
	dprintf(STDERR_FILENO, "\r\033[Kheaptap: %s: %llu s", now.what,
		(unsigned long long)((time - now.began_ns) / NS_PER_S));
}

void progress_end(void)
{
	if (now.what && now.shown_ns)
		dprintf(STDERR_FILENO, "\r\033[K");
	now.what = NULL;
}
