/* SPDX-License-Identifier: GPL-2.0-or-later OR BSD-2-Clause */
/*
 * Stacks and sites get small dense ids. Both indexes are open-addressed arrays of one word a place,
 * hash >> 32 << 32 | id + 1, written once by compare-and-swap and never removed: a reader needs no
 * lock. A hit compares all frames, never the hash alone. Two CPUs that meet the same new stack at
 * once may use up an id that no one refers to; nothing is ever entered twice.
 */
#ifndef HEAPTAP_BPF_INTERN_H
#define HEAPTAP_BPF_INTERN_H

#include "truth.h"
#include "live_table.h"

#define INDEX_PROBES                                                                               \
	32 /* the indexes are at most half full: longer runs do not occur in practice */
#define STACK_CHUNKS ((HT_MAX_FRAMES + HT_CHUNK_FRAMES) / HT_CHUNK_FRAMES)

static __always_inline u64 index_word(u64 hash, u32 id)
{
	return hash >> 32 << 32 | (id + 1);
}

static __always_inline int same_frames(const struct ht_scratch *s, u32 first_chunk, u32 frames)
{
	for (u32 i = 0; i < STACK_CHUNKS; i++) {
		u32 index = first_chunk + i;
		struct ht_chunk *chunk;
		u64 differs = 0;

		if (i * HT_CHUNK_FRAMES >= frames)
			break;
		chunk = bpf_map_lookup_elem(&chunks, &index);
		if (!chunk)
			return 0;
#pragma unroll
		for (u32 k = 0; k < HT_CHUNK_FRAMES; k++)
			differs |= chunk->frames[k] ^ s->frames[i * HT_CHUNK_FRAMES + k];
		if (differs)
			return 0;
	}
	return 1;
}

static __always_inline int is_captured(const struct ht_scratch *s, u32 id)
{
	struct ht_stack *stack = bpf_map_lookup_elem(&stacks, &id);

	return stack && stack->hash == s->hash && stack->native_frames == s->frame_count &&
	       stack->flags == s->flags && same_frames(s, stack->first_chunk, s->frame_count);
}

/* Is the captured stack the one with this id? Global, scalars only. */
__noinline int is_stack(u32 scratch_index, u32 id)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch_index);

	return s && is_captured(s, id);
}

/* The place of an index where a search stands: an id, or NULL at the run's end. */
static __always_inline u64 *index_place(void *index, u64 hash, u32 probe)
{
	u32 at = ((u32)hash + probe) & knobs.index_mask;

	return bpf_map_lookup_elem(index, &at);
}

/*
 * Takes the next id below the limit: 1-based ids leave 0 for "none left". The counter never runs
 * away.
 */
static __always_inline u32 take_id(u32 *next, u32 n, u32 limit)
{
	u32 id;

	if (*next + n > limit)
		return 0xffffffff;
	id = __sync_fetch_and_add(next, n);
	return id + n > limit ? 0xffffffff : id;
}

#define STACK_NONE 0

/*
 * A new stack record with the captured frames, not yet in the index. STACK_NONE when a table is
 * full; the process's counter then says which. Global, scalars only.
 */
__noinline u32 stack_create(u32 scratch_index, u32 slot)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch_index);
	struct ht_stack *stack;
	u32 id, first, n;

	if (!s)
		return STACK_NONE;
	if (control.next_stack >= knobs.max_stacks) {
		count_unattributed(slot, HT_UNATTRIBUTED_STACKS_FULL);
		return STACK_NONE;
	}
	n = (s->frame_count + HT_CHUNK_FRAMES - 1) / HT_CHUNK_FRAMES;
	first = take_id(&control.next_chunk, n, knobs.max_chunks);
	if (first == 0xffffffff) {
		count_unattributed(slot, HT_UNATTRIBUTED_FRAMES_FULL);
		return STACK_NONE;
	}
	id = take_id(&control.next_stack, 1, knobs.max_stacks);
	stack = bpf_map_lookup_elem(&stacks, &id);
	if (!stack) {
		count_unattributed(slot, HT_UNATTRIBUTED_STACKS_FULL);
		return STACK_NONE;
	}
	for (u32 i = 0; i < STACK_CHUNKS; i++) {
		u32 index = first + i;
		struct ht_chunk *chunk;

		if (i >= n)
			break;
		chunk = bpf_map_lookup_elem(&chunks, &index);
		if (!chunk)
			return STACK_NONE;
#pragma unroll
		for (u32 k = 0; k < HT_CHUNK_FRAMES; k++)
			chunk->frames[k] = s->frames[i * HT_CHUNK_FRAMES + k];
	}
	stack->first_chunk = first;
	stack->native_frames = s->frame_count;
	stack->python_frames = 0;
	stack->flags = s->flags;
	stack->hash = s->hash;
	return id;
}

