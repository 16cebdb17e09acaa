// SPDX-License-Identifier: GPL-2.0-or-later
/* The JSON writer, and the two forms of a leak report. Foreign eyes judge: iconv, jq and Python. */
#include <errno.h>
#include <iconv.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../user/base/clock.h"
#include "../../user/render/json.h"
#include "../../user/render/leaks_report.h"

/* Runs a command with the document as its input; out: what it prints. Its exit status. */
static int run(const char *command, struct buffer *document, struct buffer *out)
{
	int fd = memfd_create("test_json", 0), status;
	char line[2048];
	FILE *pipe;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, document->data, document->length), document->length);
	snprintf(line, sizeof(line), "%s </dev/fd/%d", command, fd);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	buffer_clear(out);
	assert_int_equal(buffer_read_fd(out, fileno(pipe), 16 << 20), 0);
	status = pclose(pipe);
	close(fd);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void need(const char *tool)
{
	char command[64];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", tool);
	if (!system(command))
		return;
	print_message("skipped: no %s\n", tool);
	skip();
}

/* What jq prints for the document, and nothing else. */
static void assert_jq(struct buffer *document, const char *filter, const char *want)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	char command[1024];

	snprintf(command, sizeof(command), "jq -cj '%s'", filter);
	assert_int_equal(run(command, document, &out), 0);
	assert_string_equal(buffer_string(&out), want);
}

/* --- text ------------------------------------------------------------------------------------ */

/* The text as a value; from an exact copy, so that reading behind its end shows under ASan. */
static const char *escaped(struct buffer *out, const char *text)
{
	struct json j = { .out = out };
	char *copy = strdup(text);

	assert_non_null(copy);
	buffer_clear(out);
	json_string(&j, NULL, copy);
	free(copy);
	return buffer_string(out);
}

#define BAD "\\ufffd"

static void test_escapes(void **state)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{ "", "" },
		{ "plain /path", "plain /path" },
		{ "a\"b\\c", "a\\\"b\\\\c" },
		{ "\x01\t\n\r\x1b[31m\x1f", "\\u0001\\u0009\\u000a\\u000d\\u001b[31m\\u001f" },
		{ "\x7f", "\\u007f" },
		{ "\xc2\x80 \xc3\xa9 \xdf\xbf", "\xc2\x80 \xc3\xa9 \xdf\xbf" },
		{ "\xe0\xa0\x80 \xe2\x82\xac", "\xe0\xa0\x80 \xe2\x82\xac" },
		{ "\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", "\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf" },
		{ "\xf0\x90\x80\x80 \xf0\x9f\x98\x80", "\xf0\x90\x80\x80 \xf0\x9f\x98\x80" },
		{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
		{ "\x80\xbf", BAD BAD },		 /* continuations of nothing */
		{ "\xc0\x80\xc1\xbf", BAD BAD BAD BAD }, /* overlong */
		{ "\xe0\x80\x80", BAD BAD BAD },
		{ "\xe0\x9f\xbf", BAD BAD BAD },
		{ "\xf0\x80\x80\x80", BAD BAD BAD BAD },
		{ "\xf0\x8f\xbf\xbf", BAD BAD BAD BAD },
		{ "\xed\xa0\x80", BAD BAD BAD }, /* surrogates */
		{ "\xed\xbf\xbf", BAD BAD BAD },
		{ "\xf4\x90\x80\x80", BAD BAD BAD BAD }, /* above U+10FFFF */
		{ "\xf5\x80\x80\x80", BAD BAD BAD BAD },
		{ "\xfe\xff", BAD BAD },
		{ "\xc3", BAD }, /* cut */
		{ "\xe2\x82", BAD BAD },
		{ "\xf0\x9f\x98", BAD BAD BAD },
		{ "\xc3z", BAD "z" },
		{ "\xc3\"", BAD "\\\"" }, /* a cut sequence hides no quote */
		{ "\xe2\x82\"", BAD BAD "\\\"" },
		{ "\xf0\x9f\x98\\", BAD BAD BAD "\\\\" },
		{ "\xf0\n", BAD "\\u000a" },
	};
	struct buffer out CLEANUP_BUFFER = { 0 };
	char want[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(want, sizeof(want), "\"%s\"", cases[i].json);
		assert_string_equal(escaped(&out, cases[i].text), want);
	}
	for (char c = 1; c < ' '; c++) {
		snprintf(want, sizeof(want), "\"\\u%04x\"", c);
		assert_string_equal(escaped(&out, (const char[]){ c, 0 }), want);
	}
}

