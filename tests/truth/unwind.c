// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * unwind PID FILE [EVENTS [EQUAL% [ROOT%]]]: walks the stacks that a test build of heaptap left in FILE
 * (user/trace/truth.h) by libdwfl, which sees exactly those bytes, and compares frame for frame. Says
 * how many there were, how many are equal and reach their root, and lists differences by cause. Fails
 * when there are fewer than asked for.
 */
#include <elfutils/libdwfl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../user/trace/truth.h"

#define FRAMES_MAX 512
#define CAUSES_MAX 32
#define SHOWN	   3 /* events in full a cause */

struct check {
	Dwfl *dwfl;
	struct truth_record record;
	uint8_t stack[HT_TRUTH_BYTES];
	/* What libdwfl found: addresses as ours, from the caller of the probed function on. */
	uint64_t theirs[FRAMES_MAX];
	uint32_t their_count;
	bool skipped_first;
	bool beyond; /* it asked for stack that was not shipped */
	uint64_t events, equal, rooted, frames;
	struct cause {
		char text[160];
		uint64_t count;
	} causes[CAUSES_MAX];
};

/* --- libdwfl -------------------------------------------------------------------------------------- */

static int no_debug_information(Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base,
	const char *file, const char *link, GElf_Word crc, char **path)
{
	(void)module, (void)user, (void)name, (void)base, (void)file, (void)link, (void)crc,
		(void)path;
	return -1;
}

static pid_t next_thread(Dwfl *dwfl, void *argument, void **thread)
{
	struct check *c = argument;

	(void)dwfl;
	if (*thread)
		return 0;
	*thread = c;
	return (pid_t)c->record.tid;
}

static bool memory_read(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *result, void *argument)
{
	struct check *c = argument;
	uint64_t offset = address - c->record.sp;

	(void)dwfl;
	if (address < c->record.sp || offset + sizeof(*result) > c->record.stack_bytes) {
		c->beyond = true;
		return false;
	}
	memcpy(result, c->stack + offset, sizeof(*result));
	return true;
}

static bool set_registers(Dwfl_Thread *thread, void *argument)
{
	const struct check *c = argument;
	const Dwarf_Word rbx = c->record.bx, rbp_rsp[] = { c->record.bp, c->record.sp };

	dwfl_thread_state_register_pc(thread, c->record.pc);
	return dwfl_thread_state_registers(thread, 3, 1, &rbx) &&
	       dwfl_thread_state_registers(thread, 6, 2, rbp_rsp);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.memory_read = memory_read,
	.set_initial_registers = set_registers,
};

static int on_frame(Dwfl_Frame *frame, void *argument)
{
	struct check *c = argument;
	bool interrupted;
	Dwarf_Addr pc;

	if (!dwfl_frame_pc(frame, &pc, &interrupted))
		return DWARF_CB_ABORT;
	if (!c->skipped_first) {
		c->skipped_first = true;
		return DWARF_CB_OK;
	}
	if (c->their_count < FRAMES_MAX)
		c->theirs[c->their_count++] = pc - !interrupted;
	return DWARF_CB_OK;
}

static int on_thread(Dwfl_Thread *thread, void *argument)
{
	return dwfl_thread_getframes(thread, on_frame, argument);
}

static bool start(struct check *c, pid_t pid)
{
	static char *no_path;
	static const Dwfl_Callbacks callbacks = { .find_elf = dwfl_linux_proc_find_elf,
		.find_debuginfo = no_debug_information,
		.debuginfo_path = &no_path };

	c->dwfl = dwfl_begin(&callbacks);
	return c->dwfl && !dwfl_linux_proc_report(c->dwfl, pid) &&
	       !dwfl_report_end(c->dwfl, NULL, NULL) &&
	       dwfl_attach_state(c->dwfl, NULL, pid, &thread_callbacks, c);
}

/* --- comparing ------------------------------------------------------------------------------------- */

static const char *name_of(const struct check *c, uint64_t address, char text[160])
{
	Dwfl_Module *module = dwfl_addrmodule(c->dwfl, address);
	const char *file =
		module ? dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
		       : "no module";
	const char *slash = strrchr(file, '/'), *symbol;

	symbol = module ? dwfl_module_addrname(module, address) : NULL;
	snprintf(text, 160, "%.60s (%.60s)", symbol ? symbol : "?", slash ? slash + 1 : file);
	return text;
}

