// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * profile.proto of pprof, gzip'ed: github.com/google/pprof, proto/profile.proto. Written by hand, for the message is
 * flat: varints, and strings and messages with their length before them.
 *
 * Ids run from 1 on in the order in which samples need them. A location is a frame with its inlined functions as
 * lines, the innermost first.
 */
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "../base/table.h"
#include "frames.h"
#include "report.h"

/* Fields of the messages. */
enum {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE,
	PROFILE_MAPPING,
	PROFILE_LOCATION,
	PROFILE_FUNCTION,
	PROFILE_STRING,
	PROFILE_DROP_FRAMES,
	PROFILE_KEEP_FRAMES,
	PROFILE_TIME,
	PROFILE_DURATION,
	PROFILE_PERIOD_TYPE,
	PROFILE_PERIOD,
	PROFILE_COMMENT,
	PROFILE_DEFAULT_TYPE
};
enum { TYPE_TYPE = 1, TYPE_UNIT };
enum { SAMPLE_LOCATION = 1, SAMPLE_VALUE, SAMPLE_LABEL };
enum { LABEL_KEY = 1, LABEL_STRING, LABEL_NUMBER, LABEL_UNIT };
enum {
	MAPPING_ID = 1,
	MAPPING_START,
	MAPPING_LIMIT,
	MAPPING_OFFSET,
	MAPPING_FILE,
	MAPPING_BUILD_ID,
	MAPPING_HAS_FUNCTIONS,
	MAPPING_HAS_FILES,
	MAPPING_HAS_LINES,
	MAPPING_HAS_INLINES
};
enum { LOCATION_ID = 1, LOCATION_MAPPING, LOCATION_ADDRESS, LOCATION_LINE };
enum { LINE_FUNCTION = 1, LINE_LINE };
enum { FUNCTION_ID = 1, FUNCTION_NAME, FUNCTION_SYSTEM_NAME, FUNCTION_FILE };

/* Modules have no addresses of their own in a recording: each gets a space of this size. */
#define MAPPING_BYTES (1ULL << 40)

struct pprof {
	struct buffer out; /* the message, uncompressed */
	struct strings texts;
	struct table string_ids;   /* of an interned text */
	struct buffer strings;	   /* const char *, in the order of their ids */
	struct table mapping_ids;  /* of an interned path and build id */
	struct table function_ids; /* of interned name and file */
	struct table location_ids; /* of a frame, with the code that it is of */
	uint32_t mappings, functions, locations;
	struct buffer sample; /* scratch, as the next two */
	struct buffer inner, ids;
	bool failed;
};

/* --- the wire ----------------------------------------------------------------------------------- */

static void varint(struct buffer *b, uint64_t value)
{
	uint8_t bytes[10];
	size_t n = 0;

	do {
		bytes[n] = (uint8_t)(value & 0x7f);
		value >>= 7;
		if (value)
			bytes[n] |= 0x80;
		n++;
	} while (value);
	buffer_append(b, bytes, n);
}

static void number(struct buffer *b, int field, uint64_t value)
{
	varint(b, (uint64_t)field << 3);
	varint(b, value);
}

static void bytes(struct buffer *b, int field, const void *data, size_t length)
{
	varint(b, (uint64_t)field << 3 | 2);
	varint(b, length);
	buffer_append(b, data, length);
}

static void message(struct buffer *b, int field, const struct buffer *inner)
{
	bytes(b, field, inner->data, inner->length);
}

/* --- what samples refer to ------------------------------------------------------------------------ */

static const char *intern(struct pprof *p, const char *text)
{
	const char *kept = strings_intern(&p->texts, text, strlen(text));

	p->failed |= !kept;
	return kept ? kept : "";
}

/* The index in the string table. */
static uint64_t string(struct pprof *p, const char *text)
{
	const char *kept = intern(p, text);
	bool added;
	uint32_t *id = table_add(&p->string_ids, (uint64_t)(uintptr_t)kept, &added);

	p->failed |= !id;
	if (!id)
		return 0;
	if (added) {
		*id = (uint32_t)(p->strings.length / sizeof(kept));
		buffer_append(&p->strings, &kept, sizeof(kept));
	}
	return *id;
}