static bool iconv_takes(iconv_t converter, const char *text)
{
	char out[64], *in = (char *)text, *at = out;
	size_t in_left = strlen(text), out_left = sizeof(out);

	iconv(converter, NULL, NULL, NULL, NULL);
	return iconv(converter, &in, &in_left, &at, &out_left) != (size_t)-1;
}

/* Every first byte, with all borders of the ones behind. */
static void test_utf8(void **state)
{
	static const unsigned char next[] = { 0, 'a', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
		0xc0, 0xff };
	struct buffer out CLEANUP_BUFFER = { 0 };
	iconv_t converter = iconv_open("UTF-32LE", "UTF-8");
	char text[5] = "";
	size_t n = ARRAY_SIZE(next);
	unsigned int valid = 0;

	(void)state;
	assert_true(converter != (iconv_t)-1);
	for (size_t i = 0; i < 128 * n * n * n; i++) {
		bool taken;

		text[0] = (char)(0x80 + i % 128);
		text[1] = (char)next[i / 128 % n];
		text[2] = (char)next[i / 128 / n % n];
		text[3] = (char)next[i / 128 / n / n];
		taken = iconv_takes(converter, text);
		valid += taken;
		if (!strstr(escaped(&out, text), BAD) != taken)
			fail_msg("%02x %02x %02x %02x: iconv says %d", (unsigned char)text[0],
				(unsigned char)text[1], (unsigned char)text[2],
				(unsigned char)text[3], taken);
	}
	assert_true(valid > 1000);
	iconv_close(converter);
}

/* --- values ---------------------------------------------------------------------------------- */

static void write_values(struct json *j)
{
	json_open(j, NULL, '{');
	json_string(j, "text", "a\tb");
	json_string(j, "none", NULL);
	json_open(j, "empty", '[');
	json_close(j, ']');
	json_open(j, "object", '{');
	json_close(j, '}');
	json_open(j, "list", '[');
	json_open(j, NULL, '{');
	json_uint(j, "max", UINT64_MAX);
	json_uint(j, "zero", 0);
	json_close(j, '}');
	json_open(j, NULL, '[');
	json_bool(j, NULL, true);
	json_bool(j, NULL, false);
	json_null(j, NULL);
	json_close(j, ']');
	json_string(j, NULL, "last");
	json_close(j, ']');
	json_bytes(j, "known", 0);
	json_bytes(j, "big", INT64_MAX);
	json_bytes(j, "unknown", -1);
	json_hex(j, "id", 0x1f);
	json_hex(j, "id_max", UINT64_MAX);
	json_double(j, "half", 0.5, 3);
	json_double(j, "whole", 2, 0);
	json_double(j, "minus", -1.25, 2);
	json_double(j, "nan", NAN, 3);
	json_double(j, "inf", INFINITY, 3);
	json_double(j, "minus_inf", -INFINITY, 3);
	json_close(j, '}');
}

static void test_values(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct json j = { .out = &out };

	(void)state;
	write_values(&j);
	assert_string_equal(buffer_string(&out),
		"{\"text\":\"a\\u0009b\",\"none\":null,\"empty\":[],\"object\":{},\"list\":[{"
		"\"max\":"
		"18446744073709551615,\"zero\":0},[true,false,null],\"last\"],\"known\":0,\"big\":"
		"9223372036854775807,\"unknown\":null,\"id\":\"0x000000000000001f\",\"id_max\":"
		"\"0xffffffffffffffff\",\"half\":0.500,\"whole\":2,\"minus\":-1.25,\"nan\":null,"
		"\"inf\":null,\"minus_inf\":null}");
}

