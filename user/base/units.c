// SPDX-License-Identifier: GPL-2.0-or-later
#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"

struct unit {
	const char *name;
	double factor;
};

static const struct unit durations[] = {
	{ "", 1e9 },
	{ "ns", 1 },
	{ "us", 1e3 },
	{ "ms", 1e6 },
	{ "s", 1e9 },
	{ "m", 60e9 },
	{ "min", 60e9 },
	{ "h", 3600e9 },
	{ "d", 86400e9 },
};

static const struct unit sizes[] = {
	{ "", 1 },
	{ "b", 1 },
	{ "k", 1 << 10 },
	{ "kb", 1 << 10 },
	{ "kib", 1 << 10 },
	{ "m", 1 << 20 },
	{ "mb", 1 << 20 },
	{ "mib", 1 << 20 },
	{ "g", 1 << 30 },
	{ "gb", 1 << 30 },
	{ "gib", 1 << 30 },
	{ "t", 1099511627776.0 },
	{ "tb", 1099511627776.0 },
	{ "tib", 1099511627776.0 },
};

static const struct unit percents[] = { { "", 1e4 }, { "%", 1e4 } };

static int parse_with_unit(
	const char *text, const struct unit *units, size_t count, uint64_t *value)
{
	char *end;
	double number;

	/* strtod would also take signs, blanks, hex, "inf" and "nan". */
	if (!isdigit((unsigned char)text[0]) && text[0] != '.')
		return -EINVAL;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return -EINVAL;
	errno = 0;
	number = strtod(text, &end);
	if (end == text || errno == ERANGE)
		return errno ? -ERANGE : -EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(end, units[i].name))
			continue;
		number *= units[i].factor;
		if (number >= 9.2e18)
			return -ERANGE;
		*value = (uint64_t)llround(number);
		return 0;
	}
	return -EINVAL;
}

int parse_duration(const char *text, uint64_t *ns)
{
	return parse_with_unit(text, durations, ARRAY_SIZE(durations), ns);
}

int parse_percent(const char *text, uint64_t *millionths)
{
	return parse_with_unit(text, percents, ARRAY_SIZE(percents), millionths);
}

int parse_size(const char *text, uint64_t *bytes)
{
	return parse_with_unit(text, sizes, ARRAY_SIZE(sizes), bytes);
}

int parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *value)
{
	unsigned long long number;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno || number < low || number > high)
		return -ERANGE;
	*value = number;
	return 0;
}

const char *format_bytes(char text[UNITS_TEXT], uint64_t bytes)
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1023.5 && unit + 1 < ARRAY_SIZE(names)) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(text, UNITS_TEXT, "%u B", (unsigned int)bytes);
	else
		snprintf(text, UNITS_TEXT, "%.*f %s",
			value < 9.995	? 2
			: value < 99.95 ? 1
					: 0,
			value, names[unit]);
	return text;
}

const char *format_count(char text[UNITS_TEXT], uint64_t count)
{
	char digits[UNITS_TEXT];
	int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count), out = 0;

	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			text[out++] = ',';
		text[out++] = digits[i];
	}
	text[out] = 0;
	return text;
}

const char *format_duration(char text[UNITS_TEXT], double seconds)
{
	unsigned long long s = seconds < 0 ? 0 : (unsigned long long)seconds;

	if (seconds < 0.9995)
		snprintf(text, UNITS_TEXT, "%.0f ms", seconds < 0 ? 0 : seconds * 1000);
	else if (seconds < 99.95)
		snprintf(text, UNITS_TEXT, "%.1f s", seconds);
	else if (s < 3600)
		snprintf(text, UNITS_TEXT, "%llum %02llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, UNITS_TEXT, "%lluh %02llum", s / 3600, s / 60 % 60);
	else
		snprintf(text, UNITS_TEXT, "%llud %02lluh", s / 86400, s / 3600 % 24);
	return text;
}
