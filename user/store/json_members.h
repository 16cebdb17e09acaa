/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members of a JSON object, by SQLite's parser. */
#ifndef HEAPTAP_JSON_MEMBERS_H
#define HEAPTAP_JSON_MEMBERS_H

#include <stddef.h>

#define JSON_MEMBER_BYTES 4096

/*
 * values[i]: the text of the member keys[i], a number's digits, "1" or "0" of true and false, the JSON text of an
 * array; "" when there is none, or null. keys are plain words. 0; -EBADMSG: not an object; -EOVERFLOW: a value is too
 * long; -ENOMEM. No message.
 */
int json_members(const void *json, size_t length, const char *const *keys, size_t count,
	char (*values)[JSON_MEMBER_BYTES]);

#endif
