/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to a process beside its allocations: new executable mappings, exec. Read from the
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

struct sideband_news {
	bool mapped; /* new executable memory, or records were lost: read the mappings again */
	bool exec;   /* another program now */
	uint64_t mapped_ns; /* monotonic: when the first of that memory came; 0: not known */
};

/* 0 or -errno, silently: without it mappings are read again at each report. */
int sideband_open(struct sideband *s);
/* Adds what the records since the last call say of a process. */
void sideband_read(struct sideband *s, pid_t pid, struct sideband_news *news);
void sideband_close(struct sideband *s);

#endif