static void print_event(const struct check *c)
{
	const struct truth_record *r = &c->record;
	char text[160];

	printf("  pc %" PRIx64 " sp %" PRIx64 " bp %" PRIx64 " flags %u\n", r->pc, r->sp, r->bp,
		r->flags);
	for (uint32_t i = 0; i < r->frame_count || i < c->their_count; i++) {
		uint64_t a = i < r->frame_count ? r->addresses[i] : 0;
		uint64_t b = i < c->their_count ? c->theirs[i] : 0;

		printf("  %3u %c %12" PRIx64 " %12" PRIx64 " %s\n", i, a == b ? ' ' : '*', a, b,
			name_of(c, a ? a : b, text));
	}
}

static void add_cause(struct check *c, const char *text)
{
	for (int i = 0; i < CAUSES_MAX; i++) {
		struct cause *cause = &c->causes[i];

		if (cause->count && strcmp(cause->text, text))
			continue;
		snprintf(cause->text, sizeof(cause->text), "%s", text);
		if (cause->count++ < SHOWN) {
			printf("difference: %s\n", text);
			print_event(c);
		}
		return;
	}
}

static void explain(struct check *c, uint32_t same, int status)
{
	const struct truth_record *r = &c->record;
	char text[160], where[160];

	name_of(c, same ? r->addresses[same - 1] : r->pc, where);
	if (same == r->frame_count && same == c->their_count)
		snprintf(text, sizeof(text), "ours is truncated where libdwfl ends too: %.100s",
			where);
	else if (same == r->frame_count)
		snprintf(text, sizeof(text), "ours ends above %.120s", where);
	else if (same == c->their_count)
		snprintf(text, sizeof(text), "libdwfl ends above %.80s: %.30s", where,
			c->beyond ? "stack not shipped"
			: status  ? dwfl_errmsg(-1)
				  : "no error");
	else
		snprintf(text, sizeof(text), "another caller of %.120s", where);
	add_cause(c, text);
}

static void compare(struct check *c)
{
	const struct truth_record *r = &c->record;
	uint32_t same = 0;
	bool equal;
	int status;

	c->their_count = 0;
	c->skipped_first = c->beyond = false;
	status = dwfl_getthreads(c->dwfl, on_thread, c);
	while (same < r->frame_count && same < c->their_count &&
		r->addresses[same] == c->theirs[same])
		same++;
	c->events++;
	c->frames += r->frame_count;
	c->rooted += !(r->flags & HT_STACK_TRUNCATED);
	equal = same == r->frame_count && (same == c->their_count || r->flags & HT_STACK_DEPTH);
	c->equal += equal;
	if (!equal || (r->flags & HT_STACK_TRUNCATED && !(r->flags & HT_STACK_DEPTH)))
		explain(c, same, status);
}

static bool next_record(struct check *c, FILE *file)
{
	return fread(&c->record, sizeof(c->record), 1, file) == 1 &&
	       c->record.stack_bytes <= sizeof(c->stack) &&
	       c->record.frame_count <= HT_MAX_FRAMES &&
	       fread(c->stack, 1, c->record.stack_bytes, file) == c->record.stack_bytes;
}

int main(int argc, char **argv)
{
	static struct check c;
	double wanted[] = { 1, 99.5, 99 }, equal, rooted;
	FILE *file = argc >= 3 ? fopen(argv[2], "r") : NULL;

	for (int i = 3; i < argc && i < 6; i++)
		wanted[i - 3] = atof(argv[i]);
	if (!file || !start(&c, atoi(argv[1]))) {
		fprintf(stderr,
			"usage: unwind PID FILE [EVENTS [EQUAL%% [ROOT%%]]], PID alive: %s\n",
			dwfl_errmsg(-1));
		return 2;
	}
	while (next_record(&c, file))
		compare(&c);
	fclose(file);
	dwfl_end(c.dwfl);
	equal = c.events ? 100.0 * (double)c.equal / (double)c.events : 0;
	rooted = c.events ? 100.0 * (double)c.rooted / (double)c.events : 0;
	printf("%" PRIu64 " events, %.1f frames each, %.3f %% equal, %.3f %% reach the root\n",
		c.events, c.events ? (double)c.frames / (double)c.events : 0, equal, rooted);
	for (int i = 0; i < CAUSES_MAX && c.causes[i].count; i++)
		printf("  %" PRIu64 " %s\n", c.causes[i].count, c.causes[i].text);
	return (double)c.events < wanted[0] || equal < wanted[1] || rooted < wanted[2];
}
