// SPDX-License-Identifier: GPL-2.0-or-later
#include "plan.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/err.h"
#include "mapped.h"
#include "privilege.h"

#define CODE_MAX 4096 /* bytes of a function that placement looks at */

/* The code of a function, up to CODE_MAX bytes: how many were read, or -errno. */
static ssize_t read_code(const struct module *module, const struct elf_function *f, uint8_t *code)
{
	/*
	 * Hand-written functions have no size: enough for any prologue, little of the next
	 * function.
	 */
	size_t wanted = f->bytes ? f->bytes : 64;
	ssize_t n =
		pread(module->fd, code, wanted < CODE_MAX ? wanted : CODE_MAX, (off_t)f->offset);

	return n < 0 ? -errno : n;
}

static struct plan_probe *probe_at(struct plan *plan, uint32_t module, uint64_t offset)
{
	for (uint32_t i = 0; i < plan->count; i++)
		if (plan->probes[i].module == module && plan->probes[i].offset == offset)
			return &plan->probes[i];
	return NULL;
}

static void add_alias(struct plan_probe *probe, const char *name)
{
	size_t used = strlen(probe->function);

	snprintf(probe->function + used, sizeof(probe->function) - used, "=%s", name);
}

static int add_function(
	struct plan *plan, uint32_t id, const struct module *module, const struct elf_function *f)
{
	const struct allocator_function *a = &allocator_functions[f->name];
	bool returns = a->role != HT_ROLE_FREE;
	struct insn_place place;
	struct plan_probe *probe;
	uint8_t code[CODE_MAX];
	ssize_t n = read_code(module, f, code);

	if (n <= 0 || insn_place_probe(code, (size_t)n, f->address,
			      returns ? INSN_PROBE_RETURN : INSN_PROBE_ENTRY, a->arguments,
			      !returns, &place)) {
		warn("%s of %s has no place for a probe: its calls are not counted", a->name,
			module->path);
		return 0;
	}
	probe = probe_at(plan, id, f->offset + place.offset);
	if (probe) {
		if (probe->role == a->role)
			add_alias(probe, a->name);
		return 0;
	}
	probe = realloc(plan->probes, (plan->count + 1) * sizeof(*probe));
	if (!probe)
		return err(-ENOMEM, "out of memory");
	plan->probes = probe;
	probe += plan->count++;
	*probe = (struct plan_probe){ .module = id,
		.role = a->role,
		.returns = returns,
		.emulated = place.emulated,
		.pushed = (uint16_t)(place.sp_moved / 8),
		.offset = f->offset + place.offset,
		.address = f->address + place.offset };
	snprintf(probe->function, sizeof(probe->function), "%s", a->name);
	snprintf(probe->text, sizeof(probe->text), "%s", place.text);
	return 0;
}

int plan_add_module(struct plan *plan, uint32_t id, const struct module *module)
{
	const struct elf_info *elf = module_elf(module);

	if (!elf || !module->allocator || module->fd < 0)
		return 0;
	if (elf->machine != EM_X86_64) {
		warn("%s is not x86-64 code: its allocator is not traced", module->path);
		return 0;
	}
	if (allocator_has_own_new(elf))
		warn("%s has an operator new of its own (%s): what C++ code allocates by it is not "
		     "counted",
			module->path, module->allocator);
	for (uint32_t i = 0; i < elf->function_count; i++) {
		const struct elf_function *f = &elf->functions[i];
		int error;

		if (!allocator_is_function(f->name))
			continue;
		error = add_function(plan, id, module, f);
		if (error)
			return error;
	}
	return 0;
}

static const struct module *first_with_error(const struct image *image, int a, int b)
{
	for (uint32_t i = 0; i < image->module_count; i++)
		if ((image->modules[i].error == a || image->modules[i].error == b) &&
			!mapped_is_nameless(image->modules[i].path))
			return &image->modules[i];
	return NULL;
}

/* The links of /proc want the right to look into the process; behind them it is the files' own permissions. */
static enum privilege what_opens(const struct process *p)
{
	char link[64], path[1];

