// SPDX-License-Identifier: GPL-2.0-or-later
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

#define NOBODY	   65534
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC)

/* --- what a process may have ------------------------------------------------------------------ */

/* When memory runs out this process is the one to lose: it can be started again. */
static void offer_to_oom_killer(void)
{
	CLEANUP_CLOSE int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "1000", 4) < 0)
		return;
}

/* An empty file system that cannot be written, in the place of all others. */
static bool empty_root(void)
{
	/* Over /proc, because that is sure to exist. */
	return !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("none", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		       "size=4k,nr_inodes=1") &&
	       !chdir("/proc") && !syscall(SYS_pivot_root, ".", ".") && !umount2(".", MNT_DETACH) &&
	       !chdir("/");
}

static uint32_t isolate(int namespaces)
{
	if (unshare(namespaces))
		return 0;
	return SANDBOX_NAMESPACES | (empty_root() ? SANDBOX_NO_FILES : 0);
}

/* Needs CAP_SETPCAP; without it NO_NEW_PRIVS has the same effect, as nothing can be gained by exec. */
static void drop_bounding_set(void)
{
	for (unsigned long c = 0; !prctl(PR_CAPBSET_DROP, c, 0, 0, 0); c++)
		;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static uint32_t become_nobody(void)
{
	/* Fails in a user namespace that has no nobody: then we stay, without capabilities. */
	return !setgroups(0, NULL) && !setresgid(NOBODY, NOBODY, NOBODY) &&
			       !setresuid(NOBODY, NOBODY, NOBODY)
		       ? SANDBOX_NOBODY
		       : 0;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capset, &header, data) || syscall(SYS_capget, &header, data))
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(data); i++)
		if (data[i].effective || data[i].permitted || data[i].inheritable)
			return -EPERM;
	return 0;
}

static int limit_resources(void)
{
	static const struct {
		__rlimit_resource_t resource;
		rlim_t limit;
	} limits[] = {
		/* The file, at most 2 GiB, its unpacked sections, and what is made of them. */
		{ RLIMIT_AS, 4ULL << 30 },
		{ RLIMIT_CPU, SANDBOX_CPU_S },
		{ RLIMIT_NOFILE, 32 },
		{ RLIMIT_FSIZE, 0 },
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_NPROC, 0 },
		{ RLIMIT_MEMLOCK, 0 },
		{ RLIMIT_MSGQUEUE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit l = { limits[i].limit, limits[i].limit }, now;

		/* ASan's shadow alone is 16 TiB, and its findings go to stderr. */
		if (SANDBOX_SANITIZED &&
			(limits[i].resource == RLIMIT_AS || limits[i].resource == RLIMIT_FSIZE))
			continue;
		if (!getrlimit(limits[i].resource, &now) && now.rlim_max < l.rlim_max)
			l.rlim_cur = l.rlim_max = now.rlim_max;
		if (setrlimit(limits[i].resource, &l))
			return -errno;
	}
	return 0;
}

/* --- what it may ask of the kernel ------------------------------------------------------------ */

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#else
#error "which AUDIT_ARCH_* is this?"
#endif

/*
 * Memory, the descriptors that it has, time, its own signals and its end. What is listed is what
 * elfutils, libiberty, Zydis and the C library below them ask for; anything else is an attack or a
 * bug, and ends the process.
 */
static const int allowed[] = {
	SYS_read,
	SYS_pread64,
	SYS_readv,
	SYS_preadv,
	SYS_lseek,
	SYS_fstat,
	SYS_close,
	SYS_dup,
	SYS_brk,
	SYS_munmap,
	SYS_mremap,
	SYS_madvise,
	SYS_futex,
	SYS_getrandom,
	SYS_clock_gettime,
	SYS_gettimeofday,
	SYS_sysinfo,
	SYS_sched_getaffinity,
	SYS_getpid,
	SYS_gettid,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_sigaltstack,
	SYS_restart_syscall,
	SYS_exit,
	SYS_exit_group,
#if SANDBOX_SANITIZED
	SYS_sched_yield,
#endif
};

/*
 * Refused with an errno: libraries look for files (debug files, locales, modules) or at terminals
 * where they can do without. Killing would cost names, and is no safer.
 */
static const struct {
	int number;
	int error;
} refused[] = {
#ifdef SYS_open
	{ SYS_open, ENOENT },
	{ SYS_stat, ENOENT },
	{ SYS_lstat, ENOENT },
	{ SYS_access, ENOENT },
	{ SYS_readlink, ENOENT },
#endif
	{ SYS_openat, ENOENT },
	{ SYS_openat2, ENOENT },
	{ SYS_statx, ENOENT },
	{ SYS_readlinkat, ENOENT },
	{ SYS_faccessat, ENOENT },
	{ SYS_faccessat2, ENOENT },
	{ SYS_getcwd, ENOENT },
	{ SYS_ioctl, ENOTTY },
	{ SYS_uname, EPERM },
	{ SYS_prlimit64, EPERM },
#if !SANDBOX_SANITIZED
	{ SYS_write, EPERM },
#endif
};