/* The id of the captured stack, made if new, or STACK_NONE. Global, scalars only. */
__noinline u32 stack_intern(u32 scratch_index, u32 slot)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch_index);
	u32 id = STACK_NONE;

	if (!s)
		return STACK_NONE;
	for (u32 probe = 0; probe < INDEX_PROBES; probe++) {
		u64 *place = index_place(&stack_index, s->hash, probe);
		u64 word;

		if (!place)
			break;
		word = *place;
		if (!word) {
			if (id == STACK_NONE)
				id = stack_create(scratch_index, slot);
			if (id == STACK_NONE)
				return STACK_NONE;
			if (live_claim(place, 0, index_word(s->hash, id)))
				return id;
			word = *place; /* another CPU was first: it may be the same stack */
		}
		if (word >> 32 == s->hash >> 32 && is_stack(scratch_index, (u32)word - 1))
			return (u32)word - 1;
	}
	count_unattributed(slot, HT_UNATTRIBUTED_STACKS_FULL);
	return STACK_NONE;
}

/* --- sites ----------------------------------------------------------------------------------- */

#define SITE_NONE 0xffffffffU

static __always_inline int is_site(u32 id, u32 stack, u32 slot, u32 domain, u32 thread)
{
	struct ht_site *site = bpf_map_lookup_elem(&sites, &id);

	return site && site->stack == stack && site->slot == slot && site->domain == domain &&
	       site->thread == thread;
}

/* Global, scalars only. */
__noinline u32 site_create(u32 stack, u32 slot, u32 domain, u32 thread)
{
	u32 id = take_id(&control.next_site, 1, knobs.max_sites);
	struct ht_site *site = bpf_map_lookup_elem(&sites, &id);

	if (!site)
		return SITE_NONE;
	site->stack = stack;
	site->thread = thread;
	site->slot = slot;
	site->domain = domain;
	return id;
}

/*
 * The slow half of site_of(): a stack or site not seen before. When a table is full it is the
 * process's site without a stack, which has its slot's number. Global, scalars only.
 */
__noinline u32 site_intern(u32 scratch_index, u64 key, u32 slot, u32 domain, u32 thread)
{
	u32 stack = stack_intern(scratch_index, slot), id = SITE_NONE;

	if (stack == STACK_NONE)
		return slot;
	for (u32 probe = 0; probe < INDEX_PROBES; probe++) {
		u64 *place = index_place(&site_index, key, probe);
		u64 word;

		if (!place)
			break;
		word = *place;
		if (!word) {
			if (id == SITE_NONE)
				id = site_create(stack, slot, domain, thread);
			if (id == SITE_NONE)
				break;
			if (live_claim(place, 0, index_word(key, id)))
				return id;
			word = *place;
		}
		if (word >> 32 == key >> 32 && is_site((u32)word - 1, stack, slot, domain, thread))
			return (u32)word - 1;
	}
	count_unattributed(slot, HT_UNATTRIBUTED_SITES_FULL);
	return slot;
}

#define SITE_PROBES 2 /* before the slow half takes over, which looks further */

/* The site of the stack that was captured. In line: on some CPUs each call and return costs 10 ns. */
static __always_inline u32 site_of_captured(
	const struct ht_scratch *s, u32 scratch_index, u32 slot_domain, u32 thread)
{
	u32 slot = slot_domain >> 8, domain = slot_domain & 0xff;
	u64 key = hash_frame(s->hash, (u64)thread << 32 | slot_domain);

	for (u32 probe = 0; probe < SITE_PROBES; probe++) {
		u64 *place = index_place(&site_index, key, probe);
		struct ht_site *site;
		u64 word;
		u32 id;

		if (!place || !(word = *place))
			break;
		if (word >> 32 != key >> 32)
			continue;
		id = (u32)word - 1;
		site = bpf_map_lookup_elem(&sites, &id);
		if (site && site->slot == slot && site->domain == domain &&
			site->thread == thread && is_captured(s, site->stack))
			return id;
	}
	return site_intern(scratch_index, key, slot, domain, thread);
}

/*
 * The site of a call: captures the stack above a function whose first instruction is about to run, and
 * finds or makes its site.
 */
static __always_inline u32 site_of_stack(
	u32 scratch_index, u32 slot_domain, u32 thread, const struct ht_regs *regs)
{
	struct ht_scratch *s = bpf_map_lookup_elem(&scratches, &scratch_index);
	u32 slot = slot_domain >> 8;

	if (!s)
		return slot;
	if (stack_capture(s, scratch_index, slot, regs)) {
		count_unattributed(slot, HT_UNATTRIBUTED_STACK_UNREADABLE);
		return slot;
	}
	return site_of_captured(s, scratch_index, slot_domain, thread);
}

#endif
