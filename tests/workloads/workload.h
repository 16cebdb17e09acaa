/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HEAPTAP_WORKLOAD_H
#define HEAPTAP_WORKLOAD_H

/*
 * A workload knows the truth about its own heap, so that a tracer's report can be compared to it.
 *
 *   stdout  "ready PID"              everything that is not to be counted has been allocated
 *   stdin             "go"           the tracer is armed
 *   stdout  "done"                   the truth is written, every thread is parked
 *   stdin             "quit" or EOF  _exit(0): no destructor and no thread exit touches the heap
 *
 * Between "ready" and the end no heap call happens except those that the workload counts: hence
 * threads start before "ready", and nothing here uses stdio.
 *
 * A site is a function site_NAME that makes exactly one allocator call. Frees are credited to the
 * site where the block was born. A realloc that succeeds is a free of the old size and an
 * allocation of the new one. Sizes are those asked for, in bytes.
 *
 * Shared by C and C++, hence the GNU spellings (__thread, __atomic) and the casts.
 */

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#define WL_SITES_MAX 64
#define WL_BEFORE    WL_SITES_MAX /* the site of blocks born before "ready" */
#define WL_PAGE	     4096

/* Clones and tail calls would give a site several call instructions, or none. */
#ifdef __clang__
#define WL_SITE __attribute__((noinline))
#else
#define WL_SITE __attribute__((noinline, noclone, noipa))
#endif

struct wl_count {
	uint64_t alloc_count, alloc_bytes, free_count, free_bytes;
};

/* One a thread, merged when all have stopped: counting must cost nothing beside an event. */
struct wl_tally {
	struct wl_count site[WL_SITES_MAX];
	uint64_t failed_count, untracked_frees;
} __attribute__((aligned(64)));

struct wl_option {
	const char *name;
	uint64_t *number;
	const char **text;
	int *flag;
};

struct wl_buffer {
	size_t used;
	char text[32768];
};

