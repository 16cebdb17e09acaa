// SPDX-License-Identifier: GPL-2.0-or-later
#include "image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../base/err.h"
#include "mapped.h"
#include "privilege.h"

#define MAPS_LIMIT (256UL << 20) /* bytes of text: two million mappings */
#define VDSO_MAX   (1UL << 20)

static bool is_vdso(const struct map_entry *m, const char *path)
{
	return !m->inode && !strcmp(path, MODULE_VDSO);
}

/* The vDSO has no inode, and of each mapping of it there is but one. */
static int module_id(const struct image *image, const struct map_entry *m, const char *path)
{
	for (uint32_t i = 0; i < image->module_count; i++)
		if (image->modules[i].inode == m->inode && image->modules[i].device == m->device &&
			(m->inode || !strcmp(image->modules[i].path, path)))
			return (int)i;
	return -1;
}

/* A file with the bytes of a mapping that has none, or -errno. */
static int copy_mapped(pid_t pid, const struct map_entry *m)
{
	size_t length = m->end - m->start;
	uint8_t *bytes CLEANUP_FREE = length <= VDSO_MAX ? malloc(length) : NULL;
	struct iovec here = { bytes, length }, there = { (void *)(uintptr_t)m->start, length };
	CLEANUP_CLOSE int fd = -1;

	if (!bytes)
		return -EFBIG;
	if (process_vm_readv(pid, &here, 1, &there, 1, 0) != (ssize_t)length)
		return errno ? -errno : -EIO;
	fd = memfd_create("heaptap-vdso", MFD_CLOEXEC);
	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
		return -errno;
	return TAKE_FD(fd);
}

/* The id of the new module. -ENODATA: it cannot be had, and is no module; -ENOMEM. */
static int module_add(struct image *image, pid_t pid, const struct map_entry *first,
	const struct map_entry *m, const char *path, const struct buffer *names)
{
	struct module *modules =
		realloc(image->modules, (image->module_count + 1) * sizeof(*modules));
	struct module *new;

	if (!modules)
		return -ENOMEM;
	image->modules = modules;
	new = &modules[image->module_count];
	*new = (struct module){ .device = m->device, .inode = m->inode, .deleted = m->deleted };
	new->fd = is_vdso(m, path) ? copy_mapped(pid, m) : mapped_open(pid, first, m, path);
	new->error = new->fd < 0 ? new->fd : 0;
	if (new->fd < 0)
		debug("cannot open %s of pid %d: %s", path, pid, strerror(-new->error));
	if (new->fd < 0 && is_vdso(m, path))
		return -ENODATA;
	new->path = strdup(path);
	if (!new->path) {
		cleanup_close(&new->fd);
		return -ENOMEM;
	}
	if (new->fd >= 0 && !parse_file(&elf_parser, new->fd, names, &new->elf))
		new->allocator = allocator_of(module_elf(new));
	return (int)image->module_count++;
}

static int add_range(struct image *image, const struct ht_range *range)
{
	/* Grows by doubling at powers of two. */
	if (!(image->range_count & (image->range_count - 1))) {
		size_t capacity = image->range_count ? 2UL * image->range_count : 1;
		struct ht_range *ranges = realloc(image->ranges, capacity * sizeof(*ranges));

		if (!ranges)
			return -ENOMEM;
		image->ranges = ranges;
	}
	image->ranges[image->range_count++] = *range;
	return 0;
}

static struct ht_range range_of(const struct image *image, const struct map_entry *m, int id)
{
	struct ht_range range = { .start = m->start, .end = m->end, .module = HT_MODULE_NONE };
	const struct elf_info *elf;
	uint64_t address;

	if (id < 0)
		return range;
	elf = module_elf(&image->modules[id]);
	address = elf ? elf_address_of_offset(elf, m->offset) : UINT64_MAX;
	range.module = (uint32_t)id;
	/* A file that is no ELF file (a JIT's cache) is its own address space: the file offset. */
	range.bias = m->start - (address == UINT64_MAX ? m->offset : address);
	/* A static program starts itself: there its first frame pointer, 0, ends the stack. */
	if (elf && elf->type == ET_DYN && allocator_starts_programs(elf))
		range.flags = HT_RANGE_ROOT;
	return range;
}

