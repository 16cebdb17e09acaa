/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Durations, sizes and counts, as people write and read them. */
#ifndef HEAPTAP_UNITS_H
#define HEAPTAP_UNITS_H

#include <stddef.h>
#include <stdint.h>

/*
 * "5s", "200ms", "1.5m", "2h", "1d" to ns; a bare number is seconds. 0, or -EINVAL, -ERANGE. Not
 * negative.
 */
int parse_duration(const char *text, uint64_t *ns);
/* "4096", "64K", "1.5MiB", "2G" to bytes, K = 1024. 0, or -EINVAL, -ERANGE. */
int parse_size(const char *text, uint64_t *bytes);
/* "5", "0.5", "5%" to parts in a million. 0, or -EINVAL, -ERANGE. Not negative. */
int parse_percent(const char *text, uint64_t *millionths);
/* A plain decimal number in [low, high]. 0, or -EINVAL, -ERANGE. */
int parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *value);

#define UNITS_TEXT 32
/* "1.25 MiB"; up to 1023 bytes "812 B". Returns text. */
const char *format_bytes(char text[UNITS_TEXT], uint64_t bytes);
/* "1,234,567". */
const char *format_count(char text[UNITS_TEXT], uint64_t count);
/* "850 ms", "12.3 s", "4m 05s", "3h 12m", "2d 04h". */
const char *format_duration(char text[UNITS_TEXT], double seconds);

#endif
