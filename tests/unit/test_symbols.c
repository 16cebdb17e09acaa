// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names, lines and call instructions of this very program, which is built with -g; of C++ and Rust
 * names; and of files that are broken.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../user/symbol/symbolizer.h"
#include "../../user/symbol/symbols.h"
#include "../../user/target/elf.h"

/* No inlining, cloning or reordering: the frames must be what they look like. */
#ifdef __clang__
#define AS_WRITTEN __attribute__((noinline, optnone))
#else
#define AS_WRITTEN __attribute__((noipa))
#endif

static uintptr_t load_base;

static int find_base(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	(void)data;
	load_base = info->dlpi_addr; /* the program itself comes first */
	return 1;
}

static int setup(void **state)
{
	(void)state;
	/* No names from a server: this is about the file. */
	unsetenv("DEBUGINFOD_URLS");
	dl_iterate_phdr(find_base, NULL);
	return 0;
}

/* A symbolizer that knows one module, whose id is 0. */
struct one_file {
	struct symbolizer *symbols;
	int fd;
};

static void file_open(struct one_file *f, int fd)
{
	*f = (struct one_file){ symbolizer_new(), fd };
	assert_true(fd >= 0 && f->symbols);
	assert_int_equal(symbolizer_set_module(f->symbols, 0, "/a/file", fd), 0);
}

static void file_release(struct one_file *f)
{
	symbolizer_free(f->symbols);
	close(f->fd);
}

static struct symbol look_up(struct one_file *f, uint64_t frame)
{
	assert_int_equal(symbolizer_add(f->symbols, &frame, 1), 0);
	return symbolizer_find(f->symbols, frame);
}

/* Of the innermost level. */
static const char *name_of(struct symbol s)
{
	return s.levels[0].function;
}

