/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HEAPTAP_CHOOSE_H
#define HEAPTAP_CHOOSE_H

#include "kernel.h"
#include "tables.h"

/*
 * Loads programs and tables for the first kind of link asked for whose trial and whose load
 * succeed. Less than the best is taken silently, the report says which; a missing privilege is an
 * error, unless some other kind works without it. 0, or -errno after a message; -EPERM,
 * -EOPNOTSUPP: none works, and what would help.
 */
int choose_link(struct kernel *kernel, struct tables *tables, const struct table_limits *limits,
	enum link_choice choice);

#endif