/* Deep and long, with every byte there is. */
static void write_big(struct json *j)
{
	char text[256], noise[8];

	for (int i = 1; i < 256; i++)
		text[i - 1] = (char)i;
	text[255] = 0;
	json_open(j, NULL, '{');
	json_string(j, "bytes", text);
	json_open(j, "list", '[');
	for (int i = 0; i < 2000; i++) {
		for (size_t k = 0; k < sizeof(noise) - 1; k++)
			noise[k] = (char)(1 + (i * 37 + (int)k * 101) % 255);
		noise[sizeof(noise) - 1] = 0;
		json_open(j, NULL, '{');
		json_string(j, "noise", noise);
		json_double(j, "value", i / 7.0, i % 9);
		json_open(j, "values", '[');
		write_values(j);
		json_close(j, ']');
		json_close(j, '}');
	}
	json_close(j, ']');
	for (int i = 0; i < 50; i++)
		json_open(j, i ? NULL : "deep", '[');
	for (int i = 0; i < 50; i++)
		json_close(j, ']');
	json_close(j, '}');
}

static void test_parsed_by_others(void **state)
{
	struct buffer document CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	struct json j = { .out = &document };

	(void)state;
	need("python3");
	need("jq");
	write_big(&j);
	assert_int_equal(buffer_failed(&document), 0);
	assert_true(document.length > 100000);
	assert_int_equal(run("python3 -m json.tool", &document, &out), 0);
	assert_true(out.length > document.length);
	assert_jq(&document, ".list|length", "2000");
	assert_jq(&document, ".bytes|[explode|.[]|select(. < 128)]|. == [range(1;128)]", "true");
	assert_jq(&document, ".bytes|[explode|.[]|select(. == 65533)]|length", "128");
	assert_jq(&document, "[.list[1999].values[0].list[0].zero, .list[7].value]", "[0,1]");
	assert_jq(&document, "[.deep|..]|length", "50");
}

/* --- a leak report --------------------------------------------------------------------------- */

struct world {
	struct process process;
	struct profile profile;
	struct snapshot snapshot;
	struct leaks_selection selection;
	struct symbolizer *symbols;
	struct report_figures figures;
	struct leaks_report report;
	uint32_t allocator;
	struct report_target target;
};

static const char hostile[] = "\x1b[31m\x1b]0;title\x07\r\n\x7f\b\"\\";

static void add_frames(struct world *w)
{
	const uint64_t first[] = { ht_frame_native(HT_FRAME_CALL, 0, 0x1234),
		ht_frame_native(HT_FRAME_PC, 1, 0x5678) };
	const uint64_t second[] = { ht_frame_native(HT_FRAME_CALL, 1, 0xabcd),
		ht_frame_raw(3, 0x7f0012345678), ht_frame_native(HT_FRAME_PYTHON, 0, 5),
		ht_frame_native(HT_FRAME_KERNEL, 0, 5), ht_frame_native(HT_FRAME_MARKER, 0, 5) };

	assert_int_equal(profile_add_stack(&w->profile, NULL, 0, 0), 0);
	assert_int_equal(profile_add_stack(&w->profile, first, 2, 0), 0);
	assert_int_equal(profile_add_stack(&w->profile, second, 5, HT_STACK_TRUNCATED), 0);
}

static void add_sites(struct snapshot *s)
{
	s->sites = calloc(3, sizeof(*s->sites));
	assert_non_null(s->sites);
	s->site_count = 3;
	s->sites[0] = (struct site_figures){ .alloc_count = 1, .aged_count = 1, .aged_bytes = 100 };
	s->sites[1] = (struct site_figures){ .stack = 1,
		.domain = HT_DOMAIN_HEAP,
		.alloc_count = 12345,
		.alloc_bytes = 4000000,
		.free_count = 12340,
		.free_bytes = 2689280,
		.live_count = 5,
		.live_bytes = 1310720,
		.aged_count = 4,
		.aged_bytes = 1310720,
		.temporary_count = 77,
		.failed_count = 2,
		.oldest_s = 12.345 };
	s->sites[2] = (struct site_figures){ .stack = 2,
		.domain = HT_DOMAIN_MMAP,
		.alloc_count = 1,
		.aged_count = 1,
		.aged_bytes = 5 };
}