static int self_fd(void)
{
	return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

static uint64_t call_frame(const void *return_address)
{
	return ht_frame_native(HT_FRAME_CALL, 0, (uintptr_t)return_address - 1 - load_base);
}

static uint64_t pc_frame(const void *pc)
{
	return ht_frame_native(HT_FRAME_PC, 0, (uintptr_t)pc - load_base);
}

/* --- ourselves ------------------------------------------------------------------------------- */

static AS_WRITTEN void *return_address(void)
{
	return __builtin_return_address(0);
}

static void *(*volatile return_address_pointer)(void) = return_address;
static uint32_t call_line;

static AS_WRITTEN void *calls_directly(int n)
{
	void *address;

	call_line = __LINE__ + 1;
	address = return_address();
	return n ? address : NULL; /* no tail call */
}

static AS_WRITTEN void *calls_by_pointer(int n)
{
	void *address;

	call_line = __LINE__ + 1;
	address = return_address_pointer();
	return n ? address : NULL;
}

/* The last instruction of its function, as calls of abort() are: the return address lies in the
 * next one. */
static void *last_address;
static jmp_buf back;

static AS_WRITTEN __attribute__((noreturn)) void jumps_back(void)
{
	last_address = __builtin_return_address(0);
	longjmp(back, 1);
}

static AS_WRITTEN __attribute__((noreturn)) void ends_in_call(void)
{
	call_line = __LINE__ + 1;
	jumps_back();
}

static bool ends_with(const char *text, const char *end)
{
	return text && strlen(text) >= strlen(end) &&
	       !strcmp(text + strlen(text) - strlen(end), end);
}

static void check_call(
	struct one_file *f, const void *address, const void *function, const char *name)
{
	const uint8_t *end = address, *call;
	struct symbol s = look_up(f, call_frame(address));

	assert_int_equal(s.level_count, 1);
	assert_non_null(name_of(s));
	assert_string_equal(name_of(s), name);
	assert_true(ends_with(s.levels[0].file, "tests/unit/test_symbols.c"));
	assert_int_equal(s.levels[0].line, call_line);
	call = (const uint8_t *)(load_base + s.address);
	assert_true(call < end && end - call <= 7);
	/* call rel32, or an indirect one, perhaps of r8 to r15 */
	assert_true(call[0] == 0xe8 || call[call[0] == 0x41] == 0xff);
	if (call[0] == 0xe8)
		assert_int_equal(end - call, 5);
	assert_int_equal(s.function_offset, call - (const uint8_t *)function);
}

static void test_calls(void **state)
{
	struct one_file f CLEANUP(file_release);

	(void)state;
	file_open(&f, self_fd());
	check_call(&f, calls_directly(1), (void *)calls_directly, "calls_directly");
	check_call(&f, calls_by_pointer(1), (void *)calls_by_pointer, "calls_by_pointer");
	if (!setjmp(back))
		ends_in_call();
	check_call(&f, last_address, (void *)ends_in_call, "ends_in_call");
}

/* Where a thread was interrupted: the instruction itself, not a call before it. */
static void test_pc(void **state)
{
	struct one_file f CLEANUP(file_release);
	struct symbol s;
	uint8_t *address;

	(void)state;
	file_open(&f, self_fd());
	address = calls_directly(1);
	s = look_up(&f, pc_frame(address));
	assert_string_equal(name_of(s), "calls_directly");
	assert_int_equal(s.address, (uintptr_t)address - load_base);
	assert_int_equal(s.function_offset, address - (uint8_t *)calls_directly);
	s = look_up(&f, pc_frame(address - 1));
	assert_int_equal(s.address, (uintptr_t)address - 1 - load_base);
	s = look_up(&f, pc_frame((void *)calls_by_pointer));
	assert_string_equal(name_of(s), "calls_by_pointer");
	assert_int_equal(s.function_offset, 0);
}

static void test_unknown(void **state)
{
	struct one_file f CLEANUP(file_release);
	struct symbol s;

	(void)state;
	file_open(&f, self_fd());
	s = look_up(&f, ht_frame_native(HT_FRAME_CALL, 0, 0x7fffffff00));
	assert_null(name_of(s));
	assert_null(s.levels[0].file);
	assert_int_equal(s.levels[0].line, 0);
	assert_int_equal(s.address, 0x7fffffff00);
	/* neither added nor of a known module */
	s = symbolizer_find(f.symbols, pc_frame((void *)calls_directly));
	assert_null(name_of(s));
	assert_int_equal(s.address, (uintptr_t)calls_directly - load_base);
	s = look_up(&f, ht_frame_native(HT_FRAME_CALL, 1, 0x1234));
	assert_null(name_of(s));
	assert_int_equal(s.address, 0x1234);
	s = look_up(&f, ht_frame_raw(1, 0x7f0000001234));
	assert_null(name_of(s));
	assert_int_equal(s.address, 0x7f0000001234);
	s = look_up(&f, ht_frame_native(HT_FRAME_MARKER, 0, 0x1234));
	assert_null(name_of(s));
	assert_int_equal(s.address, 0);
}

/* Many frames at once, some twice, some known already: each gets its own answer. */
static void test_many(void **state)
{
	struct one_file f CLEANUP(file_release);
	uint64_t one = pc_frame((void *)calls_directly);
	uint64_t frames[] = { pc_frame((void *)test_many), ht_frame_raw(0, 1),
		pc_frame((void *)return_address), one, pc_frame((void *)test_many),
		ht_frame_native(HT_FRAME_CALL, 3, 1), pc_frame((void *)test_pc), one };
	static const char *const names[] = { "test_many", NULL, "return_address", "calls_directly",
		"test_many", NULL, "test_pc", "calls_directly" };
	struct symbol first, second;

	(void)state;
	file_open(&f, self_fd());
	first = look_up(&f, one);
	assert_int_equal(symbolizer_add(f.symbols, frames, ARRAY_SIZE(frames)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		struct symbol s = symbolizer_find(f.symbols, frames[i]);

		if (!names[i])
			assert_null(name_of(s));
		else
			assert_string_equal(name_of(s), names[i]);
	}
	/* looked up once: the text of then is the text of now */
	second = symbolizer_find(f.symbols, one);
	assert_ptr_equal(name_of(first), name_of(second));
	assert_int_equal(symbolizer_add(f.symbols, NULL, 0), 0);
}

/* --- names of other languages ---------------------------------------------------------------- */

/* Symbols as C++ and Rust compilers write them, old and new. */
int cxx_name(void) __asm__("_ZN5outer5innerINS_3keyEEEiRKSt6vectorIT_SaIS3_EE");
int rust_legacy_name(void) __asm__("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE");
int rust_v0_name(void) __asm__("_RNvCs1234_7mycrate3foo");
int broken_name(void) __asm__("_ZN5outer5inn");

AS_WRITTEN int cxx_name(void)
{
	return 1;
}

AS_WRITTEN int rust_legacy_name(void)
{
	return 2;
}

AS_WRITTEN int rust_v0_name(void)
{
	return 3;
}

AS_WRITTEN int broken_name(void)
{
	return 4;
}

static void test_demangled(void **state)
{
	struct one_file f CLEANUP(file_release);

	(void)state;
	file_open(&f, self_fd());
	assert_string_equal(name_of(look_up(&f, pc_frame((void *)cxx_name))),
		"int outer::inner<outer::key>(std::vector<outer::key, std::allocator<outer::key> > "
		"const&)");
	assert_string_equal(name_of(look_up(&f, pc_frame((void *)rust_legacy_name))),
		"core::fmt::Formatter::pad");
	assert_string_equal(name_of(look_up(&f, pc_frame((void *)rust_v0_name))), "mycrate::foo");
	assert_string_equal(name_of(look_up(&f, pc_frame((void *)broken_name))), "_ZN5outer5inn");
}

static const char cxx_source[] = "#include <string>\n"
				 "namespace shop {\n"
				 "template <typename T> struct cart {\n"
				 "	void *add(const T &item);\n"
				 "};\n"
				 "template <typename T> void *cart<T>::add(const T &)\n"
				 "{\n"
				 "	return this;\n" /* line 8 */
				 "}\n"
				 "template struct cart<int>;\n"
				 "}\n";

/* Compiles the source; the library's descriptor, or -1. */
static int compile_cxx(const char *directory)
{
	char command[512], path[128];
	FILE *source;
	int fd = -1;

	snprintf(path, sizeof(path), "%s/shop.cc", directory);
	source = fopen(path, "w");
	assert_non_null(source);
	fputs(cxx_source, source);
	fclose(source);
	snprintf(command, sizeof(command),
		"cd %s && g++ -g -O1 -shared -fPIC -o shop.so shop.cc >log 2>&1", directory);
	if (!system(command)) {
		snprintf(path, sizeof(path), "%s/shop.so", directory);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	assert_int_equal(system(command), 0);
	return fd;
}

static void test_cxx(void **state)
{
	static const char mangled[] = "_ZN4shop4cartIiE3addERKi";
	const struct buffer in = { .data = (uint8_t *)mangled, .length = sizeof(mangled) };
	struct buffer out CLEANUP_BUFFER = { 0 };
	char directory[] = "/tmp/test_symbols.XXXXXX";
	const struct elf_info *info;
	struct one_file f;
	struct symbol s;
	int fd;

	(void)state;
	if (system("command -v g++ >/dev/null")) {
		print_message("skipped: no g++\n");
		skip();
	}
	assert_non_null(mkdtemp(directory));
	fd = compile_cxx(directory);
	assert_true(fd >= 0);
	assert_int_equal(parse_file(&elf_parser, fd, &in, &out), 0);
	info = (const void *)out.data;
	assert_int_equal(info->function_count, 1);
	file_open(&f, fd);
	s = look_up(&f, ht_frame_native(HT_FRAME_PC, 0, info->functions[0].address));
	assert_string_equal(name_of(s), "shop::cart<int>::add(int const&)");
	assert_true(ends_with(s.levels[0].file, "/shop.cc"));
	assert_true(s.levels[0].line >= 6 && s.levels[0].line <= 9);
	assert_int_equal(s.function_offset, 0);
	file_release(&f);
}

/* --- broken files ---------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int memory_file(const void *bytes, size_t length)
{
	int fd = memfd_create("test_symbols", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	return fd;
}

/* Looks up some addresses of ours. What a broken file says may be wrong, but must be whole. */
static bool try_file(int fd)
{
	const uint64_t frames[] = { call_frame(calls_directly(1)), pc_frame((void *)test_pc),
		ht_frame_native(HT_FRAME_CALL, 0, 0), ht_frame_native(HT_FRAME_CALL, 0, 1),
		ht_frame_native(HT_FRAME_CALL, 0, HT_FRAME_OFFSET_MAX) };
	struct one_file f;
	bool known = false;

	file_open(&f, dup(fd));
	assert_int_equal(symbolizer_add(f.symbols, frames, ARRAY_SIZE(frames)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		struct symbol s = symbolizer_find(f.symbols, frames[i]);

		known |= name_of(s) && strlen(name_of(s));
		assert_true(!s.levels[0].file || strlen(s.levels[0].file) < 100000);
	}
	file_release(&f);
	return known;
}

static void test_no_elf(void **state)
{
	static const char text[] = "#!/bin/sh\n";
	int fds[] = { memory_file("", 0), memory_file(text, sizeof(text)),
		memory_file("\177ELF\2\1\1", 7), open("/tmp", O_RDONLY | O_CLOEXEC),
		open("/dev/null", O_RDONLY | O_CLOEXEC) };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		assert_false(try_file(fds[i]));
		close(fds[i]);
	}
}

static void test_unopened(void **state)
{
	struct symbolizer *symbols = symbolizer_new();
	uint64_t frame = pc_frame((void *)test_pc);
	struct symbol s;

	(void)state;
	assert_non_null(symbols);
	assert_int_equal(symbolizer_set_module(symbols, 0, "gone", -1), 0);
	assert_int_equal(symbolizer_add(symbols, &frame, 1), 0);
	s = symbolizer_find(symbols, frame);
	assert_null(name_of(s));
	assert_int_equal(s.address, (uintptr_t)test_pc - load_base);
	symbolizer_free(symbols);
	symbolizer_free(NULL);
}

static void test_truncated(void **state)
{
	struct buffer bytes CLEANUP_BUFFER = { 0 };
	unsigned int unknown = 0;
	size_t length;
	int fd;

	(void)state;
	assert_int_equal(buffer_read_file(&bytes, "/proc/self/exe", 64 << 20), 0);
	length = bytes.length;
	fd = memory_file(bytes.data, length);
	assert_true(try_file(fd));
	while (length) {
		size_t step = bytes.length / 100;

		length = length > step ? length - step : 0;
		assert_int_equal(ftruncate(fd, (off_t)length), 0);
		unknown += !try_file(fd);
	}
	assert_true(unknown > 10);
	close(fd);
}

static void test_corrupted(void **state)
{
	struct buffer bytes CLEANUP_BUFFER = { 0 };
	uint64_t rng = 0x9e3779b97f4a7c15;
	unsigned int known = 0, rounds = 300;
	uint8_t *copy;
	int fd;

	(void)state;
	assert_int_equal(buffer_read_file(&bytes, "/proc/self/exe", 64 << 20), 0);
	copy = malloc(bytes.length);
	assert_non_null(copy);
	fd = memory_file(bytes.data, bytes.length);
	for (unsigned int n = 0; n < rounds; n++) {
		size_t region = n % 3 ? bytes.length : 4096;

		memcpy(copy, bytes.data, bytes.length);
		for (unsigned int i = 0; i < 1U << n % 9; i++)
			copy[next_random(&rng) % region] = (uint8_t)next_random(&rng);
		assert_int_equal(pwrite(fd, copy, bytes.length, 0), bytes.length);
		known += try_file(fd);
	}
	assert_true(known > rounds / 20 && known < rounds);
	close(fd);
	free(copy);
}

/* A changed copy of ourselves in a new directory, by objcopy; the caller removes it. */
static int objcopy(const char *directory, const char *arguments)
{
	char command[512], path[128];

	if (system("command -v objcopy >/dev/null")) {
		print_message("skipped: no objcopy\n");
		skip();
	}
	snprintf(command, sizeof(command), "cd %s && echo x >fifo && objcopy %s /proc/%d/exe file",
		directory, arguments, getpid());
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/file", directory);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void remove_directory(const char *directory)
{
	char command[512];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	assert_int_equal(system(command), 0);
}

/* clang writes no .debug_aranges, which elfutils finds units by. */
static void test_no_aranges(void **state)
{
	char directory[] = "/tmp/test_symbols.XXXXXX";
	struct one_file f CLEANUP(file_release);

	(void)state;
	assert_non_null(mkdtemp(directory));
	file_open(&f, objcopy(directory, "--remove-section .debug_aranges"));
	check_call(&f, calls_directly(1), (void *)calls_directly, "calls_directly");
	remove_directory(directory);
}

/* Does what may hang or crash in a child. */
static void assert_child_exits(void (*function)(int fd), int fd)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		signal(SIGBUS, SIG_DFL); /* not cmocka's */
		signal(SIGSEGV, SIG_DFL);
		alarm(10);
		function(fd);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void parse_once(int fd)
{
	struct buffer in CLEANUP_BUFFER = { 0 }, out CLEANUP_BUFFER = { 0 };
	struct symbols_query *q = buffer_extend(&in, 100 * sizeof(*q));

	for (int i = 0; q && i < 100; i++)
		q[i].address = (uintptr_t)test_pc - load_base + (uint64_t)i;
	parse_file(&symbols_parser, fd, &in, &out);
}

/* The file names its separate debug file: who opens a FIFO waits for ever. */
static void test_fifo(void **state)
{
	char directory[] = "/tmp/test_symbols.XXXXXX", path[128];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(directory));
	fd = objcopy(directory, "--strip-debug --add-gnu-debuglink=fifo");
	snprintf(path, sizeof(path), "%s/fifo", directory);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_child_exits(parse_once, fd);
	close(fd);
	remove_directory(directory);
}

static struct buffer self_bytes;

static void *shrink(void *argument)
{
	int fd = *(int *)argument;

	for (;;) {
		if (ftruncate(fd, 100))
			break;
		usleep(50);
		if (pwrite(fd, self_bytes.data, self_bytes.length, 0) < 0)
			break;
		usleep(1000);
	}
	return NULL;
}

static void parse_shrinking(int fd)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, shrink, &fd))
		_exit(1);
	for (int i = 0; i < 300; i++)
		parse_once(fd);
	_exit(0);
}

/* The file shrinks while it is read: what was mapped of it is SIGBUS. */
static void test_shrinking(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(buffer_read_file(&self_bytes, "/proc/self/exe", 64 << 20), 0);
	fd = memory_file(self_bytes.data, self_bytes.length);
	assert_child_exits(parse_shrinking, fd);
	close(fd);
	buffer_release(&self_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_pc),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_demangled),
		cmocka_unit_test(test_cxx),
		cmocka_unit_test(test_no_elf),
		cmocka_unit_test(test_unopened),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_corrupted),
		cmocka_unit_test(test_no_aranges),
		cmocka_unit_test(test_fifo),
		cmocka_unit_test(test_shrinking),
	};

	return cmocka_run_group_tests_name("symbols", tests, setup, NULL);
}
