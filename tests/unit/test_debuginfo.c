// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Debug information where compilers, objcopy, dwz and Fedora's packagers put it: functions that were
 * inlined, separate debug files and who may be one, supplements, packed symbol tables.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../include/frame.h"
#include "../../user/symbol/debugfile.h"
#include "../../user/symbol/path.h"
#include "../../user/symbol/symbols.h"

/* A library whose call of hook() stands in inner, which is inlined into middle and that into outer. */
static const char source[] =
	"void *(*hook)(void);\n"
	"static volatile int sink;\n"
	"static inline __attribute__((always_inline)) void *inner(void *(*call)(void))\n"
	"{\n"
	"	sink = 1;\n"
	"	void *address = call();\n" /* line 6 */
	"	sink = 2;\n"
	"	return address;\n"
	"}\n"
	"static inline __attribute__((always_inline)) void *middle(int n)\n"
	"{\n"
	"	sink = n;\n"
	"	return inner(hook);\n" /* line 13 */
	"}\n"
	"static __attribute__((noinline)) void *outer(int n)\n"
	"{\n"
	"	void *address = middle(n + 1);\n" /* line 17 */
	"	sink = 3;\n"
	"	return address;\n"
	"}\n"
	"void *run(int n)\n"
	"{\n"
	"	void *address = outer(n);\n"
	"	sink = 4;\n"
	"	return address;\n"
	"}\n";

struct library {
	char directory[32];
	uint64_t call; /* return address - 1 of the call of hook(), in the library's space */
	char build_id[64];
	struct debugfile_finder finder; /* whose root directory is below ours */
	atomic_bool cancelled;
};

