// SPDX-License-Identifier: GPL-2.0-or-later
#include "parse.h"

#include <string.h>

#include "err.h"
#include "parse_wire.h"

/* Written once, before there are threads. */
static const struct parser *const *sandboxed;
static size_t sandboxed_count;

void parse_sandbox(char **argv, const struct parser *const *parsers, size_t count)
{
	if (argv[0] && !strcmp(argv[0], PARSE_CHILD))
		parse_serve(parsers, count);
	sandboxed = parsers;
	sandboxed_count = count;
}

int parse_run(const struct parser *parser, const int *files, size_t count, const struct buffer *in,
	struct buffer *out)
{
	int error = parser->run(files, count, in, out);

	if (!error)
		error = buffer_failed(out);
	if (error)
		buffer_clear(out);
	return error;
}

int parse_here(const struct parser *parser, const int *files, size_t count, const struct buffer *in,
	struct buffer *out)
{
	int error = parse_run(parser, files, count, in, out);

	return !error && parser->check ? parser->check(in, out) : error;
}

int parse_request(const struct parser *parser, const int *files, size_t count,
	const struct buffer *in, struct buffer *out)
{
	uint32_t index = 0;
	int error;

	buffer_clear(out);
	while (index < sandboxed_count && sandboxed[index] != parser)
		index++;
	if (!sandboxed)
		error = parse_here(parser, files, count, in, out);
	else if (index < sandboxed_count)
		error = parse_ask(parser, index, files, count, in, out);
	else
		error = err(
			-ENOSYS, "the parser of %s is not in the sandbox's table", parser->name);
	if (!error)
		return 0;
	debug("%s: %s", parser->name, strerror(-error));
	buffer_clear(out);
	return error;
}