struct filter {
	struct sock_filter code[256];
	unsigned short length;
};

static void emit(
	struct filter *f, unsigned int code, unsigned int k, unsigned int yes, unsigned int no)
{
	/* Written by the tables above alone: the size is a constant, and tests run it. */
	f->code[f->length++] = (struct sock_filter)BPF_JUMP(
		(unsigned short)code, k, (unsigned char)yes, (unsigned char)no);
}

static void load(struct filter *f, size_t offset)
{
	emit(f, BPF_LD | BPF_W | BPF_ABS, (unsigned int)offset, 0, 0);
}

static void return_for(struct filter *f, int number, unsigned int action)
{
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)number, 0, 1);
	emit(f, BPF_RET | BPF_K, action, 0, 0);
}

/*
 * Allows a call when a test of an argument's low 32 bits (all that the kernel looks at in these)
 * says yes. Behind it in the filter the number is loaded no longer, but each way ends here.
 */
static void allow_if(struct filter *f, int number, unsigned int argument, unsigned int test,
	unsigned int value, unsigned int otherwise)
{
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)number, 0, 4);
	load(f, offsetof(struct seccomp_data, args) + 8UL * argument);
	emit(f, BPF_JMP | test | BPF_K, value, 0, 1);
	emit(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	emit(f, BPF_RET | BPF_K, otherwise, 0, 0);
}

/* Is it open, how, and another number for it. */
static void allow_fcntl(struct filter *f)
{
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 6);
	load(f, offsetof(struct seccomp_data, args) + 8UL);
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, F_GETFD, 3, 0);
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, F_GETFL, 2, 0);
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, F_DUPFD_CLOEXEC, 1, 0);
	emit(f, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
	emit(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
}

/* mmap and mprotect: never executable, and never a change of the file. */
static void allow_memory(struct filter *f)
{
	size_t arguments = offsetof(struct seccomp_data, args);

	emit(f, BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 1, 0);
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 8);
	load(f, arguments + 8 * 2UL);
	emit(f, BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 4, 0);
	/* mprotect has no fourth argument, and one that was shared was refused. */
	load(f, offsetof(struct seccomp_data, nr));
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 3, 0);
	load(f, arguments + 8 * 3UL);
	emit(f, BPF_JMP | BPF_JSET | BPF_K, MAP_SHARED, 0, 1);
	emit(f, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
	emit(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
}

static void build_filter(struct filter *f, int socket)
{
	const unsigned int no_file = SECCOMP_RET_ERRNO | ENOENT, kill = SECCOMP_RET_KILL_PROCESS;

	f->length = 0;
	load(f, offsetof(struct seccomp_data, arch));
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0);
	emit(f, BPF_RET | BPF_K, kill, 0, 0);
	load(f, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		return_for(f, allowed[i], SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		return_for(
			f, refused[i].number, SECCOMP_RET_ERRNO | (unsigned int)refused[i].error);
	/* The C library's fstat(). */
	allow_if(f, SYS_newfstatat, 3, BPF_JSET, AT_EMPTY_PATH, no_file);
	allow_fcntl(f);
	allow_if(f, SYS_recvmsg, 0, BPF_JEQ, (unsigned int)socket, kill);
	allow_if(f, SYS_recvfrom, 0, BPF_JEQ, (unsigned int)socket, kill);
	allow_if(f, SYS_sendto, 0, BPF_JEQ, (unsigned int)socket, kill);
	/* abort() tells what happened; no other process can be reached. */
	allow_if(f, SYS_tgkill, 0, BPF_JEQ, (unsigned int)getpid(), kill);
#if SANDBOX_SANITIZED
	allow_if(f, SYS_write, 0, BPF_JEQ, STDERR_FILENO, SECCOMP_RET_ERRNO | EPERM);
#endif
	allow_memory(f);
	emit(f, BPF_RET | BPF_K, kill, 0, 0);
}

static int enter_seccomp(int socket)
{
	struct filter f;
	struct sock_fprog program = { .filter = f.code };

	build_filter(&f, socket);
	program.len = f.length;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) ? -errno : 0;
}

int sandbox_enter(int socket, uint32_t *layers)
{
	uint32_t got;
	int error;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	offer_to_oom_killer();
	got = isolate(NAMESPACES);
	/* Takes CAP_SETPCAP: before the user changes. */
	drop_bounding_set();
	if (!geteuid())
		got |= become_nobody();
	/* Without privileges: inside a user namespace, where it has them again, to lose them again. */
	if (!got || got == SANDBOX_NOBODY) {
		got |= isolate(CLONE_NEWUSER | NAMESPACES);
		drop_bounding_set();
	}
	error = drop_capabilities();
	if (!error)
		error = limit_resources();
	if (error)
		return error;
	/* The change of user has reset both. A parent that is gone already closed the socket. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return -errno;
	*layers = got;
	return enter_seccomp(socket);
}