static inline void wl_write(int fd, const char *text, size_t length)
{
	while (length) {
		ssize_t n = write(fd, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(3);
		text += n;
		length -= (size_t)n;
	}
}

static inline void wl_say(const char *line)
{
	wl_write(STDOUT_FILENO, line, strlen(line));
}

__attribute__((noreturn)) static inline void wl_die(const char *why)
{
	static const char prefix[] = "workload: ";

	wl_write(STDERR_FILENO, prefix, sizeof(prefix) - 1);
	wl_write(STDERR_FILENO, why, strlen(why));
	wl_write(STDERR_FILENO, "\n", 1);
	_exit(3);
}

/* Stands between an allocator call and its use: the compiler may neither drop the call nor turn it
 * into a jump, which would take the site's frame off the stack. */
static inline void *wl_kept(void *block)
{
	__asm__ volatile("" : "+r"(block) : : "memory");
	return block;
}

/* Hides a size that would be refused at compile time. */
static inline size_t wl_opaque(size_t size)
{
	__asm__ volatile("" : "+r"(size));
	return size;
}

static inline uint64_t wl_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

static inline uint64_t wl_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* CPU time of the thread. */
static inline uint64_t wl_thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline void wl_sleep_ns(uint64_t ns)
{
	struct timespec left;

	left.tv_sec = (time_t)(ns / 1000000000u);
	left.tv_nsec = (long)(ns % 1000000000u);
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

static inline void wl_alloc(struct wl_tally *tally, unsigned int site, size_t size)
{
	tally->site[site].alloc_count++;
	tally->site[site].alloc_bytes += size;
}

static inline void wl_free(struct wl_tally *tally, unsigned int site, size_t size)
{
	if (site == WL_BEFORE) {
		tally->untracked_frees++;
		return;
	}
	tally->site[site].free_count++;
	tally->site[site].free_bytes += size;
}

/* Options are "--name VALUE", or "--name" for a flag; the table ends with a null name. */
static inline void wl_options(int argc, char **argv, const struct wl_option *table)
{
	for (int i = 1; i < argc; i++) {
		const struct wl_option *option = table;
		char *end;

		while (option->name && strcmp(option->name, argv[i]))
			option++;
		if (!option->name)
			wl_die("unknown option");
		if (option->flag) {
			*option->flag = 1;
			continue;
		}
		if (++i == argc)
			wl_die("option without a value");
		if (option->text) {
			*option->text = argv[i];
			continue;
		}
		*option->number = strtoull(argv[i], &end, 10);
		if (end == argv[i] || *end)
			wl_die("value is not a number");
	}
}

/* Reads one line, without its end. Returns its length, or -1 at the end of the input. */
static inline int wl_line(char *line, size_t size)
{
	size_t used = 0;

	for (;;) {
		char c;
		ssize_t n = read(STDIN_FILENO, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		if (c == '\n')
			break;
		if (used + 1 < size)
			line[used++] = c;
	}
	line[used] = 0;
	return (int)used;
}

/* Waits for a line. When the input ends the test that started this process is gone, and so is the
 * reason to run. */
static inline void wl_expect(const char *word)
{
	char line[64];

	do {
		if (wl_line(line, sizeof(line)) < 0)
			_exit(0);
		if (!strcmp(line, "quit"))
			_exit(0);
	} while (strcmp(line, word));
}

__attribute__((noreturn)) static inline void wl_park(void)
{
	for (;;)
		wl_expect("quit");
}

/* How a thread ends: an exit would free its caches. */
__attribute__((noreturn)) static inline void wl_rest(void)
{
	for (;;)
		pause();
}

/* Says "ready PID", returns at "go". */
static inline void wl_ready(void)
{
	char line[32];

	snprintf(line, sizeof(line), "ready %d\n", (int)getpid());
	wl_say(line);
	wl_expect("go");
}

__attribute__((format(printf, 2, 3))) static inline void wl_print(
	struct wl_buffer *out, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out->text + out->used, sizeof(out->text) - out->used, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(out->text) - out->used)
		wl_die("truth does not fit its buffer");
	out->used += (size_t)n;
}

static inline void wl_print_count(struct wl_buffer *out, const struct wl_count *count)
{
	wl_print(out, "\"alloc_count\":%llu,\"alloc_bytes\":%llu,",
		(unsigned long long)count->alloc_count, (unsigned long long)count->alloc_bytes);
	wl_print(out, "\"free_count\":%llu,\"free_bytes\":%llu,",
		(unsigned long long)count->free_count, (unsigned long long)count->free_bytes);
	wl_print(out, "\"live_count\":%llu,\"live_bytes\":%llu",
		(unsigned long long)(count->alloc_count - count->free_count),
		(unsigned long long)(count->alloc_bytes - count->free_bytes));
}

static inline void wl_merge(struct wl_tally *sum, const struct wl_tally *part)
{
	for (int i = 0; i < WL_SITES_MAX; i++) {
		sum->site[i].alloc_count += part->site[i].alloc_count;
		sum->site[i].alloc_bytes += part->site[i].alloc_bytes;
		sum->site[i].free_count += part->site[i].free_count;
		sum->site[i].free_bytes += part->site[i].free_bytes;
	}
	sum->failed_count += part->failed_count;
	sum->untracked_frees += part->untracked_frees;
}

/*
 * Writes the truth; path may be null. names[i] is the name of site i, or null where its truth is
 * not known. Without totals (a workload whose threads start and end between "ready" and "done"
 * makes the C library allocate) only the sites can be compared.
 */
static inline void wl_truth(const char *path, const char *const *names, unsigned int sites,
	const struct wl_tally *tally, int totals)
{
	static struct wl_buffer out;
	struct wl_count sum = { 0, 0, 0, 0 };
	const char *comma = "";
	int fd;

	if (!path)
		return;
	wl_print(&out, "{\"sites\":{");
	for (unsigned int i = 0; i < sites; i++) {
		if (!names[i])
			continue;
		wl_print(&out, "%s\n\"%s\":{", comma, names[i]);
		wl_print_count(&out, &tally->site[i]);
		wl_print(&out, "}");
		comma = ",";
		sum.alloc_count += tally->site[i].alloc_count;
		sum.alloc_bytes += tally->site[i].alloc_bytes;
		sum.free_count += tally->site[i].free_count;
		sum.free_bytes += tally->site[i].free_bytes;
	}
	wl_print(&out, "}");
	if (totals) {
		wl_print(&out, ",\n\"totals\":{");
		wl_print_count(&out, &sum);
		wl_print(&out, ",\"failed_count\":%llu,\"untracked_frees\":%llu}",
			(unsigned long long)tally->failed_count,
			(unsigned long long)tally->untracked_frees);
	}
	wl_print(&out, "}\n");

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		wl_die("cannot write the truth");
	wl_write(fd, out.text, out.used);
	close(fd);
}

#endif
