/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * .eh_frame or .debug_frame of an ELF file, compiled to the table that include/unwind.h draws. A parser
 * of foreign bytes: called through parse_request().
 */
#ifndef HEAPTAP_TARGET_UNWIND_H
#define HEAPTAP_TARGET_UNWIND_H

#include "../../include/unwind.h"
#include "../base/parse.h"

/* What a table is, to itself and to the cache: another layout is another number. */
#define UNWIND_MAGIC   0x6e757468U /* "htun" */
#define UNWIND_VERSION 2

#define UNWIND_MAX_RULES 65536

/* Followed by bucket_count + 1 buckets, the rows, and the rules, which begin at 8 bytes. */
struct unwind_info {
	uint32_t magic;
	uint32_t version;
	uint64_t text_start;
	uint32_t bucket_count;
	uint32_t row_count;
	uint32_t rule_count;
	uint32_t functions;	   /* frame description entries */
	uint32_t unsupported_rows; /* expressions that no rule says, too many rules */
	uint32_t broken_functions; /* entries that end in the middle, or nonsense */
};

/*
 * in: nothing. out: a struct unwind_info and what follows it. -ENOEXEC: not a usable ELF file; -ENOENT:
 * it has no such tables; -EFBIG: beyond what is believable.
 */
extern const struct parser unwind_parser;

/* Words of the table behind the header, as a table in the kernel has them. */
static inline size_t unwind_words(const struct unwind_info *info)
{
	size_t words = (size_t)info->bucket_count + 1 + info->row_count;

	return (words + 1) / 2 * 2 + 2 * (size_t)info->rule_count;
}

static inline const uint32_t *unwind_buckets(const struct unwind_info *info)
{
	return (const uint32_t *)(info + 1);
}

static inline const uint32_t *unwind_rows(const struct unwind_info *info)
{
	return unwind_buckets(info) + info->bucket_count + 1;
}

static inline const uint64_t *unwind_rules(const struct unwind_info *info)
{
	return (const uint64_t *)(unwind_buckets(info) + unwind_words(info)) - info->rule_count;
}

/*
 * Is this a table that can be looked up in without leaving it? For those that come from a file. 0 or
 * -EINVAL.
 */
int unwind_check(const void *bytes, size_t length);
/* The rule for the code at an address of the ELF's own space; 0, HT_CFA_NONE, where there is none. */
uint64_t unwind_find(const struct unwind_info *info, uint64_t address);

#endif
