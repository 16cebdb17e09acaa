/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of a JSON report that only growth mode has. */
#ifndef HEAPTAP_GROWTH_JSON_H
#define HEAPTAP_GROWTH_JSON_H

#include "json.h"
#include "leaks_report.h"

/* Of growth mode, or of the trend beside windows. */
void growth_render_json(struct json *j, const struct leaks_report *r);
/* A site's figures, in place of those of blocks. */
void growth_render_site(struct json *j, const struct site_figures *f);

#endif
