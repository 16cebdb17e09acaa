// SPDX-License-Identifier: GPL-2.0-or-later
#include "empty_program.h"

#include <bpf/bpf.h>
#include <errno.h>

#include "../base/cleanup.h"

int empty_program_load(uint32_t attach_type)
{
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options,
		.expected_attach_type = (enum bpf_attach_type)attach_type);
	int fd = bpf_prog_load(
		BPF_PROG_TYPE_KPROBE, "try", "Dual BSD/GPL", code, ARRAY_SIZE(code), &options);

	return fd < 0 ? -errno : fd;
}
