/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HEAPTAP_CLOCK_H
#define HEAPTAP_CLOCK_H

#include <stdint.h>

uint64_t clock_monotonic_ns(void);
uint64_t clock_realtime_ns(void);
uint64_t clock_thread_ns(void); /* CPU time of the calling thread */

#define CLOCK_TEXT 32
/* RFC 3339 in UTC with milliseconds: "2026-01-01T00:00:00.000Z". Returns text. */
const char *clock_format(char text[CLOCK_TEXT], uint64_t realtime_ns);

#define NS_PER_S  1000000000ULL
#define NS_PER_MS 1000000ULL

#endif