static void world_init(struct world *w, const char *comm, const char *path)
{
	struct snapshot *s = &w->snapshot;

	*w = (struct world){ .process = { .pid = 4711, .start_realtime_ns = NS_PER_S } };
	snprintf(w->process.comm, sizeof(w->process.comm), "%s", comm);
	w->process.exe = strdup(path);
	w->process.cgroup = strdup(path);
	assert_int_equal(profile_add_module(&w->profile, path, "b1d0", NULL), 0);
	assert_int_equal(profile_add_module(&w->profile, "/lib/libc.so.6", "b1d1", "glibc"), 0);
	add_frames(w);
	add_sites(s);
	s->realtime_ns = 1767225600ULL * NS_PER_S + 250 * NS_PER_MS;
	s->min_age_s = 10;
	s->mode = (struct mode_figures){ .name = "exact",
		.why = "asked for",
		.coverage = 1,
		.figures_s = 60.5,
		.overhead_s = 0.5,
		.cpu_s = 10.5 };
	s->events = 24690;
	s->totals = (struct totals){ .alloc_count = 12347,
		.alloc_bytes = 4000105,
		.live_count = 7,
		.live_bytes = 1310825,
		.aged_count = 6,
		.aged_bytes = 1310825,
		.truncated_count = 1 };
	assert_int_equal(leaks_select(s, LEAKS_AGED, 0, &w->selection), 0);
	w->symbols = symbolizer_new();
	assert_non_null(w->symbols);
	w->allocator = 1; /* the C library */
	w->target = (struct report_target){ &w->process, &w->allocator, 1 };
	w->report = (struct leaks_report){ .targets = &w->target,
		.target_count = 1,
		.profile = &w->profile,
		.snapshot = s,
		.symbols = w->symbols,
		.selection = &w->selection,
		.figures = &w->figures };
	w->figures = (struct report_figures){ .memory = { .rss = 5 << 20, .pss = -1, .limit = -1 },
		.host = { 1 << 30, 1 << 29, -1 },
		.elapsed_s = 60.5,
		.interval_s = 5,
		.link = "multi" };
}

static void world_release(struct world *w)
{
	symbolizer_free(w->symbols);
	leaks_release(&w->selection);
	snapshot_release(&w->snapshot);
	profile_release(&w->profile);
	free(w->process.exe);
	free(w->process.cgroup);
}

/* The contract of the JSON form: scripts depend on it. */
#define LOST_KEY(name, key, what, remedy) "health.lost." key,
static const char *const contract[] = { "schema", "kind", "scope", "time", "elapsed_s",
	"interval_s", "ended", "target.pid", "target.comm", "target.exe", "target.cgroup",
	"target.start_time", "target.allocators.0.name", "target.allocators.0.module",
	"target.allocators.0.build_id", "mode.name", "mode.sample_bytes", "mode.why",
	"totals.alloc_count", "totals.alloc_bytes", "totals.free_count", "totals.free_bytes",
	"totals.live_count", "totals.live_bytes", "totals.peak_live_bytes", "totals.failed_count",
	"totals.untracked_frees", "totals.in_flight", "health.events", "health.coverage",
	"health.skew", "health.overhead_ns", "health.overhead_cpu", "health.truncated_share",
	HT_LOST(LOST_KEY) "process.rss_bytes", "process.pss_bytes", "process.swap_bytes",
	"process.limit_bytes", "host.mem_total", "host.mem_available", "host.cpu", "stacks.0.id",
	"stacks.0.domain", "stacks.0.alloc_count", "stacks.0.alloc_bytes", "stacks.0.live_count",
	"stacks.0.live_bytes", "stacks.0.oldest_s", "stacks.0.verdict", "stacks.0.score",
	"stacks.0.growth_bytes_per_s", "stacks.0.frames.0.function", "stacks.0.frames.0.file",
	"stacks.0.frames.0.line", "stacks.0.frames.0.module", "stacks.0.frames.0.build_id",
	"stacks.0.frames.0.offset", "stacks.0.frames.0.inlined", "stacks.0.frames.0.kind" };

static void test_contract(void **state)
{
	struct buffer document CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	struct world w CLEANUP(world_release);
	char line[128];

	(void)state;
	need("jq");
	world_init(&w, "server", "/usr/bin/server");
	leaks_render_json(&w.report, &document);
	/* every key's path, in lines with one before and after */
	assert_int_equal(run("jq -r '\"\",(paths|map(tostring)|join(\".\"))'", &document, &out), 0);
	for (size_t i = 0; i < ARRAY_SIZE(contract); i++) {
		snprintf(line, sizeof(line), "\n%s\n", contract[i]);
		if (!strstr(buffer_string(&out), line))
			fail_msg("the report lacks %s", contract[i]);
	}
}

