/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to processes beside its allocations: new executable mappings, exec. Read from the
 * kernel's side-band records, which cost the processes nothing; polled, because no one is in a
 * hurry: code that is not known yet makes a truncated stack, and an exec is noticed by the kernel
 * half at once.
 */
#ifndef HEAPTAP_SIDEBAND_H
#define HEAPTAP_SIDEBAND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct sideband_cpu {
	int fd;
	void *ring;
};

struct sideband {
	struct sideband_cpu *cpus;
	uint32_t count;
};

enum sideband_kind {
	SIDEBAND_MAPPED, /* new executable memory */
	SIDEBAND_EXEC,	 /* another program runs in it now */
	SIDEBAND_LOST,	 /* records were lost: anything may have happened to anyone */
};
/* pid: of the process, 0 with SIDEBAND_LOST; at_ns: monotonic. */
typedef void sideband_tell(void *context, enum sideband_kind kind, pid_t pid, uint64_t at_ns);

/* 0 or -errno, silently: without it mappings are read again and again. */
int sideband_open(struct sideband *s);
/* What the records since the last call say, of all processes. */
void sideband_read(struct sideband *s, sideband_tell *tell, void *context);
void sideband_close(struct sideband *s);

#endif
