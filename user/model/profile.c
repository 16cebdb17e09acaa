// SPDX-License-Identifier: GPL-2.0-or-later
#include "profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/cleanup.h"
#include "../base/table.h"

/*
 * Grows an array to hold one more element, doubling at powers of two. NULL: no memory, the array
 * stands.
 */
static void *grown(void *array, uint32_t count, uint32_t more, size_t size)
{
	uint32_t capacity = 1;

	while (capacity < count)
		capacity *= 2;
	if (count && count + more <= capacity)
		return array;
	while (capacity < count + more)
		capacity *= 2;
	return realloc(array, capacity * size);
}

int profile_add_module(
	struct profile *p, const char *path, const char *build_id, const char *allocator)
{
	struct profile_module *modules = grown(p->modules, p->module_count, 1, sizeof(*modules));
	struct profile_module m;

	if (!modules)
		return -ENOMEM;
	p->modules = modules;
	m = (struct profile_module){ .path = strdup(path), .build_id = strdup(build_id) };
	if (allocator)
		m.allocator = strdup(allocator);
	if (!m.path || !m.build_id || (allocator && !m.allocator)) {
		free(m.path);
		free(m.build_id);
		free(m.allocator);
		return -ENOMEM;
	}
	modules[p->module_count++] = m;
	return 0;
}

/*
 * (build id, address) of each frame, so that the same stack has the same id wherever the same
 * binaries run. A module without a build id is known by its file name; code outside of any file by
 * nothing.
 */
static uint64_t stack_id(const struct profile *p, const uint64_t *frames, uint16_t count)
{
	uint64_t hash = 0;

	for (uint16_t i = 0; i < count; i++) {
		enum ht_frame_tag tag = ht_frame_tag(frames[i]);

		hash = hash_mix(hash, tag);
		if (tag == HT_FRAME_CALL || tag == HT_FRAME_PC) {
			uint32_t id = ht_frame_module(frames[i]);
			const char *name = id < p->module_count ? p->modules[id].build_id : "";

			if (!*name && id < p->module_count) {
				const char *slash = strrchr(p->modules[id].path, '/');

				name = slash ? slash + 1 : p->modules[id].path;
			}
			hash = hash_bytes(hash, name, strlen(name));
			hash = hash_mix(hash, ht_frame_offset(frames[i]));
		}
	}
	return hash;
}

int profile_add_stack(struct profile *p, const uint64_t *frames, uint16_t count, uint16_t flags)
{
	struct profile_stack *stacks = grown(p->stacks, p->stack_count, 1, sizeof(*stacks));
	uint64_t *pool;

	if (!stacks)
		return -ENOMEM;
	p->stacks = stacks;
	pool = count ? grown(p->frames, p->frame_count, count, sizeof(*pool)) : p->frames;
	if (count && !pool)
		return -ENOMEM;
	p->frames = pool;
	if (count)
		memcpy(pool + p->frame_count, frames, count * sizeof(*frames));
	stacks[p->stack_count++] = (struct profile_stack){
		.id = stack_id(p, frames, count),
		.first_frame = p->frame_count,
		.frame_count = count,
		.flags = flags,
	};
	p->frame_count += count;
	return 0;
}

int profile_tail(const struct profile *p, uint32_t modules, uint32_t stacks, struct profile *tail)
{
	uint32_t first_frame =
		stacks < p->stack_count ? p->stacks[stacks].first_frame : p->frame_count;
	struct profile copy CLEANUP(profile_release) = {
		.stack_count = p->stack_count - stacks,
		.frame_count = p->frame_count - first_frame,
	};

	copy.stacks = calloc((size_t)copy.stack_count + 1, sizeof(*copy.stacks));
	copy.frames = calloc((size_t)copy.frame_count + 1, sizeof(*copy.frames));
	if (!copy.stacks || !copy.frames)
		return -ENOMEM;
	for (uint32_t i = 0; i < copy.stack_count; i++) {
		copy.stacks[i] = p->stacks[stacks + i];
		copy.stacks[i].first_frame -= first_frame;
	}
	for (uint32_t i = 0; i < copy.frame_count; i++)
		copy.frames[i] = p->frames[first_frame + i];
	for (uint32_t i = modules; i < p->module_count; i++) {
		const struct profile_module *m = &p->modules[i];

		if (profile_add_module(&copy, m->path, m->build_id, m->allocator))
			return -ENOMEM;
	}
	*tail = copy;
	copy = (struct profile){ 0 };
	return 0;
}

int profile_append(struct profile *p, struct profile *tail)
{
	struct profile_module *modules =
		grown(p->modules, p->module_count, tail->module_count, sizeof(*modules));
	struct profile_stack *stacks;
	uint64_t *frames;

	if (tail->module_count && !modules)
		return -ENOMEM;
	p->modules = modules;
	stacks = grown(p->stacks, p->stack_count, tail->stack_count, sizeof(*stacks));
	if (tail->stack_count && !stacks)
		return -ENOMEM;
	p->stacks = stacks;
	frames = grown(p->frames, p->frame_count, tail->frame_count, sizeof(*frames));
	if (tail->frame_count && !frames)
		return -ENOMEM;
	p->frames = frames;
	for (uint32_t i = 0; i < tail->stack_count; i++) {
		stacks[p->stack_count + i] = tail->stacks[i];
		stacks[p->stack_count + i].first_frame += p->frame_count;
	}
	for (uint32_t i = 0; i < tail->frame_count; i++)
		frames[p->frame_count + i] = tail->frames[i];
	for (uint32_t i = 0; i < tail->module_count; i++)
		modules[p->module_count + i] = tail->modules[i];
	p->stack_count += tail->stack_count;
	p->frame_count += tail->frame_count;
	p->module_count += tail->module_count;
	tail->module_count = 0; /* their strings have moved */
	return 0;
}

void profile_release(struct profile *p)
{
	for (uint32_t i = 0; i < p->module_count; i++) {
		free(p->modules[i].path);
		free(p->modules[i].build_id);
		free(p->modules[i].allocator);
	}
	free(p->modules);
	free(p->stacks);
	free(p->frames);
	*p = (struct profile){ 0 };
}

/* Large pages where there are any: a hundred thousand sites are three thousand faults less. */
#define LARGE_PAGE (2UL << 20)

static void *reserve(size_t bytes)
{
	void *at;

	if (bytes < LARGE_PAGE)
		return malloc(bytes + 1);
	at = aligned_alloc(LARGE_PAGE, (bytes + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1));
	if (at)
		madvise(at, bytes, MADV_HUGEPAGE);
	return at;
}

int snapshot_reserve(struct snapshot *s, uint32_t site_count, bool sampled)
{
	s->sites = reserve(site_count * sizeof(*s->sites));
	s->estimates = sampled ? calloc(site_count + 1UL, sizeof(*s->estimates)) : NULL;
	s->site_count = site_count;
	return s->sites && (s->estimates || !sampled) ? 0 : -ENOMEM;
}

const struct site_estimates *snapshot_estimates(
	const struct snapshot *s, const struct site_figures *f)
{
	static const struct site_estimates exact;

	return s->estimates ? &s->estimates[f - s->sites] : &exact;
}

void snapshot_release(struct snapshot *s)
{
	free(s->estimates);
	free(s->sites);
	*s = (struct snapshot){ 0 };
}
