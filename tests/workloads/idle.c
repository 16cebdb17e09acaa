// SPDX-License-Identifier: GPL-2.0-or-later
/* Allocates nothing: what a report shows of it is the tracer's own doing. */

#include "workload.h"

int main(int argc, char **argv)
{
	static const struct wl_tally nothing;
	const char *truth = NULL;
	const struct wl_option options[] = {
		{ "--truth", NULL, &truth, NULL },
		{ NULL, NULL, NULL, NULL },
	};

	wl_options(argc, argv, options);
	wl_ready();
	wl_truth(truth, NULL, 0, &nothing, 1);
	wl_say("done\n");
	wl_park();
}
