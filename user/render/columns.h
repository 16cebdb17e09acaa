/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Columns that name a group, of reports and of differences. */
#ifndef HEAPTAP_COLUMNS_H
#define HEAPTAP_COLUMNS_H

#include "report.h"

#define BY(by)	 (1U << (by))
#define BY_PLACE (BY(BY_FUNCTION) | BY(BY_LINE) | BY(BY_FILE) | BY(BY_MODULE))
#define BY_ALL	 (BY_PLACE | BY(BY_STACK) | BY(BY_THREAD))

struct filler {
	const struct group *group;
	const struct code *code; /* of the group */
	bool other;		 /* it is of the listing's other code */
	struct strings *texts;
	const struct listing_column *column;
};

struct name_column {
	struct listing_column column;
	uint32_t by; /* where it is shown */
	void (*fill)(const struct filler *f, struct listing_cell *cell);
};

extern const struct name_column name_columns[];
extern const size_t name_column_count;

#endif
