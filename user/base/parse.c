// SPDX-License-Identifier: GPL-2.0-or-later
#include "parse.h"

#include <string.h>

#include "err.h"

int parse_request(const struct parser *parser, const int *files, size_t count,
	const struct buffer *in, struct buffer *out)
{
	int error;

	buffer_clear(out);
	error = parser->run(files, count, in, out);
	if (!error)
		error = buffer_failed(out);
	if (!error)
		return 0;
	debug("%s: %s", parser->name, strerror(-error));
	buffer_clear(out);
	return error;
}