static uint32_t id_of(struct pprof *p, struct table *t, uint64_t key, uint32_t *count, bool *added)
{
	uint32_t *id = table_add(t, key, added);

	p->failed |= !id;
	if (!id)
		return *added = false;
	if (*added)
		*id = ++*count;
	return *id;
}

static uint32_t mapping(struct pprof *p, const char *path, const char *build_id)
{
	const char *file = intern(p, path), *build = intern(p, build_id);
	struct buffer m CLEANUP_BUFFER = { 0 };
	bool added;
	uint32_t id = id_of(p, &p->mapping_ids, hash_mix((uintptr_t)file, (uintptr_t)build),
		&p->mappings, &added);

	if (!added)
		return id;
	number(&m, MAPPING_ID, id);
	number(&m, MAPPING_START, id * MAPPING_BYTES);
	number(&m, MAPPING_LIMIT, (id + 1) * MAPPING_BYTES);
	number(&m, MAPPING_FILE, string(p, path));
	number(&m, MAPPING_BUILD_ID, string(p, build_id));
	/* Names are in the profile: nobody need look for the file. */
	number(&m, MAPPING_HAS_FUNCTIONS, 1);
	number(&m, MAPPING_HAS_FILES, 1);
	number(&m, MAPPING_HAS_LINES, 1);
	number(&m, MAPPING_HAS_INLINES, 1);
	message(&p->out, PROFILE_MAPPING, &m);
	return id;
}

static uint32_t function(struct pprof *p, const char *name, const char *file)
{
	struct buffer m CLEANUP_BUFFER = { 0 };
	bool added;
	uint64_t name_id = string(p, name), file_id = string(p, file ? file : "");
	uint32_t id = id_of(p, &p->function_ids, name_id << 32 | file_id, &p->functions, &added);

	if (!added)
		return id;
	number(&m, FUNCTION_ID, id);
	number(&m, FUNCTION_NAME, name_id);
	number(&m, FUNCTION_SYSTEM_NAME, name_id);
	number(&m, FUNCTION_FILE, file_id);
	message(&p->out, PROFILE_FUNCTION, &m);
	return id;
}

static void line(struct pprof *p, const struct code_frame *f, const struct code_level *level,
	const char *module, struct buffer *location)
{
	struct buffer m CLEANUP_BUFFER = { 0 }, name CLEANUP_BUFFER = { 0 };

	frame_name(level->function, f->address, module, &name);
	number(&m, LINE_FUNCTION, function(p, buffer_string(&name), level->file));
	number(&m, LINE_LINE, level->line);
	message(location, LOCATION_LINE, &m);
}

static uint32_t location(struct pprof *p, const struct code *c, const struct code_frame *f)
{
	struct buffer m CLEANUP_BUFFER = { 0 };
	const struct code_module *module =
		f->module == CODE_NONE ? NULL : code_module(c, f->module);
	bool added;
	uint32_t id = id_of(p, &p->location_ids, (uint64_t)(uintptr_t)f, &p->locations, &added);
	uint32_t mapping_id;

	if (!added)
		return id;
	mapping_id =
		mapping(p, module ? module->path : "[no file]", module ? module->build_id : "");
	number(&m, LOCATION_ID, id);
	number(&m, LOCATION_MAPPING, mapping_id);
	number(&m, LOCATION_ADDRESS,
		mapping_id * MAPPING_BYTES + (f->address & (MAPPING_BYTES - 1)));
	for (uint32_t l = 0; l < f->level_count; l++)
		line(p, f, code_level(c, f->first_level + l), module ? module->path : NULL, &m);
	message(&p->out, PROFILE_LOCATION, &m);
	return id;
}