static void shell(const struct library *l, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void shell(const struct library *l, const char *format, ...)
{
	char command[1024], all[2048];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	snprintf(all, sizeof(all), "cd %s && { %s; } >log 2>&1 || { cat log >&2; exit 1; }",
		l->directory, command);
	assert_int_equal(system(all), 0);
}

static void need(const char *program)
{
	char command[256];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
	if (system(command)) {
		print_message("skipped: no %s\n", program);
		skip();
	}
}

static __attribute__((noinline)) void *return_address(void)
{
	return __builtin_return_address(0);
}

static void *(*volatile return_address_of)(void) = return_address;

static uint64_t find_call(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	struct link_map *map;
	void *(*run)(int), **hook;
	uint64_t call;

	assert_non_null(library);
	hook = dlsym(library, "hook");
	*(void **)&run = dlsym(library, "run");
	assert_true(hook && run && !dlinfo(library, RTLD_DI_LINKMAP, &map));
	*hook = (void *)return_address_of;
	call = (uintptr_t)run(1) - map->l_addr - 1;
	dlclose(library);
	return call;
}

static void read_build_id(struct library *l, int fd)
{
	struct debuglinks links;

	assert_int_equal(debuglinks_read(fd, &links), 0);
	assert_true(links.id.length >= 2);
	for (uint32_t i = 0; i < links.id.length; i++)
		sprintf(l->build_id + 2 * i, "%02x", links.id.bytes[i]);
}

static int open_file(const struct library *l, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", l->directory, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* Makes lib.so in a directory of its own, with symbols and debug information. */
static void build(struct library *l, const char *compiler)
{
	char path[128];
	FILE *file;
	int fd;

	snprintf(path, sizeof(path), "%.*s", (int)strcspn(compiler, " "), compiler);
	need(path);
	need("objcopy");
	*l = (struct library){ .directory = "/tmp/test_debuginfo.XXXXXX" };
	assert_non_null(mkdtemp(l->directory));
	snprintf(path, sizeof(path), "%s/lib.c", l->directory);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(source, file);
	fclose(file);
	shell(l, "%s -O2 -g -shared -fPIC -Wl,--build-id -o lib.so ./lib.c", compiler);
	snprintf(path, sizeof(path), "%s/lib.so", l->directory);
	l->call = find_call(path);
	assert_int_equal(debugfile_open(&l->finder, 0, &l->cancelled), 0);
	close(l->finder.host);
	shell(l, "mkdir -p root/app root/usr/lib/debug/.build-id root/usr/lib/debug/app");
	snprintf(path, sizeof(path), "%s/root", l->directory);
	l->finder.host = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(l->finder.host >= 0);
	fd = open_file(l, "lib.so");
	read_build_id(l, fd);
	close(fd);
}

static void remove_library(struct library *l)
{
	char command[64];

	debugfile_close(&l->finder);
	snprintf(command, sizeof(command), "rm -rf %s", l->directory);
	assert_int_equal(system(command), 0);
}

/* The debug file of lib.so as lib.debug, and what is left without it as stripped.so. */
static void split(const struct library *l, const char *options)
{
	shell(l,
		"objcopy --only-keep-debug lib.so lib.debug && "
		"objcopy --strip-all %s lib.so stripped.so",
		options);
}

/* The answer about the call. */
struct chain {
	struct buffer answer;
	const struct symbols_level *levels;
	uint32_t count;
};

static void ask(struct chain *c, const int *files, uint64_t address)
{
	struct symbols_query query = { .address = address, .is_call = 1 };
	struct buffer in = { .data = (uint8_t *)&query, .length = sizeof(query) };
	const struct symbols_answer *a;

	*c = (struct chain){ 0 };
	assert_int_equal(parse_request(&symbols_parser, files, SYMBOLS_FILES, &in, &c->answer), 0);
	a = (const void *)c->answer.data;
	c->levels = (const void *)(c->answer.data + a->levels);
	c->count = a->level_count;
}

static void release_chain(struct chain *c)
{
	buffer_release(&c->answer);
}

static const char *text(const struct chain *c, uint32_t at)
{
	return at == SYMBOLS_NO_TEXT ? NULL : (const char *)c->answer.data + at;
}

static void check_level(const struct chain *c, uint32_t i, const char *function, uint32_t line,
	const char *directory)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/lib.c", directory);
	assert_non_null(text(c, c->levels[i].function));
	assert_string_equal(text(c, c->levels[i].function), function);
	assert_non_null(text(c, c->levels[i].file));
	assert_string_equal(text(c, c->levels[i].file), path);
	assert_int_equal(c->levels[i].line, line);
}

static void check_whole(const struct library *l, const int *files)
{
	struct chain c CLEANUP(release_chain);

	ask(&c, files, l->call);
	assert_int_equal(c.count, 3);
	check_level(&c, 0, "inner", 6, l->directory);
	check_level(&c, 1, "middle", 13, l->directory);
	check_level(&c, 2, "outer", 17, l->directory);
}

/* What is found by the finder for stripped.so at a path: all names, or none at all. */
static bool finds_names(struct library *l, const char *path)
{
	int fd = open_file(l, "stripped.so");
	struct debugfiles found = debugfile_find(&l->finder, fd, path);
	const int files[] = { fd, found.debug, found.supplementary };
	struct chain c CLEANUP(release_chain);
	bool any = found.debug >= 0;

	ask(&c, files, l->call);
	if (any)
		check_whole(l, files);
	else
		assert_null(text(&c, c.levels[0].function));
	cleanup_close(&found.debug);
	cleanup_close(&found.supplementary);
	close(fd);
	return any;
}

/* --- inlines --------------------------------------------------------------------------------- */

static void check_compiler(const char *compiler)
{
	struct library l CLEANUP(remove_library);
	int files[] = { -1, -1, -1 };

	build(&l, compiler);
	files[SYMBOLS_MODULE] = open_file(&l, "lib.so");
	check_whole(&l, files);
	close(files[SYMBOLS_MODULE]);
}

static void test_inlines_gcc(void **state)
{
	(void)state;
	check_compiler("gcc");
}

static void test_inlines_gcc_dwarf4(void **state)
{
	(void)state;
	need("gcc");
	check_compiler("gcc -gdwarf-4");
}

static void test_inlines_clang(void **state)
{
	(void)state;
	check_compiler("clang");
}

static void test_inlines_compressed(void **state)
{
	(void)state;
	need("gcc");
	check_compiler("gcc -gz");
}

/* --- separate debug files -------------------------------------------------------------------- */

static void install_by_id(struct library *l, const char *name)
{
	shell(l,
		"mkdir -p root/usr/lib/debug/.build-id/%.2s && cp %s "
		"root/usr/lib/debug/.build-id/%.2s/%s.debug",
		l->build_id, name, l->build_id, l->build_id + 2);
}

static void test_build_id(void **state)
{
	struct library l CLEANUP(remove_library);

	(void)state;
	build(&l, "gcc");
	split(&l, "");
	assert_false(finds_names(&l, "/app/lib.so"));
	install_by_id(&l, "lib.debug");
	assert_true(finds_names(&l, "/app/lib.so"));
	/* also of a file that has no path any more */
	assert_true(finds_names(&l, "/memfd:x"));
	assert_true(finds_names(&l, ""));
}

static void test_build_id_of_another(void **state)
{
	struct library l CLEANUP(remove_library);

	(void)state;
	build(&l, "gcc");
	split(&l, "");
	shell(&l, "gcc -O2 -g -DX -shared -fPIC -Wl,--build-id=0x1234 -o other.so lib.c");
	install_by_id(&l, "other.so");
	assert_false(finds_names(&l, "/app/lib.so"));
	install_by_id(&l, "lib.c");
	assert_false(finds_names(&l, "/app/lib.so"));
	install_by_id(&l, "stripped.so"); /* the right id, but nothing to tell */
	assert_false(finds_names(&l, "/app/lib.so"));
}

/* In a container the paths are its own, and links in it lead nowhere else. */
static void test_build_id_in_container(void **state)
{
	struct library l CLEANUP(remove_library);
	int outside;

	(void)state;
	build(&l, "gcc");
	split(&l, "");
	install_by_id(&l, "lib.debug");
	outside = open("/proc/self/fdinfo", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(outside >= 0);
	l.finder.target = l.finder.host;
	l.finder.host = outside;
	assert_true(finds_names(&l, "/app/lib.so"));
	shell(&l,
		"rm root/usr/lib/debug/.build-id/%.2s/* && "
		"ln -s $PWD/lib.debug root/usr/lib/debug/.build-id/%.2s/%s.debug",
		l.build_id, l.build_id, l.build_id + 2);
	assert_false(finds_names(&l, "/app/lib.so"));
	shell(&l,
		"cp lib.debug root/app && ln -sf /app/lib.debug "
		"root/usr/lib/debug/.build-id/%.2s/%s.debug",
		l.build_id, l.build_id + 2);
	assert_true(finds_names(&l, "/app/lib.so"));
}

static void test_debug_link(void **state)
{
	static const char *const places[] = { "app", "app/.debug", "usr/lib/debug/app" };
	struct library l CLEANUP(remove_library);

	(void)state;
	build(&l, "gcc");
	split(&l, "--add-gnu-debuglink=lib.debug");
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		assert_false(finds_names(&l, "/app/lib.so"));
		shell(&l, "mkdir -p root/%s && cp lib.debug root/%s", places[i], places[i]);
		assert_true(finds_names(&l, "/app/lib.so"));
		assert_false(finds_names(&l, "/elsewhere/lib.so"));
		assert_false(finds_names(&l, "[vdso]"));
		shell(&l, "rm root/%s/lib.debug", places[i]);
	}
}

static void test_debug_link_wrong_crc(void **state)
{
	struct library l CLEANUP(remove_library);

	(void)state;
	build(&l, "gcc");
	split(&l, "--add-gnu-debuglink=lib.debug");
	shell(&l, "cp lib.debug root/app && echo x >>root/app/lib.debug");
	assert_false(finds_names(&l, "/app/lib.so"));
	/* the next place is tried all the same */
	shell(&l, "mkdir root/app/.debug && cp lib.debug root/app/.debug");
	assert_true(finds_names(&l, "/app/lib.so"));
}

static void in_child(void (*function)(struct library *l), struct library *l)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		alarm(20); /* who opens a FIFO waits for ever */
		function(l);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void find_nothing(struct library *l)
{
	int fd = open_file(l, "stripped.so");
	struct debugfiles found = debugfile_find(&l->finder, fd, "/app/lib.so");

	_exit(found.debug >= 0 || found.supplementary >= 0);
}

static void test_debug_link_to_no_file(void **state)
{
	struct library l CLEANUP(remove_library);

	(void)state;
	build(&l, "gcc");
	split(&l, "--add-gnu-debuglink=lib.debug");
	shell(&l, "mkfifo root/app/lib.debug");
	in_child(find_nothing, &l);
	shell(&l, "rm root/app/lib.debug && mkdir root/app/lib.debug");
	in_child(find_nothing, &l);
	shell(&l, "rmdir root/app/lib.debug && ln -s /proc/self/fd/0 root/app/lib.debug");
	in_child(find_nothing, &l);
}

/* The name is one of a file, not a way to one. */
static void test_debug_link_with_directories(void **state)
{
	struct library l CLEANUP(remove_library);

	(void)state;
	build(&l, "gcc");
	split(&l, "--add-gnu-debuglink=lib.debug");
	shell(&l, "cp lib.debug root/lib.debug && objcopy --dump-section .gnu_debuglink=link "
		  "stripped.so && "
		  "{ printf '../lib.debug\\0\\0\\0\\0'; tail -c 4 link; } >link2 && "
		  "objcopy --update-section .gnu_debuglink=link2 stripped.so");
	assert_false(finds_names(&l, "/app/lib.so"));
	shell(&l, "printf '' >link3 && objcopy --update-section .gnu_debuglink=link3 stripped.so");
	assert_false(finds_names(&l, "/app/lib.so"));
	shell(&l, "printf 'unended' >link3 && objcopy --update-section .gnu_debuglink=link3 "
		  "stripped.so");
	assert_false(finds_names(&l, "/app/lib.so"));
}

static void test_cancelled(void **state)
{
	struct library l CLEANUP(remove_library);

	(void)state;
	build(&l, "gcc");
	split(&l, "");
	install_by_id(&l, "lib.debug");
	atomic_store(&l.cancelled, true);
	assert_false(finds_names(&l, "/app/lib.so"));
}

/* --- supplements ----------------------------------------------------------------------------- */

/* Two libraries that share enough for dwz to take it out: its name is common.dwz. */
static void build_dwz(struct library *l)
{
	need("dwz");
	build(l, "gcc -gdwarf-4");
	shell(l, "i=0; while [ $i -lt 200 ]; do echo \"struct s$i { int a$i; struct s$i *next; }; "
		 "struct s$i *v$i;\"; i=$((i + 1)); done >more.h && "
		 "{ echo '#include \"more.h\"'; cat lib.c; } >one.c && cp one.c two.c && "
		 "for f in one two; do gcc -O2 -gdwarf-4 -shared -fPIC -Wl,--build-id -o $f.so "
		 "$f.c; done && "
		 "dwz -m common.dwz one.so two.so && readelf -S one.so | grep -q gnu_debugaltlink");
}

static void test_dwz(void **state)
{
	struct library l CLEANUP(remove_library);
	struct chain c CLEANUP(release_chain);
	struct debugfiles found;
	char path[128];
	int files[] = { -1, -1, -1 };

	(void)state;
	build_dwz(&l);
	snprintf(path, sizeof(path), "%s/one.so", l.directory);
	l.call = find_call(path);
	files[SYMBOLS_MODULE] = open_file(&l, "one.so");
	/* the name is seen from the library's directory */
	shell(&l, "cp common.dwz root/app");
	found = debugfile_find(&l.finder, files[SYMBOLS_MODULE], "/app/one.so");
	assert_true(found.debug < 0 && found.supplementary >= 0);
	files[SYMBOLS_SUPPLEMENTARY] = found.supplementary;
	ask(&c, files, l.call);
	assert_int_equal(c.count, 3);
	assert_string_equal(text(&c, c.levels[0].function), "inner");
	assert_string_equal(text(&c, c.levels[1].function), "middle");
	assert_string_equal(text(&c, c.levels[2].function), "outer");
	assert_int_equal(c.levels[0].line, 7);
	close(found.supplementary);
	close(files[SYMBOLS_MODULE]);
}

/* One of another build is none, and without one nothing that the file names is opened. */
static void test_dwz_wrong_or_missing(void **state)
{
	struct library l CLEANUP(remove_library);
	struct chain c CLEANUP(release_chain);
	int files[] = { -1, -1, -1 };
	struct debugfiles found;

	(void)state;
	build_dwz(&l);
	files[SYMBOLS_MODULE] = open_file(&l, "one.so");
	shell(&l, "cp lib.so root/app/common.dwz");
	found = debugfile_find(&l.finder, files[SYMBOLS_MODULE], "/app/one.so");
	assert_true(found.supplementary < 0);
	shell(&l, "rm root/app/common.dwz && mkfifo root/app/common.dwz && rm common.dwz && mkfifo "
		  "common.dwz");
	found = debugfile_find(&l.finder, files[SYMBOLS_MODULE], "/app/one.so");
	assert_true(found.supplementary < 0);
	ask(&c, files, l.call); /* would open the FIFO and wait */
	assert_true(c.count >= 1);
	close(files[SYMBOLS_MODULE]);
}

/* --- .gnu_debugdata -------------------------------------------------------------------------- */

/* As Fedora's find-debuginfo does it: the functions that .dynsym lacks. */
static void add_minidebug(struct library *l)
{
	need("xz");
	split(l, "");
	shell(l, "nm -D lib.so --format=posix --defined-only | awk '{print $1}' | sort >dynsyms && "
		 "nm lib.so --format=posix --defined-only | awk '$2 ~ /[Tt]/ {print $1}' | sort "
		 ">funcsyms && "
		 "comm -13 dynsyms funcsyms >keep && "
		 "objcopy -S --remove-section .gdb_index --remove-section .comment "
		 "--keep-symbols=keep lib.debug mini && xz -k mini && "
		 "objcopy --add-section .gnu_debugdata=mini.xz stripped.so");
}

static void test_minidebug(void **state)
{
	struct library l CLEANUP(remove_library);
	struct chain c CLEANUP(release_chain);
	int files[] = { -1, -1, -1 };

	(void)state;
	build(&l, "gcc");
	add_minidebug(&l);
	files[SYMBOLS_MODULE] = open_file(&l, "stripped.so");
	ask(&c, files, l.call);
	assert_int_equal(c.count, 1);
	assert_non_null(text(&c, c.levels[0].function));
	assert_string_equal(text(&c, c.levels[0].function), "outer");
	close(files[SYMBOLS_MODULE]);
}

static void check_broken(struct library *l, const char *command)
{
	struct chain c CLEANUP(release_chain);
	int files[] = { -1, -1, -1 };

	shell(l, "%s && objcopy --update-section .gnu_debugdata=broken stripped.so", command);
	files[SYMBOLS_MODULE] = open_file(l, "stripped.so");
	ask(&c, files, l->call);
	assert_int_equal(c.count, 1);
	assert_null(text(&c, c.levels[0].function));
	close(files[SYMBOLS_MODULE]);
}

static void test_minidebug_broken(void **state)
{
	struct library l CLEANUP(remove_library);

	(void)state;
	build(&l, "gcc");
	add_minidebug(&l);
	check_broken(&l, "echo no xz >broken");
	check_broken(&l, "head -c 200 mini.xz >broken");
	check_broken(&l, "head -c 50000 /dev/zero | xz >broken");
	check_broken(&l, "head -c 300000000 /dev/zero | xz -1 >broken"); /* more than it may be */
	check_broken(&l, "{ cat mini; head -c 100 /dev/zero; } | head -c 300 | xz >broken");
}

/* --- paths ----------------------------------------------------------------------------------- */

static void test_paths(void **state)
{
	static const char *const cases[][2] = {
		{ "/a/b.c", "/a/b.c" },
		{ "/a/./b//c.c", "/a/b/c.c" },
		{ "/a/b/../c.c", "/a/c.c" },
		{ "/a/b/../../c.c", "/c.c" },
		{ "/../c.c", "/c.c" },
		{ "/a/..", "/" },
		{ "../c.c", "../c.c" },
		{ "a/../../c.c", "../c.c" },
		{ "../../a/../c.c", "../../c.c" },
		{ "./a/b/", "a/b" },
		{ "a/..", "." },
		{ "...//..a/b..", ".../..a/b.." },
		{ "/", "/" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[64];

		snprintf(path, sizeof(path), "%s", cases[i][0]);
		path_clean(path);
		assert_string_equal(path, cases[i][1]);
	}
}

static int setup(void **state)
{
	(void)state;
	unsetenv("DEBUGINFOD_URLS");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inlines_gcc),
		cmocka_unit_test(test_inlines_gcc_dwarf4),
		cmocka_unit_test(test_inlines_clang),
		cmocka_unit_test(test_inlines_compressed),
		cmocka_unit_test(test_build_id),
		cmocka_unit_test(test_build_id_of_another),
		cmocka_unit_test(test_build_id_in_container),
		cmocka_unit_test(test_debug_link),
		cmocka_unit_test(test_debug_link_wrong_crc),
		cmocka_unit_test(test_debug_link_to_no_file),
		cmocka_unit_test(test_debug_link_with_directories),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_dwz),
		cmocka_unit_test(test_dwz_wrong_or_missing),
		cmocka_unit_test(test_minidebug),
		cmocka_unit_test(test_minidebug_broken),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests_name("debuginfo", tests, setup, NULL);
}