static void test_report_values(void **state)
{
	struct buffer document CLEANUP_BUFFER = { 0 };
	struct world w CLEANUP(world_release);

	(void)state;
	need("jq");
	world_init(&w, "server", "/usr/bin/server");
	leaks_render_json(&w.report, &document);
	/* one object on one line */
	assert_ptr_equal(strchr(buffer_string(&document), '\n') + 1,
		(char *)document.data + document.length);
	assert_jq(&document, "[.schema,.kind,.scope,.time,.elapsed_s,.interval_s,.ended]",
		"[\"heaptap/1\",\"leaks\",\"process\",\"2026-01-01T00:00:00.250Z\",60.5,5,null]");
	assert_jq(&document, "[.target|.pid,.comm,.exe,.start_time,.allocators[].name]",
		"[4711,\"server\",\"/usr/bin/server\",\"1970-01-01T00:00:01.000Z\",\"glibc\"]");
	assert_jq(&document, "[.totals|.alloc_count,.live_bytes,.aged_bytes,.lost_bytes]",
		"[12347,1310825,1310825,0]");
	/* what is not known is null, never 0 */
	assert_jq(&document, "[.process|.rss_bytes,.pss_bytes,.swap_bytes,.limit_bytes]",
		"[5242880,null,0,null]");
	assert_jq(&document, "[.host.cpu,.stacks[].verdict]|unique", "[null]");
	assert_jq(&document, "[.health.overhead_ns,.health.overhead_cpu]", "[500000000,0.05]");
	assert_jq(&document, "[.stacks[]|.domain,.aged_bytes,.truncated,(.frames|length)]",
		"[\"heap\",1310720,false,2,\"heap\",100,false,0,\"mmap\",5,true,5]");
	assert_jq(&document, ".stacks[0]|[.alloc_count,.live_count,.failed_count,.oldest_s]",
		"[12345,5,2,12.35]");
	assert_jq(&document, ".stacks[0].id|[length,startswith(\"0x\")]", "[18,true]");
	assert_jq(&document,
		"[.stacks[0].frames[0]|.function,.line,.module,.build_id,.offset,.kind]",
		"[null,null,\"/usr/bin/server\",\"b1d0\",4660,\"native\"]");
	assert_jq(&document, "[.stacks[2].frames[]|.kind]",
		"[\"native\",\"unknown\",\"python\",\"kernel\",\"unknown\"]");
	assert_jq(&document, "[.stacks[2].frames[1]|.module,.offset]", "[null,139638282147448]");
	assert_jq(&document, ".mode.link", "multi");
	w.figures.ended = "duration";
	buffer_clear(&document);
	leaks_render_json(&w.report, &document);
	assert_jq(&document, ".ended", "duration");
}

static void test_hostile_json(void **state)
{
	struct buffer document CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	struct world w CLEANUP(world_release);

	(void)state;
	need("jq");
	world_init(&w, hostile, hostile);
	leaks_render_json(&w.report, &document);
	for (size_t i = 0; i + 1 < document.length; i++)
		assert_true(document.data[i] >= ' ' && document.data[i] != 0x7f);
	assert_int_equal(run("jq -e .", &document, &out), 0);
	assert_jq(&document, ".target.comm", hostile);
	assert_jq(&document, ".target.exe", hostile);
	assert_jq(&document, ".stacks[0].frames[0].module", hostile);
}

/* --- as text --------------------------------------------------------------------------------- */

static const char *render(struct world *w, bool color, bool full_paths, struct buffer *out)
{
	const struct text_style style = {
		.color = color, .full_paths = full_paths, .link = full_paths
	};

	buffer_clear(out);
	leaks_render_text(&w->report, &style, out);
	assert_int_equal(buffer_failed(out), 0);
	return buffer_string(out);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" is in:\n%s", part, text);
}

