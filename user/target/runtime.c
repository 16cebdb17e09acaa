// SPDX-License-Identifier: GPL-2.0-or-later
#include "runtime.h"

#include <ctype.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <string.h>

const char *runtime_name(enum runtime r)
{
#define RUNTIME_TEXT(name, text) text,
	static const char *const names[] = { RUNTIMES(RUNTIME_TEXT) };
#undef RUNTIME_TEXT

	return r < RUNTIME_COUNT ? names[r] : NULL;
}

/* What only the runtime itself defines; a program that embeds or loads it gets it from there. */
static const struct mark {
	const char *symbol;
	enum runtime runtime;
} marks[] = {
	{ "perl_parse", RUNTIME_PERL },
	{ "Py_GetVersion", RUNTIME_PYTHON },
	{ "ruby_init", RUNTIME_RUBY },
	{ "php_module_startup", RUNTIME_PHP },
	{ "erl_start", RUNTIME_BEAM },
	{ "_ZN2v87Isolate3NewERKNS0_12CreateParamsE", RUNTIME_V8 },
	{ "_ZN4node5StartEiPPc", RUNTIME_NODE },
	{ "coreclr_initialize", RUNTIME_DOTNET },
	{ "JNI_CreateJavaVM", RUNTIME_JVM },
};

static void end_elf(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

static void found(struct runtime_facts *f, enum runtime runtime, bool whole_program)
{
	if (runtime <= f->runtime)
		return;
	f->runtime = runtime;
	f->whole_program = whole_program;
	f->version[0] = 0;
}

/* Printable characters, up to a blank. */
static void set_version(struct runtime_facts *f, const char *text, size_t n)
{
	size_t used = 0;

	while (used < n && used + 1 < sizeof(f->version) && isgraph((unsigned char)text[used]))
		used++;
	memcpy(f->version, text, used);
	f->version[used] = 0;
}

/* The bytes of a data symbol: how many there are. */
static size_t symbol_bytes(Elf *elf, const GElf_Sym *symbol, void *to, size_t n)
{
	Elf_Scn *scn = elf_getscn(elf, symbol->st_shndx);
	GElf_Shdr section;
	Elf_Data *data;
	uint64_t at;

	if (!scn || !gelf_getshdr(scn, &section) || section.sh_type == SHT_NOBITS ||
		symbol->st_value < section.sh_addr)
		return 0;
	at = symbol->st_value - section.sh_addr;
	data = elf_rawdata(scn, NULL);
	if (!data || !data->d_buf || at >= data->d_size)
		return 0;
	if (n > data->d_size - at)
		n = data->d_size - at;
	memcpy(to, (const char *)data->d_buf + at, n);
	return n;
}

/* Versions that lie in an exported variable. */
static void read_version(Elf *elf, const char *name, const GElf_Sym *symbol, char *version)
{
	unsigned char bytes[RUNTIME_VERSION] = { 0 };

	/* An unsigned long since 3.11: 0x030b02f0 is 3.11.2. */
	if (!strcmp(name, "Py_Version") && symbol_bytes(elf, symbol, bytes, 4) == 4)
		snprintf(version, RUNTIME_VERSION, "%u.%u.%u", bytes[3], bytes[2], bytes[1]);
	if (!strcmp(name, "ruby_version") && symbol_bytes(elf, symbol, bytes, sizeof(bytes) - 1))
		snprintf(version, RUNTIME_VERSION, "%s", (const char *)bytes);
}

static void read_symbols(
	Elf *elf, Elf_Scn *scn, const GElf_Shdr *section, struct runtime_facts *f, char *version)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t count = data && section->sh_entsize ? data->d_size / section->sh_entsize : 0;

	for (size_t i = 0; i < count && i < INT32_MAX; i++) {
		const char *name;
		GElf_Sym symbol;

		if (!gelf_getsym(data, (int)i, &symbol))
			return;
		name = elf_strptr(elf, section->sh_link, symbol.st_name);
		if (!name)
			continue;
		/* Compiled into whatever has C++ exceptions, from a library or not. */
		if (!strcmp(name, "__gxx_personality_v0"))
			found(f, RUNTIME_CXX, true);
		if (symbol.st_shndx == SHN_UNDEF)
			continue;
		for (size_t k = 0; k < sizeof(marks) / sizeof(marks[0]); k++)
			if (!strcmp(name, marks[k].symbol))
				found(f, marks[k].runtime, false);
		if (GELF_ST_TYPE(symbol.st_info) == STT_OBJECT)
			read_version(elf, name, &symbol, version);
	}
}