/* Not code of the process: kernel pages that stacks never return into, or only by our own doing. */
static bool is_kernel_page(const char *path)
{
	return !strcmp(path, "[uprobes]") || !strcmp(path, "[vsyscall]");
}

static int read_entry(struct image *image, pid_t pid, const struct map_entry *first,
	const struct map_entry *m, const char *text, const struct buffer *names)
{
	char path[MAPPED_PATH];
	struct ht_range range;
	int id = -1;

	if (!m->executable)
		return 0;
	mapped_path(path, text, m);
	if (is_kernel_page(path))
		return 0;
	if (m->inode || is_vdso(m, path)) {
		id = module_id(image, m, path);
		if (id < 0)
			id = module_add(image, pid, first, m, path, names);
		if (id < 0 && id != -ENODATA)
			return id;
	}
	range = range_of(image, m, id);
	return add_range(image, &range);
}

int image_read(struct image *image, const struct process *p)
{
	struct buffer text CLEANUP_BUFFER = { 0 }, entries CLEANUP_BUFFER = { 0 };
	struct buffer names CLEANUP_BUFFER = { 0 };
	const struct map_entry *m, *first;
	pid_t pid = process_live_thread(p);
	char path[64], advice[PRIVILEGE_TEXT];
	int error;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	error = buffer_read_file(&text, path, MAPS_LIMIT);
	if (error == -ESRCH || error == -ENOENT || (!error && !text.length))
		return err(-ESRCH, "pid %d (%s) has exited", p->pid, p->comm);
	if (error == -EACCES || error == -EPERM)
		return err(error, "may not look into pid %d (%s): %s", p->pid, p->comm,
			privilege_advice(advice, PRIVILEGE_SYS_PTRACE));
	if (error)
		return err(error, "cannot read the mappings of pid %d (%s): %s", p->pid, p->comm,
			strerror(-error));
	if (maps_parse((const char *)text.data, text.length, &entries) || allocator_names(&names))
		return err(-EIO, "cannot understand the mappings of pid %d", p->pid);
	image->range_count = 0;
	first = (const void *)entries.data;
	for (m = first; (const uint8_t *)m < entries.data + entries.length; m++) {
		error = read_entry(image, pid, first, m, (const char *)text.data, &names);
		if (error)
			return err(error, "out of memory");
	}
	return 0;
}

/* What the mappings of a process say of a file is learnt by mapping it: stat says other numbers on some file systems. */
static int add_mapped(struct image *image, const void *at, const struct buffer *names)
{
	struct buffer text CLEANUP_BUFFER = { 0 }, entries CLEANUP_BUFFER = { 0 };
	const struct map_entry *m, *first;
	char path[MAPPED_PATH];

	if (buffer_read_file(&text, "/proc/self/maps", MAPS_LIMIT) ||
		maps_parse((const char *)text.data, text.length, &entries))
		return -EIO;
	first = (const void *)entries.data;
	for (m = first; (const uint8_t *)m < entries.data + entries.length; m++) {
		if (m->start != (uintptr_t)at)
			continue;
		mapped_path(path, (const char *)text.data, m);
		if (module_id(image, m, path) >= 0)
			return 0;
		return module_add(image, getpid(), first, m, path, names) < 0 ? -ENOMEM : 0;
	}
	return -EIO;
}

int image_add_file(struct image *image, const char *path)
{
	struct buffer names CLEANUP_BUFFER = { 0 };
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *at;
	int error;

	if (fd < 0)
		return err(-errno, "cannot open %s: %s", path, strerror(errno));
	if (allocator_names(&names))
		return err(-ENOMEM, "out of memory");
	at = mmap(NULL, page, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return err(-errno, "cannot map %s: %s", path, strerror(errno));
	error = add_mapped(image, at, &names);
	munmap(at, page);
	return error ? err(error, "cannot look into %s", path) : 0;
}

void image_release(struct image *image)
{
	for (uint32_t i = 0; i < image->module_count; i++) {
		struct module *m = &image->modules[i];

		free(m->path);
		if (m->fd >= 0)
			close(m->fd);
		buffer_release(&m->elf);
	}
	free(image->modules);
	free(image->ranges);
	*image = (struct image){ 0 };
}
