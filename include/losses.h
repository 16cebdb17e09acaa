/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Every way in which heaptap can know less than the truth, in one list. It becomes the enum of the
 * kernel half, the JSON keys, and the sentences of the report; a reason that is not here does not
 * exist.
 *
 * X(NAME, "json_key", "what happened", "what the operator can do")
 *
 * HT_LOST: an allocated block left the books. These, and only these, enter the identity
 *     allocated = live + freed + lost
 * so each counts blocks and bytes exactly once.
 *
 * HT_UNATTRIBUTED: the block is counted and followed, but not under its own stack.
 *
 * HT_UNWIND: the stack ends before its root, once a stack and for one reason each; but FALLBACK, which
 * only says how it was followed.
 */
#ifndef HEAPTAP_LOSSES_H
#define HEAPTAP_LOSSES_H

/* clang-format off */
#define HT_LOST(X)                                                                                 \
	X(LIVE_FULL, "live_full", "blocks did not fit into the live table",                        \
	  "raise --max-live")                                                                      \
	X(ADDRESS, "address", "blocks lay at addresses that the live table cannot hold",           \
	  "none: the address is unaligned or above 48 bits")                                       \
	X(MISSED_FREE, "missed_free", "blocks were freed unseen and their address was reused",     \
	  "none: the program frees in a way that no probe sees")                                   \
	X(ABANDONED, "abandoned", "blocks were being reallocated by a call that never returned",   \
	  "none: the thread was killed or jumped out of the call")                                 \
	X(IN_FLIGHT_FULL, "in_flight_full", "blocks were in a call that found no in-flight record", \
	  "raise --max-in-flight")                                                                 \
	X(RESULT_UNREADABLE, "result_unreadable", "blocks whose address could not be read back",   \
	  "none: the result of posix_memalign was paged out or unmapped")

#define HT_UNATTRIBUTED(X)                                                                         \
	X(STACKS_FULL, "stacks_full", "allocations found no room for a new stack",                 \
	  "raise --max-stacks")                                                                    \
	X(FRAMES_FULL, "frames_full", "allocations found no room for the frames of a new stack",   \
	  "raise --max-stacks")                                                                    \
	X(SITES_FULL, "sites_full", "allocations found no room for a new allocation site",         \
	  "raise --max-stacks")                                                                    \
	X(SCRATCH_BUSY, "scratch_busy", "allocations found every stack buffer of their CPU in use", \
	  "none: more than four preempted probes on one CPU")                                      \
	X(STACK_UNREADABLE, "stack_unreadable", "allocations whose stack could not be read",       \
	  "none: the page of the stack pointer was not in memory")

#define HT_UNWIND(X)                                                                               \
	X(FALLBACK, "frame_pointer", "stacks were followed by frame pointers in places",           \
	  "none: code without unwind tables, such as a JIT's")                                     \
	X(NO_ROWS, "no_rows", "stacks end in code without unwind tables or frame pointers",        \
	  "build that code with -fasynchronous-unwind-tables or -fno-omit-frame-pointer")          \
	X(NO_CODE, "no_code", "stacks end at an address that is no known code",                    \
	  "none: code that was just mapped, or a stack that is not laid out as its code says")     \
	X(UNSUPPORTED, "unsupported", "stacks end in code whose frame is described in unknown ways", \
	  "report the module")                                                                     \
	X(REGISTER, "register", "stacks end where a register that is not kept is needed",          \
	  "none: hand-written code")                                                               \
	X(BAD_FRAME, "bad_frame", "stacks end in a frame that lies outside of the stack",          \
	  "none: the program changed its stack, or its unwind tables are wrong")                   \
	X(UNREADABLE, "unreadable", "stacks end where memory could not be read",                   \
	  "none: a page of the stack was not in memory")                                           \
	X(DEPTH, "depth", "stacks have more frames than are kept", "none: 127 frames are kept")
/* clang-format on */

#define HT_LOSS_ENUM(name, key, what, remedy)	      HT_LOST_##name,
#define HT_UNATTRIBUTED_ENUM(name, key, what, remedy) HT_UNATTRIBUTED_##name,
enum ht_lost { HT_LOST(HT_LOSS_ENUM) HT_LOST_REASONS };
enum ht_unattributed { HT_UNATTRIBUTED(HT_UNATTRIBUTED_ENUM) HT_UNATTRIBUTED_REASONS };
#define HT_UNWIND_ENUM(name, key, what, remedy) HT_UNWIND_##name,
enum ht_unwind { HT_UNWIND(HT_UNWIND_ENUM) HT_UNWIND_REASONS };
#undef HT_UNWIND_ENUM
#undef HT_LOSS_ENUM
#undef HT_UNATTRIBUTED_ENUM

#endif
