/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames of a recording in the forms that several formats share. */
#ifndef HEAPTAP_FRAMES_H
#define HEAPTAP_FRAMES_H

#include "../model/code.h"
#include "json.h"

/* A line for each function, innermost first, with an indent. */
void frames_text(const struct code *c, uint32_t stack, bool full_paths, struct buffer *out);
/* An array of objects, as in a leak report. */
void frames_json(const struct code *c, uint32_t stack, struct json *j);
/* "root;...;leaf": what separates is replaced in names. stack CODE_NONE: nothing is known. */
void frames_folded(const struct code *c, uint32_t stack, struct buffer *out);
/* A function's name, or what stands for one that is not known: "0x12ab in libc.so.6". */
void frame_name(const char *function, uint64_t address, const char *module, struct buffer *out);

#endif
