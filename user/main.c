// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/parse.h"
#include "cli/commands.h"
#include "symbol/debuglinks.h"
#include "symbol/perfmap.h"
#include "symbol/symbols.h"
#include "target/elf.h"
#include "target/identity.h"
#include "target/runtime.h"
#include "target/unwind.h"

static const struct command *const commands[] = { &leaks_command, &record_command, &mark_command,
	&report_command, &diff_command, &ps_command, &doctor_command };
/* All that reads foreign bytes: it runs in a sandbox. */
static const struct parser *const parsers[] = { &elf_parser, &identity_parser, &runtime_parser,
	&unwind_parser, &debuglinks_parser, &symbols_parser, &perfmap_parser };

static int help(void)
{
	puts("usage: heaptap COMMAND [OPTIONS]\n\n"
	     "Tells which code holds a live process's memory, and which code makes it "
	     "grow.\n\ncommands:");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-8s %s\n", commands[i]->name, commands[i]->help);
	puts("\n  heaptap COMMAND --help    the options of a command\n"
	     "  heaptap --version\n\n"
	     "exit codes: 0 ok; 1 failure; 2 usage; 3 a privilege or kernel feature is missing;\n"
	     "            4 the process is not there or has nothing to trace");
	return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

/* A closed 0, 1 or 2 would be given to a table or a link, and messages would go there. */
static void keep_standard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		/* Opened for the other direction: using it stays an error. */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0)
			_exit(EXIT_FAILED);
}

/* A process can have mapped more files than the usual 1024 that we may open. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		warn("cannot raise the limit of open files: %s", strerror(errno));
}

static int run_command(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(argv[1], commands[i]->name)) {
			int code = commands[i]->run(argc - 2, argv + 2);

			parse_sandbox_end();
			return code;
		}
	}
	err(-EINVAL, "unknown command '%s'; see heaptap --help", argv[1]);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	parse_sandbox(argv, parsers, ARRAY_SIZE(parsers));
	keep_standard_descriptors();
	raise_descriptor_limit();
	if (argc < 2) {
		err(-EINVAL, "no command; see heaptap --help");
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help();
	if (!strcmp(argv[1], "--version"))
		return puts("heaptap " HEAPTAP_VERSION) < 0 || fflush(stdout) ? EXIT_FAILED
									      : EXIT_OK;
	return run_command(argc, argv);
}