/* A stack that was not kept has a name of its own. */
static uint32_t unknown_location(struct pprof *p)
{
	struct buffer m CLEANUP_BUFFER = { 0 }, l CLEANUP_BUFFER = { 0 };
	bool added;
	uint32_t id = id_of(p, &p->location_ids, 0, &p->locations, &added);

	if (!added)
		return id;
	number(&l, LINE_FUNCTION, function(p, "[no stack]", NULL));
	number(&m, LOCATION_ID, id);
	message(&m, LOCATION_LINE, &l);
	message(&p->out, PROFILE_LOCATION, &m);
	return id;
}

/* --- samples -------------------------------------------------------------------------------------- */

static void value_type(struct pprof *p, int field, const char *type, const char *unit)
{
	struct buffer m CLEANUP_BUFFER = { 0 };

	number(&m, TYPE_TYPE, string(p, type));
	number(&m, TYPE_UNIT, string(p, unit));
	message(&p->out, field, &m);
}

static void text_label(struct pprof *p, const char *key, const char *value)
{
	buffer_clear(&p->inner);
	number(&p->inner, LABEL_KEY, string(p, key));
	number(&p->inner, LABEL_STRING, string(p, value));
	message(&p->sample, SAMPLE_LABEL, &p->inner);
}

static void bytes_label(struct pprof *p, uint64_t value)
{
	buffer_clear(&p->inner);
	number(&p->inner, LABEL_KEY, string(p, "bytes"));
	number(&p->inner, LABEL_NUMBER, value);
	number(&p->inner, LABEL_UNIT, string(p, "bytes"));
	message(&p->sample, SAMPLE_LABEL, &p->inner);
}

/* Figures of one stack; negative ones in a difference. */
struct values {
	int64_t alloc_count, alloc_bytes, live_count, live_bytes;
};

static void sample(struct pprof *p, const struct code *c, const struct group *g,
	const struct values *v, const char *pid)
{
	const struct code_stack *s = g->stack == CODE_NONE ? NULL : code_stack(c, g->stack);
	uint64_t blocks = (uint64_t)(v->alloc_count > 0 ? v->alloc_count : -v->alloc_count);

	buffer_clear(&p->sample);
	buffer_clear(&p->ids);
	for (uint32_t i = 0; s && i < s->frame_count; i++)
		varint(&p->ids, location(p, c, code_stack_frame(c, s, i)));
	if (!s || !s->frame_count)
		varint(&p->ids, unknown_location(p));
	message(&p->sample, SAMPLE_LOCATION, &p->ids);
	buffer_clear(&p->ids);
	varint(&p->ids, (uint64_t)v->alloc_count);
	varint(&p->ids, (uint64_t)v->alloc_bytes);
	varint(&p->ids, (uint64_t)v->live_count);
	varint(&p->ids, (uint64_t)v->live_bytes);
	message(&p->sample, SAMPLE_VALUE, &p->ids);
	if (blocks)
		bytes_label(p,
			(uint64_t)(v->alloc_bytes > 0 ? v->alloc_bytes : -v->alloc_bytes) / blocks);
	text_label(p, "pid", pid);
	message(&p->out, PROFILE_SAMPLE, &p->sample);
}

static struct values values_of(const struct group *g)
{
	const struct site_figures *f = &g->self;

	return (struct values){ (int64_t)f->alloc_count, (int64_t)f->alloc_bytes,
		(int64_t)f->live_count, (int64_t)f->live_bytes };
}

static bool is_zero(const struct values *v)
{
	return !v->alloc_count && !v->alloc_bytes && !v->live_count && !v->live_bytes;
}

/* --- the whole ------------------------------------------------------------------------------------- */

static void begin(struct pprof *p, const struct heap *h)
{
	string(p, ""); /* 0 */
	value_type(p, PROFILE_SAMPLE_TYPE, "alloc_objects", "count");
	value_type(p, PROFILE_SAMPLE_TYPE, "alloc_space", "bytes");
	value_type(p, PROFILE_SAMPLE_TYPE, "inuse_objects", "count");
	value_type(p, PROFILE_SAMPLE_TYPE, "inuse_space", "bytes");
	/* The first mapping is the program. */
	for (uint32_t i = 0; i < code_module_count(recording_code(h->recording)); i++) {
		const struct code_module *m = code_module(recording_code(h->recording), i);

		if (!strcmp(m->path, h->target->process.exe))
			mapping(p, m->path, m->build_id);
	}
}