/*
 * "\xff Go buildinf:", the pointer size, flags; bit 1 of them: a length byte and the version follow at 32
 * (debug/buildinfo of the Go library; Go 1.18 and newer).
 */
static void read_go(Elf_Scn *scn, struct runtime_facts *f)
{
	Elf_Data *data = elf_rawdata(scn, NULL);
	const unsigned char *bytes = data ? data->d_buf : NULL;

	found(f, RUNTIME_GO, true);
	if (f->runtime == RUNTIME_GO && bytes && data->d_size > 33 &&
		!memcmp(bytes, "\xff Go buildinf:", 14) && bytes[15] & 2 && bytes[32] < 128 &&
		bytes[32] <= data->d_size - 33 && !memcmp(bytes + 33, "go", 2))
		set_version(f, (const char *)bytes + 35, bytes[32] - 2U);
}

/* Compilers sign: "rustc version 1.75.0 (...)". C libraries sign too, so it must be said of a program. */
static void read_comment(Elf_Scn *scn, struct runtime_facts *f)
{
	static const char rustc[] = "rustc version ";
	Elf_Data *data = elf_rawdata(scn, NULL);
	const char *at = data && data->d_buf
				 ? memmem(data->d_buf, data->d_size, rustc, sizeof(rustc) - 1)
				 : NULL;

	if (!at)
		return;
	found(f, RUNTIME_RUST, true);
	at += sizeof(rustc) - 1;
	if (f->runtime == RUNTIME_RUST)
		set_version(f, at, data->d_size - (size_t)(at - (const char *)data->d_buf));
}

static int runtime_parse(
	const int *files, size_t count, const struct buffer *in, struct buffer *out)
{
	struct runtime_facts *f = buffer_extend(out, sizeof(*f));
	char version[RUNTIME_VERSION] = "";
	Elf_Scn *scn = NULL;
	size_t names;

	(void)in;
	if (!f)
		return -ENOMEM;
	elf_version(EV_CURRENT);
	Elf *elf CLEANUP(end_elf) = elf_begin(count ? files[0] : -1, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF)
		return -ENOEXEC;
	f->runtime = RUNTIME_NATIVE;
	if (elf_getshdrstrndx(elf, &names))
		return 0;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr section;
		const char *name;

		if (!gelf_getshdr(scn, &section))
			continue;
		name = elf_strptr(elf, names, section.sh_name);
		if (section.sh_type == SHT_DYNSYM)
			read_symbols(elf, scn, &section, f, version);
		else if (name && !strcmp(name, ".go.buildinfo"))
			read_go(scn, f);
		else if (name && !strcmp(name, ".comment"))
			read_comment(scn, f);
	}
	if (version[0] && (f->runtime == RUNTIME_PYTHON || f->runtime == RUNTIME_RUBY))
		memcpy(f->version, version, sizeof(version));
	return 0;
}

static int runtime_check(const struct buffer *in, const struct buffer *out)
{
	const struct runtime_facts *facts = (const void *)out->data;

	(void)in;
	if (out->length != sizeof(*facts) || facts->runtime >= RUNTIME_COUNT ||
		!memchr(facts->version, 0, sizeof(facts->version)))
		return -EBADMSG;
	return 0;
}

const struct parser runtime_parser = { "runtime", runtime_parse, runtime_check };
