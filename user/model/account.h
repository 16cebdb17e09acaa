/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the resident memory of a process consists of, as far as it can be told: traced bytes and RSS side by side. */
#ifndef HEAPTAP_ACCOUNT_H
#define HEAPTAP_ACCOUNT_H

#include "../target/usage.h"

/* Bytes; -1: not known, but for `rest`. rss = file + shmem + anon;  anon = before + live + rest. */
struct account {
	int64_t rss, file, shmem, anon;
	int64_t before; /* anonymous when counting began: born before the attach */
	int64_t live;	/* traced */
	/*
	 * Above 0: the allocator's overhead and fragmentation, thread stacks, what mmap gave. Below: traced blocks lie
	 * in memory that was there before, or have not been touched, or are swapped out.
	 */
	int64_t rest;
	bool complete; /* all parts of anon are known */
};

/* start: when counting began; NULL: not known. */
void account_make(
	struct account *a, const struct usage *now, const struct usage *start, uint64_t live_bytes);

#endif