static void end(struct pprof *p, const struct heap *h, uint64_t duration_ns)
{
	number(&p->out, PROFILE_TIME, h->at->figures.realtime_ns);
	number(&p->out, PROFILE_DURATION, duration_ns);
	value_type(p, PROFILE_PERIOD_TYPE, "space", "bytes");
	number(&p->out, PROFILE_PERIOD,
		h->at->figures.rules.sample_bytes ? h->at->figures.rules.sample_bytes : 1);
	number(&p->out, PROFILE_DEFAULT_TYPE, string(p, "inuse_space"));
	for (size_t i = 0; i < p->strings.length / sizeof(const char *); i++) {
		const char *text = ((const char **)(void *)p->strings.data)[i];

		bytes(&p->out, PROFILE_STRING, text, strlen(text));
	}
}

static int compress_into(struct stream *out, const struct buffer *in)
{
	z_stream z = { .next_in = in->data, .avail_in = (uInt)in->length };
	uint8_t part[16384];
	int code;

	/* 16: with the header of gzip, in which nothing depends on the time. */
	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) !=
		Z_OK)
		return -ENOMEM;
	do {
		z.next_out = part;
		z.avail_out = sizeof(part);
		code = deflate(&z, Z_FINISH);
		buffer_append(&out->text, part, sizeof(part) - z.avail_out);
		stream_relieve(out);
	} while (code == Z_OK);
	deflateEnd(&z);
	return code == Z_STREAM_END ? 0 : -EIO;
}

static void release(struct pprof *p)
{
	buffer_release(&p->out);
	strings_release(&p->texts);
	table_release(&p->string_ids);
	buffer_release(&p->strings);
	table_release(&p->mapping_ids);
	table_release(&p->function_ids);
	table_release(&p->location_ids);
	buffer_release(&p->sample);
	buffer_release(&p->inner);
	buffer_release(&p->ids);
}

static void deliver(struct pprof *p, struct stream *out)
{
	if (p->failed || buffer_failed(&p->out) || buffer_failed(&p->strings) ||
		compress_into(out, &p->out))
		out->text.failed = true;
	stream_flush(out);
}

void report_render_pprof(const struct report *r, struct stream *out)
{
	struct pprof p CLEANUP(release) = { 0 };
	const struct grouping *g = r->grouping;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", r->heap->target->process.pid);
	begin(&p, r->heap);
	for (uint32_t i = 0; i < shown_rows(g->count, r->top); i++) {
		struct values v = values_of(&g->groups[i]);

		if (!is_zero(&v))
			sample(&p, g->code, &g->groups[i], &v, pid);
	}
	end(&p, r->heap, r->heap->at->moment.elapsed_ns);
	deliver(&p, out);
}

void diff_render_pprof(const struct diff *d, struct stream *out)
{
	struct pprof p CLEANUP(release) = { 0 };
	const struct comparison *c = d->comparison;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", d->new->target->process.pid);
	begin(&p, d->new);
	for (uint32_t i = 0; i < shown_rows(c->count, d->top); i++) {
		const struct difference *x = &c->all[i];
		struct values v = { 0 }, old = { 0 };

		if (x->new)
			v = values_of(x->new);
		if (x->old)
			old = values_of(x->old);
		v.alloc_count -= old.alloc_count;
		v.alloc_bytes -= old.alloc_bytes;
		v.live_count -= old.live_count;
		v.live_bytes -= old.live_bytes;
		if (is_zero(&v))
			continue;
		if (x->new)
			sample(&p, c->new->code, x->new, &v, pid);
		else
			sample(&p, c->old->code, x->old, &v, pid);
	}
	end(&p, d->new, d->elapsed_s > 0 ? (uint64_t)(d->elapsed_s * 1e9) : 0);
	deliver(&p, out);
}
