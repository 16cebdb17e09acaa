// SPDX-License-Identifier: GPL-2.0-or-later
#include "dictionary_internal.h"

#include <errno.h>
#include <string.h>

#include "rows.h"

/* --- interning --------------------------------------------------------------------------------- */

static const char *intern(struct dictionary *d, const char *text)
{
	return strings_intern(&d->texts, text, strlen(text));
}

/* 0: NULL, or no memory (then *error). */
static uint32_t string_id(struct dictionary *d, const char *text, int *error)
{
	const char *kept = text ? intern(d, text) : NULL;
	bool added;
	uint32_t *id;

	if (!text)
		return 0;
	id = kept ? table_add(&d->string_ids, (uint64_t)(uintptr_t)kept, &added) : NULL;
	if (!id) {
		*error = -ENOMEM;
		return 0;
	}
	if (added)
		*id = (uint32_t)d->string_ids.count;
	return *id;
}

static uint32_t add_module(struct dictionary *d, const struct profile_module *m)
{
	struct dictionary_module new = {
		.path = intern(d, m->path),
		.build_id = intern(d, m->build_id),
		.allocator = m->allocator ? intern(d, m->allocator) : NULL,
	};
	uint64_t key = hash_mix((uintptr_t) new.path, (uintptr_t) new.build_id);

	if (!new.path || !new.build_id || (m->allocator && !new.allocator))
		return 0;
	for (;; key++) {
		bool added;
		uint32_t *id = table_add(&d->module_ids, key, &added);
		const struct dictionary_module *known;

		if (!id)
			return 0;
		if (added) {
			buffer_append(&d->modules, &new, sizeof(new));
			return *id = COUNT(d->modules, new);
		}
		known = &ITEM(d->modules, struct dictionary_module, *id - 1);
		if (known->path == new.path && known->build_id == new.build_id &&
			known->allocator == new.allocator)
			return *id;
	}
}

/* Addresses of different processes are different places. 0: no memory. */
static uint32_t space_of(struct dictionary *d, const struct dictionary_scope *t, uint32_t slot)
{
	bool added;
	uint32_t *id = table_add(&d->spaces, (uint64_t)t->id << 32 | slot, &added);

	if (id && added)
		*id = (uint32_t)d->spaces.count;
	return id ? *id : 0;
}

/* A frame of a session in the recording's ids. */
static uint64_t translate(struct dictionary *d, const struct dictionary_scope *t, uint64_t frame)
{
	uint32_t module = ht_frame_module(frame);

	if (!dictionary_in_module(frame))
		return ht_frame_tag(frame) == HT_FRAME_RAW
			       ? ht_frame_raw(space_of(d, t, ht_frame_raw_slot(frame)),
					 ht_frame_raw_address(frame))
			       : frame;
	module = module < COUNT(t->modules, uint32_t) ? ITEM(t->modules, uint32_t, module) : 0;
	return ht_frame_native(ht_frame_tag(frame), module, ht_frame_offset(frame));
}

static uint32_t add_frame(struct dictionary *d, uint64_t frame)
{
	bool added;
	uint32_t *id = table_add(&d->frame_ids, frame, &added);

	if (!id)
		return 0;
	if (added) {
		buffer_append(&d->frames, &frame, sizeof(frame));
		*id = COUNT(d->frames, frame);
	}
	return *id;
}

static uint32_t add_stack(struct dictionary *d, const struct dictionary_scope *t,
	const struct profile *p, const struct profile_stack *s)
{
	struct dictionary_stack new = { .hash = s->id,
		.first = COUNT(d->stack_frames, uint32_t),
		.count = s->frame_count,
		.flags = s->flags };
	uint32_t *ids = s->frame_count
				? buffer_extend(&d->stack_frames, s->frame_count * sizeof(*ids))
				: NULL;
	uint64_t key = hash_mix(s->id, s->flags);

	if (!ids && s->frame_count)
		return 0;
	for (uint16_t i = 0; i < s->frame_count; i++) {
		ids[i] = add_frame(d, translate(d, t, p->frames[s->first_frame + i]));
		if (!ids[i])
			return 0;
	}
	for (;; key++) {
		bool added;
		uint32_t *id = table_add(&d->stack_ids, key, &added);
		const struct dictionary_stack *known;

		if (!id)
			return 0;
		if (added) {
			buffer_append(&d->stacks, &new, sizeof(new));
			return *id = COUNT(d->stacks, new);
		}
		known = &ITEM(d->stacks, struct dictionary_stack, *id - 1);
		if (known->count != new.count || known->flags != new.flags ||
			(new.count &&memcmp(&ITEM(d->stack_frames, uint32_t, known->first), ids,
				 new.count * sizeof(*ids)) != 0))
			continue;
		d->stack_frames.length -= new.count * sizeof(*ids);
		return *id;
	}
}

