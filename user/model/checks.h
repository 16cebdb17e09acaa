/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was looked at before tracing, a flat list: text and JSON are made from it, and nothing else is said.
 */
#ifndef HEAPTAP_CHECKS_H
#define HEAPTAP_CHECKS_H

#include <stdint.h>

enum check_state {
	CHECK_OK,
	CHECK_DEGRADED, /* tracing works, but tells less or costs more */
	CHECK_MISSING,	/* not there */
	CHECK_UNKNOWN,	/* could not be found out */
};

struct check {
	const char *group; /* "kernel" */
	char *name;
	enum check_state state;
	char *value;	  /* for people; NULL: the state says all */
	double number;	  /* the same for programs; NAN: none */
	const char *unit; /* of the number: "bytes", "ns", "count", "1/s" */
	char *why;	  /* what it means, or what is lost; NULL */
	char *remedy;	  /* one line; NULL: there is nothing to mend */
};

struct checks {
	struct check *all;
	uint32_t count;
	int error; /* -ENOMEM: it is not whole */
};

/* Appends one; a NULL or short one after a failed allocation, which `error` remembers. */
void checks_add(struct checks *c, const char *group, enum check_state state, const char *name, ...)
	__attribute__((format(printf, 4, 5)));
/* About the one added last. Later calls replace earlier ones. */
void checks_value(struct checks *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void checks_why(struct checks *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void checks_remedy(struct checks *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A number, with the value that says it. */
void checks_bytes(struct checks *c, uint64_t bytes);
void checks_ns(struct checks *c, double ns);
void checks_count(struct checks *c, uint64_t count);
void checks_rate(struct checks *c, double per_s);
const char *check_state_name(enum check_state state);
void checks_release(struct checks *c);

#endif
