// SPDX-License-Identifier: GPL-2.0-or-later
#include "symbols.h"

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <libiberty/demangle.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../target/insn.h"

#define FILE_BYTES_MAX (2LL << 30)
#define CODE_WINDOW    4096 /* bytes before a return address in which its call is looked for */

static void end_dwfl(Dwfl **dwfl)
{
	if (*dwfl)
		dwfl_end(*dwfl);
}

static uint32_t add_text(struct buffer *out, const char *text)
{
	size_t at = out->length;

	buffer_append(out, text, strlen(text) + 1);
	return at < SYMBOLS_NO_TEXT ? (uint32_t)at : SYMBOLS_NO_TEXT;
}

/* C++ and Rust names as their programmers wrote them; others as they are. */
static uint32_t add_function(struct buffer *out, const char *mangled)
{
	char *name CLEANUP_FREE = cplus_demangle(mangled, DMGL_PARAMS | DMGL_ANSI | DMGL_AUTO);

	return add_text(out, name ? name : mangled);
}

/* The file bytes behind an address: up to `bytes` of them before it. Returns how many there are. */
static size_t read_code(Elf *elf, uint64_t address, uint8_t *code, size_t bytes)
{
	size_t count;

	if (elf_getphdrnum(elf, &count))
		return 0;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr ph;
		Elf_Data *data;
		size_t n = bytes;

		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_LOAD || !(ph.p_flags & PF_X))
			continue;
		if (address <= ph.p_vaddr || address - ph.p_vaddr > ph.p_filesz)
			continue;
		if (n > address - ph.p_vaddr)
			n = address - ph.p_vaddr;
		data = elf_getdata_rawchunk(
			elf, (int64_t)(ph.p_offset + (address - ph.p_vaddr) - n), n, ELF_T_BYTE);
		if (!data || data->d_size < n)
			return 0;
		memcpy(code, data->d_buf, n);
		return n;
	}
	return 0;
}

/*
 * The call that returns to return_address: decoded from the function's start, or from a window
 * before it. Falls back to the byte before, which lies in the call.
 */
static uint64_t call_address(Elf *elf, uint64_t return_address, uint64_t function)
{
	uint8_t code[CODE_WINDOW];
	uint64_t from_start = return_address - function;
	size_t n, at;

	n = read_code(
		elf, return_address, code, from_start <= CODE_WINDOW ? from_start : CODE_WINDOW);
	if (!n || insn_call_before(code, n, n, &at))
		return return_address - 1;
	return return_address - n + at;
}

/* The unit that covers an address, found by its ranges: clang writes no .debug_aranges. */
static const char *line_in_units(Dwfl_Module *module, uint64_t address, int *number)
{
	Dwarf_Addr bias;

	for (Dwarf_Die *unit = NULL; (unit = dwfl_module_nextcu(module, unit, &bias));) {
		Dwarf_Line *line;

		if (dwarf_haspc(unit, address - bias) != 1)
			continue;
		line = dwarf_getsrc_die(unit, address - bias);
		if (!line || dwarf_lineno(line, number))
			return NULL;
		return dwarf_linesrc(line, NULL, NULL);
	}
	return NULL;
}

static const char *line_of(Dwfl_Module *module, uint64_t address, int *number)
{
	Dwfl_Line *line = dwfl_module_getsrc(module, address);

	return line ? dwfl_lineinfo(line, NULL, number, NULL, NULL, NULL)
		    : line_in_units(module, address, number);
}

static void answer_query(Dwfl_Module *module, Elf *elf, const struct symbols_query *query,
	struct buffer *out, size_t index)
{
	struct symbols_answer a = {
		.address = query->address, .function = SYMBOLS_NO_TEXT, .file = SYMBOLS_NO_TEXT
	};
	uint64_t function_start = 0;
	GElf_Off offset = 0;
	GElf_Sym symbol;
	const char *name, *file;
	int number = 0;

