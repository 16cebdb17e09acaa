// SPDX-License-Identifier: GPL-2.0-or-later
#include "dry_run.h"

#include <inttypes.h>
#include <string.h>

#include "../base/utf8.h"

static void print_probe(const struct plan_probe *p, const struct module *m, struct buffer *out)
{
	const char *aliases = strchr(p->function, '=');
	int name = aliases ? (int)(aliases - p->function) : (int)strlen(p->function);

	buffer_format(out, "  %-8s 0x%-8" PRIx64 " %-15.*s %-28s %-14s",
		p->returns ? "session" : "entry", p->offset, name, p->function, p->text,
		p->emulated ? "emulated" : "single-stepped");
	if (aliases)
		buffer_format(out, " also %s", aliases + 1);
	if (p->pushed)
		buffer_format(out, " %u pushed", p->pushed);
	buffer_text(out, " ");
	utf8_append_printable(out, m->path);
	buffer_text(out, "\n");
}

void dry_run_print(const struct process *process, const struct image *image,
	const struct plan *plan, struct buffer *out)
{
	buffer_format(out, "probe plan of pid %d (", process->pid);
	utf8_append_printable(out, process->comm);
	buffer_format(out, "): %u probes, nothing attached\n", plan->count);
	for (uint32_t id = 0; id < image->module_count; id++) {
		const struct module *m = &image->modules[id];
		char build_id[ELF_BUILD_ID_TEXT];

		if (!m->allocator)
			continue;
		utf8_append_printable(out, m->path);
		buffer_format(out, "%s: allocator %s, build id %s\n",
			m->deleted ? " (deleted)" : "", m->allocator,
			elf_build_id_text(build_id, module_elf(m)));
		for (uint32_t i = 0; i < plan->count; i++)
			if (plan->probes[i].module == id)
				print_probe(&plan->probes[i], m, out);
	}
}