static bool failed(const struct dictionary *d)
{
	return d->modules.failed || d->target_modules.failed || d->frames.failed ||
	       d->stacks.failed || d->stack_frames.failed || d->sites.failed || d->names.failed ||
	       d->moved_sites.failed;
}

int dictionary_add_profile(
	struct dictionary *d, struct dictionary_scope *t, const struct profile *tail)
{
	for (uint32_t i = 0; i < tail->module_count; i++) {
		uint32_t id = add_module(d, &tail->modules[i]);

		if (!id)
			return -ENOMEM;
		buffer_append(&t->modules, &id, sizeof(id));
	}
	for (uint32_t i = 0; i < tail->stack_count; i++) {
		uint32_t id = add_stack(d, t, tail, &tail->stacks[i]);

		if (!id)
			return -ENOMEM;
		buffer_append(&t->stacks, &id, sizeof(id));
	}
	return failed(d) || t->modules.failed || t->stacks.failed ? -ENOMEM : 0;
}

int dictionary_add_names(
	struct dictionary *d, const struct dictionary_scope *t, const struct names *names)
{
	int error = 0;

	for (uint32_t i = 0; i < names->frame_count; i++) {
		const struct named_frame *f = &names->frames[i];
		const uint32_t *id = table_find(&d->frame_ids, translate(d, t, f->frame));

		for (uint32_t l = 0; id && l < f->level_count; l++) {
			const struct named_level *level = &names->levels[f->first_level + l];
			struct dictionary_name name = {
				.frame = *id,
				.level = l,
				.function = string_id(d, level->function, &error),
				.file = string_id(d, level->file, &error),
				.line = level->line,
				.instruction = f->instruction,
				.function_offset = f->function_offset,
				.jit = f->jit,
			};

			buffer_append(&d->names, &name, sizeof(name));
		}
	}
	return failed(d) ? -ENOMEM : error;
}

int dictionary_add_mapping(struct dictionary *d, const struct dictionary_target *t,
	const struct dictionary_scope *scope, uint32_t module)
{
	struct dictionary_pair pair = { .target = t->id };

	if (module >= COUNT(scope->modules, uint32_t))
		return 0;
	pair.module = ITEM(scope->modules, uint32_t, module);
	buffer_append(&d->target_modules, &pair, sizeof(pair));
	return buffer_failed(&d->target_modules);
}

/* A site's stack is not known yet at a reading that falls into its making. */
static void move_site(struct dictionary *d, uint32_t id, uint32_t stack)
{
	struct dictionary_site *site = &ITEM(d->sites, struct dictionary_site, id - 1);

	if (site->stack == stack)
		return;
	site->stack = stack;
	if (id <= d->written.sites)
		buffer_append(&d->moved_sites, &id, sizeof(id));
}

uint32_t dictionary_site(struct dictionary *d, struct dictionary_target *t,
	const struct dictionary_scope *scope, uint32_t index, const struct site_figures *f)
{
	uint32_t count = COUNT(t->sites, uint32_t), *id;
	uint32_t stack = f->stack < COUNT(scope->stacks, uint32_t)
				 ? ITEM(scope->stacks, uint32_t, f->stack)
				 : 0;

	if (index >= count && !buffer_extend(&t->sites, (index + 1 - count) * sizeof(*id)))
		return 0;
	id = &ITEM(t->sites, uint32_t, index);
	if (*id) {
		move_site(d, *id, stack);
	} else {
		struct dictionary_site site = { t->id, stack, f->thread, f->domain };

		if (COUNT(d->sites, site) >= SITE_MAX)
			return 0;
		buffer_append(&d->sites, &site, sizeof(site));
		*id = COUNT(d->sites, site);
	}
	return failed(d) ? 0 : *id;
}

void dictionary_scope_release(struct dictionary_scope *scope)
{
	buffer_release(&scope->modules);
	buffer_release(&scope->stacks);
}

void dictionary_target_release(struct dictionary_target *t)
{
	buffer_release(&t->sites);
}

void dictionary_release(struct dictionary *d)
{
	strings_release(&d->texts);
	table_release(&d->string_ids);
	buffer_release(&d->modules);
	table_release(&d->module_ids);
	buffer_release(&d->target_modules);
	buffer_release(&d->frames);
	table_release(&d->frame_ids);
	table_release(&d->spaces);
	buffer_release(&d->stacks);
	table_release(&d->stack_ids);
	buffer_release(&d->stack_frames);
	buffer_release(&d->sites);
	buffer_release(&d->names);
	buffer_release(&d->moved_sites);
}