	name = dwfl_module_addrinfo(module, query->address, &offset, &symbol, NULL, NULL, NULL);
	if (name && *name) {
		function_start = query->address - offset;
		a.function = add_function(out, name);
	}
	if (query->is_call)
		a.address = call_address(elf, query->address + 1, function_start);
	if (a.function != SYMBOLS_NO_TEXT)
		a.function_offset = a.address - function_start;
	file = line_of(module, query->address, &number);
	if (file && number > 0) {
		a.file = add_text(out, file);
		a.line = (uint32_t)number;
	}
	if (!buffer_failed(out))
		memcpy(out->data + index * sizeof(a), &a, sizeof(a));
}

/* elfutils maps what it reads: a file that its owner cuts short meanwhile would kill us. So a copy. */
static int private_copy(int fd)
{
	struct stat st;
	off_t at = 0;
	CLEANUP_CLOSE int copy = -1;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX)
		return -ENOEXEC;
	copy = memfd_create("heaptap-module", MFD_CLOEXEC);
	while (copy >= 0 && at < st.st_size)
		if (sendfile(copy, fd, &at, (size_t)(st.st_size - at)) <= 0)
			break;
	return copy < 0 ? -errno : TAKE_FD(copy);
}

static void end_elf(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

/* Object files libdwfl would relocate, by a callback that we do not have. */
static bool is_program(int fd)
{
	GElf_Ehdr header;

	elf_version(EV_CURRENT);
	Elf *elf CLEANUP(end_elf) = elf_begin(fd, ELF_C_READ, NULL);
	return elf && gelf_getehdr(elf, &header) &&
	       (header.e_type == ET_EXEC || header.e_type == ET_DYN);
}

/* In the sandbox that would cost the names of this file only. */
static int own_file(int fd)
{
	int own = parse_is_sandboxed() ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : private_copy(fd);

	return own < 0 && parse_is_sandboxed() ? -ENOEXEC : own;
}

static int symbols_parse(
	const int *files, size_t file_count, const struct buffer *in, struct buffer *out)
{
	static char *no_path;
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_build_id_find_elf,
		/* By build id alone: a debug link is a name that the target chose, of a FIFO perhaps. */
		.find_debuginfo = dwfl_build_id_find_debuginfo,
		.debuginfo_path = &no_path, /* the default: /usr/lib/debug */
	};
	const struct symbols_query *queries = (const void *)in->data;
	size_t count = in->length / sizeof(*queries);
	Dwfl *dwfl CLEANUP(end_dwfl) = dwfl_begin(&callbacks);
	/* elfutils closes what it takes. */
	CLEANUP_CLOSE int own = own_file(file_count ? files[0] : -1);
	Dwfl_Module *module;
	GElf_Addr bias;
	char path[64];
	Elf *elf;

	if (own < 0)
		return own;
	if (!is_program(own))
		return -ENOEXEC;
	if (!dwfl || !buffer_extend(out, count * sizeof(struct symbols_answer)))
		return -ENOMEM;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", own);
	/* Base 0, added to the file's own addresses: ours are those. */
	module = dwfl_report_elf(dwfl, "module", path, own, 0, true);
	if (!module)
		return -ENOEXEC;
	TAKE_FD(own);
	dwfl_report_end(dwfl, NULL, NULL);
	elf = dwfl_module_getelf(module, &bias);
	if (!elf)
		return -ENOEXEC;
	for (size_t i = 0; i < count; i++) {
		answer_query(module, elf, &queries[i], out, i);
		parse_progress();
	}
	return 0;
}

/* Every text begins behind the answers and ends inside. */
static int symbols_check(const struct buffer *in, const struct buffer *out)
{
	const struct symbols_answer *answers = (const void *)out->data;
	size_t count = in->length / sizeof(struct symbols_query), texts = count * sizeof(*answers);

	if (out->length < texts || (out->length > texts && out->data[out->length - 1]))
		return -EBADMSG;
	for (size_t i = 0; i < count; i++) {
		const uint32_t places[] = { answers[i].function, answers[i].file };

		for (size_t j = 0; j < ARRAY_SIZE(places); j++)
			if (places[j] != SYMBOLS_NO_TEXT &&
				(places[j] < texts || places[j] >= out->length))
				return -EBADMSG;
	}
	return 0;
}

const struct parser symbols_parser = { "names", symbols_parse, symbols_check };
