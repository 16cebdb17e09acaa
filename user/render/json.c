// SPDX-License-Identifier: GPL-2.0-or-later
#include "json.h"

#include <inttypes.h>
#include <math.h>

#include "../base/utf8.h"

static void begin(struct json *j, const char *key)
{
	if (j->comma)
		buffer_text(j->out, ",");
	j->comma = true;
	if (key) {
		buffer_text(j->out, "\"");
		buffer_text(j->out, key);
		buffer_text(j->out, "\":");
	}
}

void json_open(struct json *j, const char *key, char bracket)
{
	begin(j, key);
	buffer_append(j->out, &bracket, 1);
	j->comma = false;
}

void json_close(struct json *j, char bracket)
{
	buffer_append(j->out, &bracket, 1);
	j->comma = true;
}

static bool is_plain(char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

static void escaped(struct buffer *out, const char *text)
{
	for (const char *p = text; *p;) {
		size_t plain = 0;
		int n;

		/* Most of a text is copied at once: a report has millions of characters. */
		while (is_plain(p[plain]))
			plain++;
		buffer_append(out, p, plain);
		p += plain;
		if (!*p)
			return;
		n = utf8_length(p);
		if (*p == '"' || *p == '\\')
			buffer_format(out, "\\%c", *p);
		else if ((unsigned char)*p < ' ' || *p == 0x7f)
			buffer_format(out, "\\u%04x", (unsigned char)*p);
		else if (n)
			buffer_append(out, p, (size_t)n);
		else
			buffer_text(out, "\\ufffd");
		p += n ? n : 1;
	}
}

void json_string(struct json *j, const char *key, const char *text)
{
	begin(j, key);
	if (!text) {
		buffer_text(j->out, "null");
		return;
	}
	buffer_text(j->out, "\"");
	escaped(j->out, text);
	buffer_text(j->out, "\"");
}

void json_uint(struct json *j, const char *key, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	begin(j, key);
	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	buffer_append(j->out, digits + at, sizeof(digits) - at);
}

void json_int(struct json *j, const char *key, int64_t value)
{
	begin(j, key);
	buffer_format(j->out, "%" PRId64, value);
}

void json_bytes(struct json *j, const char *key, int64_t value)
{
	if (value < 0)
		json_null(j, key);
	else
		json_uint(j, key, (uint64_t)value);
}

void json_double(struct json *j, const char *key, double value, int digits)
{
	if (!isfinite(value)) {
		json_null(j, key);
		return;
	}
	begin(j, key);
	buffer_format(j->out, "%.*f", digits, value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	begin(j, key);
	buffer_text(j->out, value ? "true" : "false");
}

void json_null(struct json *j, const char *key)
{
	begin(j, key);
	buffer_text(j->out, "null");
}

void json_hex(struct json *j, const char *key, uint64_t value)
{
	begin(j, key);
	buffer_format(j->out, "\"0x%016" PRIx64 "\"", value);
}
