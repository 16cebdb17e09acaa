// SPDX-License-Identifier: GPL-2.0-or-later
#include "choose.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "../base/err.h"

static bool is_privilege(int error)
{
	return error == -EPERM || error == -EACCES;
}

/* 0 or -errno, silently, and then nothing is left of it. */
static int load_kind(struct kernel *kernel, struct tables *tables,
	const struct table_limits *limits, enum link_kind kind)
{
	int error = features_try_link(kind);

	if (error)
		return error;
	error = kernel_open(kernel, kind);
	if (!error)
		error = tables_configure(tables, kernel, limits);
	if (!error)
		error = kernel_load(kernel);
	if (error) {
		tables_unmap(tables);
		kernel_close(kernel);
	}
	/* The trial loaded a program: whatever is refused now, we are not. It is the verifier's -EACCES. */
	return is_privilege(error) ? -EOPNOTSUPP : error;
}

static bool is_chosen(enum link_choice choice, enum link_kind kind)
{
	static const enum link_choice choices[LINK_KINDS] = { LINK_ONLY_SESSION, LINK_ONLY_SESSION,
		LINK_ONLY_MULTI, LINK_ONLY_PERF };

	return choice == LINK_AUTO || choice == choices[kind];
}

static int explain(enum link_choice choice, enum link_kind kind, int error)
{
	const char *name = link_kind_name(kind), *remedy = features_link_remedy(kind, error);

	if (error == -ENOMEM)
		return err(error, "not enough memory for the kernel's tables: lower --max-live or "
				  "--max-stacks");
	if (is_privilege(error))
		return err(-EPERM, "the kernel refuses %s probes: %s", name, remedy);
	if (choice == LINK_AUTO)
		return err(-EOPNOTSUPP,
			"the kernel has no probes that heaptap can use; %s probes, the least of "
			"them, failed by: %s; they need %s; -v tells more",
			name, strerror(-error), remedy);
	return err(-EOPNOTSUPP, "--link %s: the kernel has no such probes (%s); they need %s", name,
		strerror(-error), remedy);
}

int choose_link(struct kernel *kernel, struct tables *tables, const struct table_limits *limits,
	enum link_choice choice)
{
	enum link_kind reason = LINK_KINDS;
	int why = 0;

	for (enum link_kind kind = 0; kind < LINK_KINDS; kind++) {
		int error;

		if (!is_chosen(choice, kind))
			continue;
		error = load_kind(kernel, tables, limits, kind);
		if (!error) {
			kernel->for_all = kind == LINK_MULTI && !features_multi_sees_threads();
			return 0;
		}
		debug("no %s links%s: %s", link_kind_name(kind),
			kind == LINK_SESSION_CTX ? " of Linux 7.0" : "", strerror(-error));
		/* Told is what can be mended: a privilege; else what asks the least of a kernel. */
		if (!is_privilege(why)) {
			reason = kind;
			why = error;
		}
		if (error == -ENOMEM) /* not a matter of the kind */
			break;
	}
	return explain(choice, reason, why);
}
