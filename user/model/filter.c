// SPDX-License-Identifier: GPL-2.0-or-later
#include "filter.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "../base/err.h"
#include "../base/units.h"

static const char *const key_names[FILTER_KEYS] = { "module", "function", "file" };

static bool take(const char **text, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(*text, word, length) != 0)
		return false;
	*text += length;
	return true;
}

static int bad_term(const char *term)
{
	return err(-EINVAL,
		"--filter: '%s' is no term: write module=GLOB, function=GLOB, file=GLOB, each with "
		"! or "
		"direct. before it if wanted, size>=BYTES or size<=BYTES",
		term);
}

static int parse_term(struct filter *f, const char *text)
{
	struct filter_term term = { 0 };
	const char *rest = text;

	if (take(&rest, "size>="))
		return parse_size(rest, &f->min_bytes) ? bad_term(text) : 0;
	if (take(&rest, "size<="))
		return parse_size(rest, &f->max_bytes) ? bad_term(text) : 0;
	term.exclude = take(&rest, "!");
	term.direct = take(&rest, "direct.");
	for (term.key = 0; term.key < FILTER_KEYS; term.key++)
		if (take(&rest, key_names[term.key]))
			break;
	if (term.key == FILTER_KEYS || !take(&rest, "=") || !*rest)
		return bad_term(text);
	if (f->count == FILTER_MAX_TERMS)
		return err(-EINVAL, "--filter: more than %d terms", FILTER_MAX_TERMS);
	term.glob = strdup(rest);
	if (!term.glob)
		return err(-ENOMEM, "out of memory");
	f->terms[f->count++] = term;
	return 0;
}

int filter_parse(struct filter *f, const char *text)
{
	char *copy CLEANUP_FREE = text ? strdup(text) : NULL, *save = NULL;
	int error = 0;

	*f = (struct filter){ .max_bytes = UINT64_MAX };
	if (!text)
		return 0;
	if (!copy)
		return err(-ENOMEM, "out of memory");
	for (char *term = strtok_r(copy, ",", &save); term && !error;
		term = strtok_r(NULL, ",", &save))
		error = parse_term(f, term);
	if (!error && f->min_bytes > f->max_bytes)
		error = err(-EINVAL, "--filter: size>= is above size<=: nothing would be shown");
	if (error)
		filter_release(f);
	return error;
}

void filter_release(struct filter *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		free(f->terms[i].glob);
	f->count = 0;
}

static bool matches(const struct filter_term *t, const struct place *p)
{
	const char *text = t->key == FILTER_MODULE     ? p->module
			   : t->key == FILTER_FUNCTION ? p->function
						       : p->file;

	if (!text)
		return false;
	return !fnmatch(t->glob, text, 0) ||
	       (t->key != FILTER_FUNCTION && !fnmatch(t->glob, place_base_name(text), 0));
}

uint32_t *filter_masks(const struct filter *f, const struct places *p)
{
	uint32_t *masks = calloc(p->count + 1UL, sizeof(*masks));

	for (uint32_t i = 0; masks && f->count && i < p->count; i++)
		for (uint32_t t = 0; t < f->count; t++)
			if (matches(&f->terms[t], &p->all[i]))
				masks[i] |= 1U << t;
	return masks;
}

struct on_stack {
	const uint32_t *masks;
	uint32_t any, direct;
	bool first;
};

static void look_at(uint32_t place, void *context)
{
	struct on_stack *s = context;

	if (s->first)
		s->direct = s->masks[place];
	s->first = false;
	s->any |= s->masks[place];
}

bool filter_shows(const struct filter *f, const uint32_t *masks, const struct places *p,
	uint32_t stack, uint64_t bytes)
{
	struct on_stack on = { .masks = masks, .first = true };
	bool wanted[FILTER_KEYS] = { 0 }, met[FILTER_KEYS] = { 0 };

	if (bytes < f->min_bytes || bytes > f->max_bytes)
		return false;
	if (!f->count)
		return true;
	if (stack != CODE_NONE)
		places_each(p, stack, look_at, &on);
	for (uint32_t t = 0; t < f->count; t++) {
		const struct filter_term *term = &f->terms[t];
		bool hit = (term->direct ? on.direct : on.any) >> t & 1;

		if (term->exclude && hit)
			return false;
		if (!term->exclude) {
			wanted[term->key] = true;
			met[term->key] |= hit;
		}
	}
	for (int k = 0; k < FILTER_KEYS; k++)
		if (wanted[k] && !met[k])
			return false;
	return true;
}
