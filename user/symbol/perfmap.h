/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of code that was made at run time, from the file that JIT compilers write for perf:
 * /tmp/perf-PID.map of their own root directory and pid namespace, with lines "START SIZE NAME" in
 * hex. Code moves: of lines for the same address the last is right.
 */
#ifndef HEAPTAP_PERFMAP_H
#define HEAPTAP_PERFMAP_H

#include <sys/types.h>

#include "../base/parse.h"

struct perfmap_answer {
	uint64_t start;	      /* of the function */
	uint32_t name;	      /* bytes from the answer's start */
	uint32_t name_length; /* 0: unknown; no NUL follows */
};

/*
 * addresses: sorted; out: as many struct perfmap_answer, then the names. A pure function over the
 * text, which may be anything; lines that are none are passed over. 0 or -ENOMEM.
 */
int perfmap_find(const char *text, size_t length, const uint64_t *addresses, size_t count,
	struct buffer *out);

/* files: the map; in: addresses, sorted; out: as above. */
extern const struct parser perfmap_parser;

/* Whose map it is: read while the process lives. */
struct perfmap_owner {
	pid_t pid; /* as it sees itself; 0: unknown */
	uid_t uid;
};
struct perfmap_owner perfmap_owner_of(pid_t pid);

/*
 * The map of a process below its root, or -errno. As perf does, believes none that belongs to
 * someone else: /tmp is everyone's.
 */
int perfmap_open(int root, const struct perfmap_owner *owner);

#endif
