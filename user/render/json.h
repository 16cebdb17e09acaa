/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A streaming JSON writer: commas and nesting are its business. Text is escaped, and made valid
 * UTF-8 where the target's bytes are not. Keys are ours and written as they are; NULL is a value
 * without a key, in an array.
 */
#ifndef HEAPTAP_JSON_H
#define HEAPTAP_JSON_H

#include "../base/buffer.h"

struct json {
	struct buffer *out;
	bool comma; /* the next value needs one before it */
};

void json_open(struct json *j, const char *key, char bracket);	     /* '{' or '[' */
void json_close(struct json *j, char bracket);			     /* '}' or ']' */
void json_string(struct json *j, const char *key, const char *text); /* NULL text: null */
void json_uint(struct json *j, const char *key, uint64_t value);
void json_int(struct json *j, const char *key, int64_t value);
void json_bytes(struct json *j, const char *key, int64_t value);	     /* negative: null */
void json_double(struct json *j, const char *key, double value, int digits); /* not finite: null */
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);
void json_hex(struct json *j, const char *key, uint64_t value); /* "0x..." with 16 digits */

#endif
