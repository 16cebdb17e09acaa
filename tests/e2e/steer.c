// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Changes while a session runs, as a socket will ask for them: traces PID and obeys its input, a line
 * at a time; each is answered by one line.
 *
 *   exact | sample BYTES       how requests are followed from now on
 *   min BYTES | max BYTES      and which; max 0: no limit
 *   read                       the totals, as leaks --json has them
 *   end                        disarms, the last totals, and exits
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/trace/session.h"

#define FIGURE(t, name)                                                                            \
	printf("\"%s\":%llu,\"%s_stderr\":%.2f,", #name, (unsigned long long)(t)->name, #name,     \
		sqrt((t)->variance.name))
#define SAMPLE(t, name) printf("\"%s\":%llu,", #name, (unsigned long long)(t)->samples.name)

static int print_totals(struct session *s)
{
	struct snapshot snapshot;
	const struct totals *t = &snapshot.totals;

	if (session_read(s, 0, &snapshot))
		return 1;
	printf("{\"kind\":\"leaks\",\"stacks\":[],\"health\":{\"lost\":{}},\"totals\":{");
	FIGURE(t, alloc_count);
	FIGURE(t, alloc_bytes);
	FIGURE(t, free_count);
	FIGURE(t, free_bytes);
	FIGURE(t, live_count);
	FIGURE(t, live_bytes);
	printf("\"samples\":{");
	SAMPLE(t, alloc_count);
	SAMPLE(t, alloc_bytes);
	SAMPLE(t, free_count);
	SAMPLE(t, free_bytes);
	SAMPLE(t, live_count);
	SAMPLE(t, live_bytes);
	SAMPLE(t, lost_bytes);
	printf("\"lost_count\":%llu}}}\n", (unsigned long long)t->samples.lost_count);
	snapshot_release(&snapshot);
	return 0;
}

static int obey(struct session *s, const char *line, struct rules *rules)
{
	unsigned long long bytes = 0;

	if (!strncmp(line, "read", 4))
		return print_totals(s);
	if (!strncmp(line, "exact", 5)) {
		rules->sample = false;
		rules->sample_bytes = 1;
	} else if (sscanf(line, "sample %llu", &bytes) == 1) {
		rules->sample = true;
		rules->sample_bytes = bytes;
	} else if (sscanf(line, "min %llu", &bytes) == 1) {
		rules->min_bytes = bytes;
	} else if (sscanf(line, "max %llu", &bytes) == 1) {
		rules->max_bytes = bytes;
	} else {
		return 1;
	}
	if (session_set_rules(s, rules))
		return 1;
	puts("ok");
	return 0;
}

int main(int argc, char **argv)
{
	struct table_limits limits = TABLE_LIMITS_DEFAULT;
	struct rules rules = { .sample_bytes = 1 };
	struct session *s = NULL;
	char line[128];
	int error;

	setvbuf(stdout, NULL, _IOLBF, 0);
	error = argc == 2 ? session_open(&s, atoi(argv[1]), HT_MODE_EXACT, 1 << HT_DOMAIN_HEAP) : 1;
	if (!error)
		error = session_load(s, &limits, LINK_AUTO);
	if (!error)
		error = session_attach(s);
	if (!error)
		error = session_arm(s);
	if (!error)
		puts("ok");
	while (!error && fgets(line, sizeof(line), stdin) && strncmp(line, "end", 3))
		error = obey(s, line, &rules);
	if (!error) {
		session_disarm(s);
		session_detach(s);
		error = print_totals(s);
	}
	session_close(s);
	return error ? 1 : 0;
}