static void test_text(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct world w CLEANUP(world_release);
	const char *text;

	(void)state;
	world_init(&w, "server", "/usr/bin/server");
	text = render(&w, false, false, &out);
	assert_has(text, "4711");
	assert_has(text, "server");
	assert_has(text, "glibc");
	assert_has(text, "2026-01-01T00:00:00.250Z");
	assert_has(text, "12,347");   /* blocks allocated */
	assert_has(text, "5.00 MiB"); /* RSS */
	assert_has(text, "1.25 MiB"); /* the worst site */
	assert_has(text, "12.3 s");   /* its oldest block */
	assert_has(text, "0x1234 (server)");
	assert_has(text, "0x7f0012345678");
	assert_has(text, "truncated stack");
	assert_has(text, "nothing lost");
	assert_lacks(text, "ended");
	assert_lacks(text, "/usr/bin/server");
	assert_true(strstr(text, "0x1234") < strstr(text, "0xabcd")); /* worst first */
	w.figures.ended = "target_exit";
	text = render(&w, false, true, &out);
	assert_has(text, "0x1234 (/usr/bin/server)");
	assert_has(text, "mode exact by multi links  allocator");
	assert_has(text, "target_exit");
}

static void test_text_losses(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct world w CLEANUP(world_release);
	const char *text;

	(void)state;
	world_init(&w, "server", "/usr/bin/server");
	w.snapshot.lost[HT_LOST_LIVE_FULL] = 4321;
	w.snapshot.totals.lost_count = 4321;
	w.snapshot.totals.lost_bytes = 3 << 20;
	text = render(&w, false, false, &out);
	assert_lacks(text, "nothing lost");
	assert_has(text, "4,321");
	assert_has(text, "3.00 MiB");
	assert_has(text, "live_full");
	assert_has(text, "--max-live");
	assert_lacks(text, "missed_free");

	world_release(&w);
	world_init(&w, "server", "/usr/bin/server");
	w.snapshot.unattributed[HT_UNATTRIBUTED_STACKS_FULL] = 99;
	text = render(&w, false, false, &out);
	assert_lacks(text, "nothing lost");
	assert_has(text, "99");
	assert_has(text, "stacks_full");
}

static void test_text_empty(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct world w CLEANUP(world_release);
	const char *text;

	(void)state;
	world_init(&w, "server", "/usr/bin/server");
	w.selection.count = 0;
	w.snapshot.totals = (struct totals){ 0 };
	w.figures.memory = (struct process_memory){ .rss = -1, .pss = -1, .swap = -1, .limit = -1 };
	text = render(&w, false, false, &out);
	assert_has(text, "nothing lost");
	assert_lacks(text, "RSS");
	assert_lacks(text, "nan");
	assert_lacks(text, "0x1234");
}

/* Without its escape sequences "ESC [ ... m" the coloured text is the plain one. */
static void test_color(void **state)
{
	struct buffer plain CLEANUP_BUFFER = { 0 }, colored CLEANUP_BUFFER = { 0 };
	struct buffer stripped CLEANUP_BUFFER = { 0 };
	struct world w CLEANUP(world_release);
	const char *at;
	int escapes = 0;

	(void)state;
	world_init(&w, "server", "/usr/bin/server");
	assert_null(strchr(render(&w, false, false, &plain), '\x1b'));
	for (at = render(&w, true, false, &colored); *at; at++) {
		if (*at == '\x1b') {
			assert_int_equal(at[1], '[');
			at = strchr(at, 'm');
			assert_non_null(at);
			escapes++;
		} else {
			buffer_append(&stripped, at, 1);
		}
	}
	assert_true(escapes > 4);
	assert_true(escapes % 2 == 0); /* each is taken back */
	assert_string_equal(buffer_string(&stripped), buffer_string(&plain));
}

static void test_hostile_text(void **state)
{
	struct buffer good CLEANUP_BUFFER = { 0 }, bad CLEANUP_BUFFER = { 0 };
	struct world w CLEANUP(world_release);
	unsigned int lines = 0;

	(void)state;
	world_init(&w, "server", "/usr/bin/server");
	for (const char *at = render(&w, false, true, &good); *at; at++)
		lines += *at == '\n';
	world_release(&w);
	world_init(&w, hostile, hostile);
	for (const char *at = render(&w, false, true, &bad); *at; at++) {
		lines -= *at == '\n';
		assert_true((unsigned char)*at >= ' ' || *at == '\n');
		assert_true(*at != 0x7f);
	}
	assert_int_equal(lines, 0); /* no name makes a line of its own */
}

