/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fuzz target is one function over bytes that a target's owner could have written; libFuzzer looks
 * for bytes that break it. What it must hold is asserted by REQUIRE. To add one: fuzz_NAME.c here,
 * its seeds in corpus/NAME/, and, if wanted, a case in scripts/fuzz.sh for seeds from this machine.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../user/base/buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* An answer of these bytes, in a block of this very size: reading behind it is seen. */
static inline void fuzz_answer(struct buffer *answer, const uint8_t *data, size_t size)
{
	answer->data = malloc(size ? size : 1);
	REQUIRE(answer->data);
	if (size)
		memcpy(answer->data, data, size);
	answer->length = answer->capacity = size;
}

/* A file with these bytes, kept open from call to call. */
static inline int fuzz_file(const uint8_t *data, size_t size)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	REQUIRE(fd >= 0 && !ftruncate(fd, 0));
	REQUIRE(pwrite(fd, data, size, 0) == (ssize_t)size);
	return fd;
}

#endif