	snprintf(link, sizeof(link), "/proc/%d/root", p->pid);
	return readlink(link, path, sizeof(path)) < 0 ? PRIVILEGE_SYS_PTRACE
						      : PRIVILEGE_DAC_READ_SEARCH;
}

/* A file that could not be opened may be the allocator's: that is said first. */
static int explain_unopened(const struct image *image, const struct process *p)
{
	const struct module *stale = first_with_error(image, -ESTALE, -ESTALE);
	const struct module *refused = first_with_error(image, -EACCES, -EPERM);
	char advice[PRIVILEGE_TEXT];

	if (first_with_error(image, -EMFILE, -ENFILE))
		return err(-EMFILE, "too many open files: raise ulimit -n");
	if (refused)
		return err(-EACCES, "cannot open %s of pid %d (%s): %s", refused->path, p->pid,
			p->comm, privilege_advice(advice, what_opens(p)));
	if (stale)
		return err(-EACCES, "pid %d (%s) runs a %s that is no longer on disk: %s", p->pid,
			p->comm, stale->path,
			privilege_advice(advice, PRIVILEGE_CHECKPOINT_RESTORE));
	return 0;
}

int plan_explain_nothing(const struct image *image, const struct process *p)
{
	int error = explain_unopened(image, p);
	bool symbols = false;

	for (uint32_t i = 0; i < image->module_count; i++) {
		const struct elf_info *elf = module_elf(&image->modules[i]);

		symbols |= elf && elf->has_symbols;
	}
	if (error)
		return error;
	if (!symbols)
		return err(-ENXIO,
			"pid %d (%s) has no function symbols to find an allocator by: it is a "
			"stripped static executable; trace a build that keeps its symbols, or use "
			"--mode growth, which needs none",
			p->pid, p->comm);
	return err(-ENXIO,
		"pid %d (%s) has no allocator: none of its %u program files defines malloc and "
		"free; --mode growth needs none",
		p->pid, p->comm, image->module_count);
}

static void tell_left_out(const struct image *image)
{
	for (uint32_t i = 0; i < image->module_count; i++) {
		const struct module *m = &image->modules[i];

		if (m->error == -ESTALE && !mapped_is_nameless(m->path))
			warn("%s on disk is not the file that the process runs: an allocator in it "
			     "is not traced without CAP_CHECKPOINT_RESTORE",
				m->path);
	}
}

int plan_make(struct plan *plan, const struct image *image)
{
	for (uint32_t i = 0; i < image->module_count; i++) {
		int error = plan_add_module(plan, i, &image->modules[i]);

		if (error)
			return error;
	}
	if (!plan->count)
		return -ENXIO;
	tell_left_out(image);
	return 0;
}

void plan_release(struct plan *plan)
{
	free(plan->probes);
	*plan = (struct plan){ 0 };
}

static const struct elf_function *function_around(const struct elf_info *elf, uint64_t offset)
{
	for (uint32_t i = 0; i < elf->function_count; i++) {
		const struct elf_function *f = &elf->functions[i];

		if (allocator_is_function(f->name) && offset >= f->offset &&
			offset - f->offset < (f->bytes ? f->bytes : 64))
			return f;
	}
	return NULL;
}

int plan_check_return(const struct plan_probe *probe, const struct module *module)
{
	const struct elf_info *elf = module_elf(module);
	const struct elf_function *f = elf ? function_around(elf, probe->offset) : NULL;
	uint8_t code[CODE_MAX];
	ssize_t n = f ? read_code(module, f, code) : -ENOENT;

	if (n <= 0 || probe->pushed ||
		insn_check_return_probe(code, (size_t)n, (uint32_t)(probe->offset - f->offset)))
		return err(-EINVAL,
			"refused: a return probe at %s+0x%llx of %s would not find its return "
			"address",
			probe->function, f ? (unsigned long long)(probe->offset - f->offset) : 0,
			module->path);
	return 0;
}
