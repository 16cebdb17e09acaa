// SPDX-License-Identifier: GPL-2.0-or-later
/* A uprobe on a function of this program, called by another thread than the first one. */
#include <bpf/bpf.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "attach_types.h"
#include "features.h"

__attribute__((noinline)) static void *tried(void *argument)
{
	__asm__ volatile("" ::: "memory"); /* else the call is left out */
	return argument;
}

/* Where the function lies in the file: its bytes are at the segment's offset. */
static int find_offset(struct dl_phdr_info *info, size_t size, void *offset)
{
	uint64_t address = (uint64_t)(uintptr_t)tried - info->dlpi_addr;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || address < p->p_vaddr ||
			address - p->p_vaddr >= p->p_filesz)
			continue;
		*(uint64_t *)offset = address - p->p_vaddr + p->p_offset;
		return 1;
	}
	return -1; /* the first object is this program: there is no need to look further */
}

/* A program that adds 1 to the first value of an array. */
static int load_counting_program(int map)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_LD | BPF_DW, /* and BPF_IMM, which is 0 */
			.dst_reg = BPF_REG_1,
			.src_reg = BPF_PSEUDO_MAP_VALUE,
			.imm = map },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 1 },
		{ .code = BPF_STX | BPF_ATOMIC | BPF_DW,
			.dst_reg = BPF_REG_1,
			.src_reg = BPF_REG_2,
			.imm = BPF_ADD },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = ATTACH_UPROBE_MULTI);

	return bpf_prog_load(
		BPF_PROG_TYPE_KPROBE, "count", "Dual BSD/GPL", code, ARRAY_SIZE(code), &options);
}

static bool call_from_thread(void)
{
	pthread_t thread;

	return !pthread_create(&thread, NULL, tried, NULL) && !pthread_join(thread, NULL);
}

bool features_multi_sees_threads(void)
{
	int map CLEANUP_CLOSE =
		bpf_map_create(BPF_MAP_TYPE_ARRAY, "count", sizeof(uint32_t), 8, 1, NULL);
	int program CLEANUP_CLOSE = map < 0 ? -1 : load_counting_program(map);
	uint64_t offset = 0, runs = 0;
	struct uprobe_multi_attr attr = {
		.program_fd = (uint32_t)program,
		.attach_type = ATTACH_UPROBE_MULTI,
		.path = (uint64_t)(uintptr_t) "/proc/self/exe",
		.offsets = (uint64_t)(uintptr_t)&offset,
		.count = 1,
		.pid = (uint32_t)getpid(),
	};
	int link CLEANUP_CLOSE = -1;
	uint32_t first = 0;

	if (program < 0 || dl_iterate_phdr(find_offset, &offset) != 1)
		return false;
	link = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	if (link < 0 || !call_from_thread())
		return false;
	return !bpf_map_lookup_elem(map, &first, &runs) && runs > 0;
}
