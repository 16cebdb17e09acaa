/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives up, for good, all that a parser does not need. For a process with one thread that has all
 * its descriptors; what it still can do is compute, allocate memory up to a limit, read and map the
 * descriptors that it has or is given, and talk on one socket.
 */
#ifndef HEAPTAP_SANDBOX_H
#define HEAPTAP_SANDBOX_H

#include <stdint.h>

/* A build with ASan: its runtime needs some more system calls, and address space without limit. */
#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED 0
#endif

/*
 * What depends on privileges and on the kernel's configuration. Seccomp, no capabilities and no new
 * privileges do not: a sandbox without these is none.
 */
enum sandbox_layer {
	SANDBOX_NOBODY = 1 << 0,     /* user and group of nobody's */
	SANDBOX_NAMESPACES = 1 << 1, /* network, mounts and IPC of its own */
	SANDBOX_NO_FILES = 1 << 2,   /* the root is an empty directory */
};

/* CPU seconds after which the kernel ends the process, whatever it does. */
#define SANDBOX_CPU_S 300

/* socket: the only one that may be used. 0 with *layers, or -errno and the process must end. */
int sandbox_enter(int socket, uint32_t *layers);

#endif
