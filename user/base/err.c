// SPDX-License-Identifier: GPL-2.0-or-later
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "utf8.h"

#define PREFIX "heaptap: "

static enum log_level current_level = LOG_INFO;
static struct buffer *captured;

void log_set_level(enum log_level level)
{
	current_level = level;
}

enum log_level log_get_level(void)
{
	return current_level;
}

static void log_write(enum log_level level, const char *format, va_list arguments)
{
	char line[2048] = PREFIX;
	size_t used = strlen(line);
	int n;

	if (captured ? level > LOG_ERROR : level > current_level)
		return;
	n = vsnprintf(line + used, sizeof(line) - used - 1, format, arguments);
	if (n < 0)
		return;
	used += (size_t)n < sizeof(line) - used - 1 ? (size_t)n : sizeof(line) - used - 2;
	/* Names of files and processes come from others: a message stays one line, without escapes. */
	line[used] = 0;
	for (size_t i = 0; i < used;) {
		int length = utf8_printable(line + i);

		if (!length)
			line[i] = '?';
		i += length ? (size_t)length : 1;
	}
	line[used++] = '\n';
	if (captured) {
		buffer_append(captured, line + strlen(PREFIX), used - strlen(PREFIX));
		return;
	}
	/*
	 * One write: messages of several threads do not mix. There is nowhere to report its
	 * failure.
	 */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

void log_capture(struct buffer *to)
{
	captured = to;
}

void log_message(enum log_level level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_write(level, format, arguments);
	va_end(arguments);
}

int err(int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_write(LOG_ERROR, format, arguments);
	va_end(arguments);
	return code;
}

int exit_code_of(int error)
{
	switch (error) {
	case 0:
		return EXIT_OK;
	case -EPERM:
	case -EACCES:
	case -ENOSYS:
	case -EOPNOTSUPP:
		return EXIT_PRIVILEGE;
	case -ESRCH:
	case -ENXIO:
		return EXIT_NOTHING;
	case -EINVAL:
		return EXIT_USAGE;
	default:
		return EXIT_FAILED;
	}
}
