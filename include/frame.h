/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * A frame is one 64-bit word, so that stacks compare and hash as words:
 *
 *   63   60 59          40 39                                      0
 *  +-------+--------------+-----------------------------------------+
 *  |  tag  |   module     |  ELF virtual address in that module     |  CALL, PC
 *  +-+-----+--------------+-----+-----------------------------------+
 *  |1|      slot (16)           |  virtual address (47)             |  RAW: tags 8 to 15
 *  +-+--------------------------+-----------------------------------+
 *
 * Frames are module-relative from the start: ids of modules are dense and local to a session, the
 * stable identity is (build id, address) and is computed in user space.
 *
 * CALL holds return address - 1, which lies inside the call instruction whatever its length; user
 * space finds the instruction's first byte. PC holds an interrupted instruction itself.
 */
#ifndef HEAPTAP_FRAME_H
#define HEAPTAP_FRAME_H

#ifndef __bpf__
#include <linux/types.h>
#endif

enum ht_frame_tag {
	HT_FRAME_NONE = 0,
	HT_FRAME_CALL = 1,
	HT_FRAME_PC = 2,
	HT_FRAME_PYTHON = 3, /* code object id : 32, instruction : 28 */
	HT_FRAME_KERNEL = 4,
	HT_FRAME_MARKER = 5, /* not a place in code: a gap in the walk, a C shim */
	HT_FRAME_RAW = 8,    /* and 9..15: slot and address take 63 bits */
};

#define HT_FRAME_MODULE_BITS 20
#define HT_FRAME_OFFSET_BITS 40
#define HT_FRAME_OFFSET_MAX  ((1ULL << HT_FRAME_OFFSET_BITS) - 1)
#define HT_FRAME_RAW_BITS    47
#define HT_FRAME_RAW_MAX     ((1ULL << HT_FRAME_RAW_BITS) - 1)

static inline __u64 ht_frame_native(enum ht_frame_tag tag, __u32 module, __u64 offset)
{
	return (__u64)tag << 60 | (__u64)module << HT_FRAME_OFFSET_BITS | offset;
}

static inline __u64 ht_frame_raw(__u32 slot, __u64 address)
{
	return 1ULL << 63 | (__u64)(slot & 0xffff) << HT_FRAME_RAW_BITS |
	       (address & HT_FRAME_RAW_MAX);
}

static inline enum ht_frame_tag ht_frame_tag(__u64 frame)
{
	return frame >> 63 ? HT_FRAME_RAW : (enum ht_frame_tag)(frame >> 60);
}

static inline __u32 ht_frame_module(__u64 frame)
{
	return frame >> HT_FRAME_OFFSET_BITS & ((1U << HT_FRAME_MODULE_BITS) - 1);
}

static inline __u64 ht_frame_offset(__u64 frame)
{
	return frame & HT_FRAME_OFFSET_MAX;
}

static inline __u64 ht_frame_raw_address(__u64 frame)
{
	return frame & HT_FRAME_RAW_MAX;
}

static inline __u32 ht_frame_raw_slot(__u64 frame)
{
	return frame >> HT_FRAME_RAW_BITS & 0xffff;
}

#endif
