// SPDX-License-Identifier: GPL-2.0-or-later
#include "utf8.h"

int utf8_length(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	int n = p[0] < 0x80		      ? 1
		: p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		: (p[0] & 0xf0) == 0xe0	      ? 3
		: p[0] >= 0xf0 && p[0] < 0xf5 ? 4
					      : 0;

	for (int i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, and what is beyond U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

int utf8_printable(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	if (p[0] < ' ' || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0))
		return 0;
	return utf8_length(text);
}

void utf8_append_printable(struct buffer *b, const char *text)
{
	while (*text) {
		int n = utf8_printable(text);

		if (n)
			buffer_append(b, text, (size_t)n);
		else
			buffer_text(b, "?");
		text += n ? n : 1;
	}
}
