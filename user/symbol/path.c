// SPDX-License-Identifier: GPL-2.0-or-later
#include "path.h"

#include <stdbool.h>
#include <string.h>

/* The start of the last part before end, when it can be taken back by "..". */
static char *last_part(char *start, char *end)
{
	char *part = end;

	while (part > start && part[-1] != '/')
		part--;
	return part == end || (end - part == 2 && part[0] == '.' && part[1] == '.') ? NULL : part;
}

void path_clean(char *path)
{
	bool absolute = *path == '/';
	char *start = path + absolute, *to = start;
	const char *from = path;

	while (*from) {
		size_t length;
		char *part;

		from += strspn(from, "/");
		length = strcspn(from, "/");
		part = to > start ? last_part(start, to) : NULL;
		if (!length || (length == 1 && *from == '.')) {
			from += length;
			continue;
		}
		if (length == 2 && !strncmp(from, "..", 2) && (part || absolute)) {
			from += length;
			/* "/.." is "/". */
			to = part ? part - (part > start) : start;
			continue;
		}
		if (to > start)
			*to++ = '/';
		memmove(to, from, length);
		to += length;
		from += length;
	}
	if (to == path && *path)
		*to++ = '.';
	*to = 0;
}
