/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One logger, and errors: functions return 0 or -errno, and `return err(-ENOENT, "...")` says why
 * once, where it is known. All messages go to stderr as "heaptap: ...", one line each.
 */
#ifndef HEAPTAP_ERR_H
#define HEAPTAP_ERR_H

#include <errno.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Documented in README and --help; scripts depend on them. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_PRIVILEGE = 3, /* a privilege or a kernel feature is missing */
	EXIT_NOTHING = 4,   /* the target is not there, or has nothing to trace */
};

/* Messages above this level are dropped: LOG_INFO by default, -v raises it, -q lowers it. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_message(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

struct buffer;
/*
 * From now on errors go into a buffer, a line each without the prefix, and the rest nowhere; NULL: all to stderr again.
 * For who wants to know why something fails and go on.
 */
void log_capture(struct buffer *to);

/* Logs at LOG_ERROR and returns the code, which is negative: return err(-EINVAL, "..."). */
int err(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define warn(...)  log_message(LOG_WARN, __VA_ARGS__)
#define info(...)  log_message(LOG_INFO, __VA_ARGS__)
#define debug(...) log_message(LOG_DEBUG, __VA_ARGS__)

/*
 * The exit code of a failure: -EPERM and -EACCES, -ENOSYS and -EOPNOTSUPP are EXIT_PRIVILEGE;
 * -ESRCH and -ENXIO EXIT_NOTHING; -EINVAL EXIT_USAGE; the rest EXIT_FAILED. 0 is EXIT_OK.
 */
int exit_code_of(int error);

#endif
