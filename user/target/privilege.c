// SPDX-License-Identifier: GPL-2.0-or-later
#include "privilege.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/buffer.h"

/* clang-format off */
const struct privilege_use privilege_uses[PRIVILEGES] = {
	{ "CAP_BPF", 39, true, "programs and tables in the kernel" },
	{ "CAP_PERFMON", 38, true, "probes, and reading the target's stack" },
	{ "CAP_SYS_PTRACE", 19, false, "processes of other users" },
	{ "CAP_DAC_READ_SEARCH", 2, false, "files that only their owner may read" },
	{ "CAP_CHECKPOINT_RESTORE", 40, false, "program files that were deleted or replaced" },
	{ "CAP_SYS_ADMIN", 21, false, "perf uprobes, the only kind before Linux 6.6" },
};
/* clang-format on */

/* The kernel takes CAP_SYS_ADMIN for what was split from it. */
#define SPLIT_FROM_ADMIN (PRIVILEGE_BPF | PRIVILEGE_PERFMON | PRIVILEGE_CHECKPOINT_RESTORE)

uint64_t privilege_effective(void)
{
	struct buffer status CLEANUP_BUFFER = { 0 };
	const char *line;

	if (buffer_read_file(&status, "/proc/self/status", 1 << 20))
		return 0;
	line = strstr(buffer_string(&status), "\nCapEff:");
	return line ? strtoull(line + strlen("\nCapEff:"), NULL, 16) : 0;
}

static bool has(uint64_t effective, uint32_t bit)
{
	return effective >> privilege_uses[bit].number & 1;
}

uint32_t privilege_lacking(uint64_t effective, uint32_t wanted)
{
	uint32_t lacking = 0;
	bool admin = has(effective, PRIVILEGES - 1);

	for (uint32_t bit = 0; bit < PRIVILEGES; bit++)
		if (wanted >> bit & 1 && !has(effective, bit) &&
			!(admin && SPLIT_FROM_ADMIN >> bit & 1))
			lacking |= 1U << bit;
	return lacking;
}

bool privilege_in_first_namespace(void)
{
	struct buffer map CLEANUP_BUFFER = { 0 };
	unsigned long long inside, outside, count;

	if (buffer_read_file(&map, "/proc/self/uid_map", 1 << 16))
		return true;
	/* The first one maps all ids to themselves. */
	return sscanf(buffer_string(&map), "%llu %llu %llu", &inside, &outside, &count) != 3 ||
	       (!inside && !outside && count == UINT32_MAX);
}

static size_t append(char text[PRIVILEGE_TEXT], size_t used, const char *word, bool lower)
{
	for (; *word && used + 1 < PRIVILEGE_TEXT; word++)
		text[used++] = (char)(lower ? tolower((unsigned char)*word) : *word);
	text[used] = 0;
	return used;
}

static size_t names(
	char text[PRIVILEGE_TEXT], size_t used, uint32_t bits, const char *between, bool lower)
{
	const char *separator = "";

	for (uint32_t bit = 0; bit < PRIVILEGES; bit++) {
		if (!(bits >> bit & 1))
			continue;
		used = append(text, used, separator, false);
		used = append(text, used, privilege_uses[bit].name, lower);
		separator = between;
	}
	return used;
}

/* setcap replaces what a file has: it must name all at once, not only what is missing now. */
static size_t remedy(char text[PRIVILEGE_TEXT], size_t used, uint32_t lacking)
{
	used = append(text, used, "run as root, or setcap ", false);
	used = names(text, used, lacking | PRIVILEGES_USUAL, ",", true);
	return append(text, used, "+ep on heaptap", false);
}

const char *privilege_remedy(char text[PRIVILEGE_TEXT], uint32_t lacking)
{
	remedy(text, 0, lacking);
	return text;
}

const char *privilege_names(char text[PRIVILEGE_TEXT], uint32_t bits)
{
	text[0] = 0;
	names(text, 0, bits, " and ", false);
	return text;
}

const char *privilege_advice(char text[PRIVILEGE_TEXT], uint32_t wanted)
{
	uint32_t lacking = privilege_lacking(privilege_effective(), wanted);
	size_t used;

	if (lacking) {
		used = names(text, 0, lacking, " and ", false);
		used = append(text, used,
			lacking & (lacking - 1) ? " are missing: " : " is missing: ", false);
		remedy(text, used, lacking);
	} else if (!privilege_in_first_namespace()) {
		append(text, 0,
			"the capabilities of a user namespace do not count: run in the host's",
			false);
	} else {
		append(text, 0,
			"no capability is missing: a security module, lockdown or seccomp forbids "
			"it",
			false);
	}
	return text;
}
