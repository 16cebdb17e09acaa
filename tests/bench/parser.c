// SPDX-License-Identifier: GPL-2.0-or-later
/* What the parsers' sandbox costs: the C library's functions, found in process and in a child. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../user/base/parse.h"
#include "../../user/target/allocator.h"
#include "bench.h"
#include "parser.h"
#include "stats.h"

#define ROUNDS_MAX 64u

static const struct parser *const parsers[] = { &elf_parser };

void parser_child(char **argv)
{
	parse_sandbox(argv, parsers, ARRAY_SIZE(parsers));
}

static int open_libc(struct dl_phdr_info *info, size_t size, void *fd)
{
	(void)size;
	if (!strstr(info->dlpi_name, "/libc.so"))
		return 0;
	*(int *)fd = open(info->dlpi_name, O_RDONLY | O_CLOEXEC);
	return 1;
}

enum time_id { IN_PROCESS, IN_CHILD, FIRST, TIMES };

/* Milliseconds, by round. */
static int measure(int fd, const struct buffer *names, double ms[TIMES][ROUNDS_MAX], size_t rounds)
{
	struct buffer out CLEANUP_BUFFER = { 0 };
	int rc = 0;

	for (size_t i = 0; !rc && i < rounds; i++) {
		uint64_t start_ns = bench_now_ns();

		buffer_clear(&out);
		rc = elf_parser.run(&fd, 1, names, &out);
		ms[IN_PROCESS][i] = (bench_now_ns() - start_ns) / 1e6;
		parse_sandbox_end();
		for (int id = FIRST; !rc && id >= IN_CHILD; id--) {
			start_ns = bench_now_ns();
			rc = parse_file(&elf_parser, fd, names, &out);
			ms[id][i] = (bench_now_ns() - start_ns) / 1e6;
		}
	}
	parse_sandbox_end();
	return rc;
}

int bench_parser(const struct bench_opts *opts)
{
	static const char *const what[TIMES] = { "libc's functions, in process",
		"the same, in a child that runs", "the same, a child started for it" };
	static double ms[TIMES][ROUNDS_MAX];
	struct buffer names CLEANUP_BUFFER = { 0 };
	size_t rounds = opts->rounds < ROUNDS_MAX ? opts->rounds : ROUNDS_MAX;
	int fd = -1, rc = allocator_names(&names);

	dl_iterate_phdr(open_libc, &fd);
	if (!rc)
		rc = measure(fd, &names, ms, rounds);
	close(fd);
	if (rc)
		return bench_err(rc, "cannot parse the C library: %s", strerror(-rc));
	printf("parser sandbox: %zu rounds\n\n", rounds);
	printf("%-34s %10s %10s %10s   %s\n", "", "median ms", "min ms", "max ms", "in process");
	for (int id = 0; id < TIMES; id++)
		printf("%-34s %10.2f %10.2f %10.2f   %.2f\n", what[id],
			stats_median(ms[id], rounds), stats_min(ms[id], rounds),
			stats_max(ms[id], rounds),
			stats_median(ms[id], rounds) / stats_median(ms[IN_PROCESS], rounds));
	return 0;
}
