// SPDX-License-Identifier: GPL-2.0-or-later
/* The map of JIT code: any text, asked for addresses of its own first bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/symbol/perfmap.h"

#define ADDRESSES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t addresses[ADDRESSES] = { 0x1000, 0x1008, 0x7f0000001000 };
	struct buffer out CLEANUP_BUFFER = { 0 };
	const struct perfmap_answer *answers;

	if (size >= sizeof(addresses))
		memcpy(addresses + 3, data, sizeof(addresses) - 3 * sizeof(*addresses));
	qsort(addresses, ADDRESSES, sizeof(*addresses), compare);
	if (perfmap_find((const char *)data, size, addresses, ADDRESSES, &out))
		return 0;
	answers = (const void *)out.data;
	for (size_t i = 0; i < ADDRESSES; i++)
		if (answers[i].name > out.length ||
			answers[i].name_length > out.length - answers[i].name ||
			(answers[i].name_length && answers[i].start > addresses[i]))
			abort();
	return 0;
}
