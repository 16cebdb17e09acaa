// SPDX-License-Identifier: GPL-2.0-or-later
#include "truth.h"

#ifdef HEAPTAP_TRUTH

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/err.h"
#include "session_internal.h"

#define RING_BYTES (32U << 20)

static struct ring_buffer *ring;
static FILE *file;
static unsigned long wanted;

void truth_configure(struct kernel *kernel)
{
	char *rest, *what = getenv("HEAPTAP_TRUTH");

	if (!what)
		return;
	kernel->knobs->truth_every = (uint32_t)strtoul(what, &rest, 10);
	wanted = strtoul(rest + (*rest == ':'), &rest, 10);
	bpf_map__set_max_entries(kernel->maps.truths, RING_BYTES);
	if (!file) /* not again for each kind of link that is tried */
		file = fopen(rest + (*rest == ':'), "we");
}

/* A module may be mapped executable more than once: the first range that fits is as good as any. */
static uint64_t runtime_address(const struct session *s, uint64_t frame)
{
	if (ht_frame_tag(frame) == HT_FRAME_RAW)
		return ht_frame_raw_address(frame);
	for (uint32_t i = 0; i < session_first(s)->range_count; i++) {
		const struct ht_range *r = &session_first(s)->ranges[i];
		uint64_t address = ht_frame_offset(frame) + r->bias;

		if (r->module == ht_frame_module(frame) && address >= r->start && address < r->end)
			return address;
	}
	return 0;
}

static int on_truth(void *context, void *data, size_t size)
{
	const struct session *s = context;
	const struct ht_truth *t = data;
	struct truth_record r = { .pc = t->pc,
		.sp = t->sp,
		.bp = t->bp,
		.bx = t->bx,
		.tid = t->tid,
		.flags = t->flags,
		.frame_count = t->frame_count,
		.stack_bytes = t->stack_bytes };

	(void)size;
	if (!wanted)
		return 0;
	for (uint32_t i = 0; i < r.frame_count && i < HT_MAX_FRAMES; i++) {
		r.addresses[i] = runtime_address(s, t->frames[i]);
		r.interrupted[i] = ht_frame_tag(t->frames[i]) == HT_FRAME_PC;
	}
	fwrite(&r, sizeof(r), 1, file);
	fwrite(t->stack, 1, r.stack_bytes, file);
	if (!--wanted)
		raise(SIGINT); /* enough: the last report */
	return 0;
}

int truth_open(struct session *s)
{
	if (!file)
		return 0;
	ring = ring_buffer__new(bpf_map__fd(s->kernel.maps.truths), on_truth, s, NULL);
	return ring ? 0 : err(-errno, "cannot read the kernel's stacks: %s", strerror(errno));
}

void truth_consume(struct session *s)
{
	(void)s;
	if (ring)
		ring_buffer__consume(ring);
}

void truth_close(struct session *s)
{
	truth_consume(s);
	ring_buffer__free(ring);
	if (file)
		fclose(file);
	ring = NULL;
	file = NULL;
}

#else

void truth_configure(struct kernel *kernel)
{
	(void)kernel;
}

int truth_open(struct session *s)
{
	(void)s;
	return 0;
}

void truth_consume(struct session *s)
{
	(void)s;
}

void truth_close(struct session *s)
{
	(void)s;
}

#endif
