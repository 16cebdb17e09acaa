/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What newer kernels have in linux/bpf.h: libbpf 1.1 and its headers end before. */
#ifndef HEAPTAP_ATTACH_TYPES_H
#define HEAPTAP_ATTACH_TYPES_H

#include <stdint.h>

/* enum bpf_attach_type; libbpf takes them by number. */
#define ATTACH_UPROBE_MULTI   48 /* Linux 6.6 */
#define ATTACH_UPROBE_SESSION 57 /* Linux 6.13 */

/* multi_flags: the program runs when the functions return. */
#define UPROBE_MULTI_RETURN 1U

/* The part of union bpf_attr for BPF_LINK_CREATE with .uprobe_multi. */
struct uprobe_multi_attr {
	uint32_t program_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t ref_counter_offsets;
	uint64_t cookies;
	uint32_t count;
	uint32_t multi_flags;
	uint32_t pid;
	uint32_t reserved; /* the kernel refuses bytes that it does not know unless they are 0 */
};
_Static_assert(sizeof(struct uprobe_multi_attr) == 64, "layout of the kernel");

#endif
