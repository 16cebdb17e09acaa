// SPDX-License-Identifier: GPL-2.0-or-later
#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/table.h"

struct maker {
	const struct places *places;
	struct buffer nodes;   /* struct tree_node */
	struct table children; /* by parent and function */
	uint64_t *keys;	       /* by place: its function; 0: not known yet */
	struct buffer path;    /* uint32_t: places of a stack, the leaf first */
	bool failed;
};

static struct tree_node *at(struct maker *m, uint32_t node)
{
	return &((struct tree_node *)(void *)m->nodes.data)[node];
}

static uint64_t key_of(struct maker *m, uint32_t place)
{
	const struct place *p = &m->places->all[place];
	const char *module = p->module ? place_base_name(p->module) : "";

	if (!m->keys[place])
		m->keys[place] =
			p->function ? hash_bytes(hash_bytes(1, module, strlen(module)), p->function,
					      strlen(p->function))
				    : hash_mix(hash_bytes(2, module, strlen(module)), p->address);
	return m->keys[place];
}

/* The child of a node; new ones go before their siblings. */
static uint32_t child(struct maker *m, uint32_t parent, uint64_t key, const struct place *place)
{
	bool added;
	uint32_t *index = table_add(&m->children, hash_mix(key, parent), &added), made;

	if (index && !added)
		return *index;
	made = (uint32_t)(m->nodes.length / sizeof(struct tree_node));
	if (!index || !buffer_extend(&m->nodes, sizeof(struct tree_node))) {
		m->failed = true;
		return 0;
	}
	*at(m, made) = (struct tree_node){ .place = place, .next = at(m, parent)->first_child };
	at(m, parent)->first_child = made;
	return *index = made;
}

static void collect(uint32_t place, void *context)
{
	struct maker *m = context;

	buffer_append(&m->path, &place, sizeof(place));
}

static void add_site(
	struct maker *m, const struct site_figures *f, bool bottom_up, enum metric metric)
{
	uint64_t bytes = metric_bytes(metric, f), count = metric_count(metric, f);
	uint32_t node = 0, depth;
	const uint32_t *path;

	buffer_clear(&m->path);
	if (f->stack != CODE_NONE)
		places_each(m->places, f->stack, collect, m);
	depth = (uint32_t)(m->path.length / sizeof(*path));
	path = (const uint32_t *)(void *)m->path.data;
	at(m, 0)->total_bytes += bytes;
	at(m, 0)->total_count += count;
	for (uint32_t i = 0; i < depth && i < TREE_MAX_DEPTH && !m->failed; i++) {
		uint32_t place = path[bottom_up ? i : depth - 1 - i];

		node = child(m, node, key_of(m, place), &m->places->all[place]);
		at(m, node)->total_bytes += bytes;
		at(m, node)->total_count += count;
	}
	if (!depth) {
		node = child(m, 0, 0, NULL);
		at(m, node)->total_bytes += bytes;
		at(m, node)->total_count += count;
	}
	at(m, node)->self_bytes += bytes;
	at(m, node)->self_count += count;
	m->failed |= m->path.failed;
}

static int compare(const void *a, const void *b, void *context)
{
	const struct tree_node *nodes = context, *x = &nodes[*(const uint32_t *)a],
			       *y = &nodes[*(const uint32_t *)b];

	if (x->total_bytes != y->total_bytes)
		return x->total_bytes > y->total_bytes ? -1 : 1;
	if (x->total_count != y->total_count)
		return x->total_count > y->total_count ? -1 : 1;
	/* In the order in which they came. */
	return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

static void sort_children(struct maker *m, struct buffer *siblings, uint32_t node)
{
	uint32_t *all, n;

	buffer_clear(siblings);
	for (uint32_t c = at(m, node)->first_child; c; c = at(m, c)->next)
		buffer_append(siblings, &c, sizeof(c));
	if (siblings->failed) {
		m->failed = true;
		return;
	}
	all = (uint32_t *)(void *)siblings->data;
	n = (uint32_t)(siblings->length / sizeof(*all));
	if (n < 2)
		return;
	qsort_r(all, n, sizeof(*all), compare, m->nodes.data);
	at(m, node)->first_child = all[0];
	for (uint32_t i = 0; i < n; i++)
		at(m, all[i])->next = i + 1 < n ? all[i + 1] : 0;
}

int tree_make(struct tree *t, const struct snapshot *s, const struct places *p, bool bottom_up,
	const struct filter *f, enum metric metric)
{
	struct maker m = { .places = p, .keys = calloc(p->count + 1UL, sizeof(*m.keys)) };
	uint32_t *masks CLEANUP_FREE = filter_masks(f, p);
	struct buffer siblings CLEANUP_BUFFER = { 0 };

	m.failed = !masks || !m.keys || !buffer_extend(&m.nodes, sizeof(struct tree_node));
	for (uint32_t i = 0; !m.failed && i < s->site_count; i++) {
		const struct site_figures *site = &s->sites[i];

		if ((metric_bytes(metric, site) || metric_count(metric, site)) &&
			filter_shows(f, masks, p, site->stack, metric_bytes(metric, site)))
			add_site(&m, site, bottom_up, metric);
	}
	for (uint32_t i = 0; !m.failed && i < m.nodes.length / sizeof(struct tree_node); i++)
		sort_children(&m, &siblings, i);
	free(m.keys);
	table_release(&m.children);
	buffer_release(&m.path);
	if (m.failed) {
		buffer_release(&m.nodes);
		return -ENOMEM;
	}
	t->count = (uint32_t)(m.nodes.length / sizeof(struct tree_node));
	t->nodes = (struct tree_node *)(void *)m.nodes.data;
	return 0;
}

void tree_release(struct tree *t)
{
	free(t->nodes);
	*t = (struct tree){ 0 };
}