/* U+0080 to U+009F are control characters too: U+009B begins an escape sequence, as ESC [ does. */
static void test_c1_text(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct world w CLEANUP(world_release);

	(void)state;
	world_init(&w,
		"\xc2\x9b"
		"31m",
		"/usr/bin/caf\xc3\xa9\xc2\x9b"
		"31m\x9b"
		"31m");
	assert_lacks(render(&w, false, true, &out), "\xc2\x9b");
	assert_lacks(buffer_string(&out), "\x9b");
	assert_has(buffer_string(&out), "caf\xc3\xa9");
}

/* --- growth ----------------------------------------------------------------------------------- */

static void grow(struct world *w)
{
	struct growth_figures *g = &w->snapshot.growth;
	struct site_figures *s = w->snapshot.sites;

	*g = (struct growth_figures){ .counted = true,
		.start_bytes = 1 << 20,
		.end_bytes = 8 << 20,
		.skew_bytes = 4096,
		.fork_copied = 2 << 20 };
	g->grown[HT_GROWTH_FAULT] = 9 << 20;
	g->shrunk[HT_GROWTH_RECLAIM] = 3 << 20;
	s[0] = (struct site_figures){
		.domain = HT_DOMAIN_RSS, .free_bytes = 4096, .free_count = 1
	};
	s[1] = (struct site_figures){ .stack = 1,
		.domain = HT_DOMAIN_RSS,
		.alloc_count = 2304,
		.alloc_bytes = 9 << 20,
		.free_bytes = 4096 };
	s[2] = (struct site_figures){ .stack = 2,
		.domain = HT_DOMAIN_MMAP,
		.alloc_count = 3,
		.alloc_bytes = 64,
		.live_bytes = 48 };
	leaks_release(&w->selection);
	assert_int_equal(leaks_select(&w->snapshot, LEAKS_GROWTH, 0, &w->selection), 0);
	w->snapshot.mode.name = "growth";
}

static void test_growth_json(void **state)
{
	struct buffer document CLEANUP_BUFFER = { 0 };
	struct world w CLEANUP(world_release);

	(void)state;
	need("jq");
	world_init(&w, "server", "/usr/bin/server");
	grow(&w);
	leaks_render_json(&w.report, &document);
	assert_jq(&document, ".growth | [.start_bytes, .sum_bytes, .residual_bytes, .end_bytes]",
		"[1048576,6291456,1048576,8388608]");
	assert_jq(&document, ".growth.causes | [.fault.grown_bytes, .reclaim.shrunk_bytes]",
		"[9437184,3145728]");
	assert_jq(&document, "[.growth.mappings, .totals.live_bytes, .mode.sample_bytes]",
		"[null,null,null]");
	/* What grew, what shrank, who maps. */
	assert_jq(&document, "[.stacks[] | [.domain, .growth_bytes, .mapped_bytes, .alloc_bytes]]",
		"[[\"rss\",9433088,null,null],[\"rss\",-4096,null,null],[\"mmap\",null,48,null]]");

	buffer_clear(&document);
	w.snapshot.growth.end_bytes = -1;
	leaks_render_json(&w.report, &document);
	assert_jq(&document, ".growth | [.end_bytes, .residual_bytes]", "[null,null]");
}

static void test_growth_text(void **state)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	struct world w CLEANUP(world_release);
	const char *text;

	(void)state;
	world_init(&w, "server", "/usr/bin/server");
	grow(&w);
	text = render(&w, false, false, &out);
	assert_has(text, "+     9.00 MiB  memory touched");
	assert_has(text, "-     3.00 MiB  taken by reclaim");
	assert_has(text, "+     1.00 MiB  not explained");
	assert_has(text, "=     8.00 MiB  now");
	assert_has(text, "2.00 MiB of it when they were forked");
	assert_has(text, "48 B mapped by 3 calls");
	assert_lacks(text, "allocator");
	assert_lacks(text, "outstanding");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_parsed_by_others),
		cmocka_unit_test(test_contract),
		cmocka_unit_test(test_report_values),
		cmocka_unit_test(test_hostile_json),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_losses),
		cmocka_unit_test(test_text_empty),
		cmocka_unit_test(test_color),
		cmocka_unit_test(test_hostile_text),
		cmocka_unit_test(test_c1_text),
		cmocka_unit_test(test_growth_json),
		cmocka_unit_test(test_growth_text),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
