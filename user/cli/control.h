/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket by which a running heaptap is asked for something: /run/heaptap/PID.sock with heaptap's own pid, in
 * $XDG_RUNTIME_DIR where /run cannot be written; for its user alone (0600).
 *
 * A message is its length in bytes, 32 bits, little-endian, then a JSON object. A request has "command": "mark" (and
 * "label"), "snapshot", "set" (and "every": "5s") or "status"; its answer "ok", and "error" where that is false.
 */
#ifndef HEAPTAP_CONTROL_H
#define HEAPTAP_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../base/buffer.h"

#define CONTROL_MAX_BYTES 65536
#define CONTROL_MAX_LABEL 256
#define CONTROL_PATH	  128

struct control;

struct control_request {
	char command[16];
	char label[CONTROL_MAX_LABEL]; /* "" when there is none */
	char every[32];
	uint64_t token; /* whom to answer */
};

/* 0, or -errno after a message. */
int control_open(struct control **c);
const char *control_path(const struct control *c);
/* Readable when something has come. */
int control_fd(const struct control *c);
/* The next request that is complete; false: none. Answers what is no request itself. */
bool control_take(struct control *c, struct control_request *request);
/* json: an object. Whoever has left meanwhile gets nothing. */
void control_answer(struct control *c, uint64_t token, struct buffer *json);
void control_fail(struct control *c, uint64_t token, const char *why);
void control_close(struct control *c); /* NULL is allowed */

/* --- the other side ---------------------------------------------------------------------------- */

/* Sends a request and waits for the answer, up to 10 s. 0, or -errno without a message: -ECONNREFUSED: nobody is there. */
int control_ask(const char *path, const struct buffer *request, struct buffer *answer);
/* Calls what() for the socket of each heaptap that may be there, until it returns other than 0, which is returned. */
int control_each(int (*what)(const char *path, void *context), void *context);

#endif
