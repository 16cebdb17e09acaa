// SPDX-License-Identifier: GPL-2.0-or-later
#include "sideband.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RING_PAGES 16 /* a power of two */

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t ring_bytes(void)
{
	return RING_PAGES * page_bytes();
}

static int open_cpu(struct sideband_cpu *c, int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.mmap = 1,
		.mmap2 = 1,
		.comm = 1,
		.comm_exec = 1,
		/* Each record ends with its time. */
		.sample_type = PERF_SAMPLE_TIME,
		.sample_id_all = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.watermark = 1,
		.wakeup_watermark = (uint32_t)(RING_PAGES / 2 * page_bytes()),
	};

	c->fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (c->fd < 0)
		return -errno;
	c->ring = mmap(
		NULL, page_bytes() + ring_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (c->ring == MAP_FAILED) {
		int error = -errno;

		close(c->fd);
		return error;
	}
	return 0;
}

int sideband_open(struct sideband *s)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	struct sideband opened = { .cpus = calloc((size_t)cpus, sizeof(*opened.cpus)) };

	if (!opened.cpus)
		return -ENOMEM;
	for (int cpu = 0; cpu < cpus; cpu++) {
		int error = open_cpu(&opened.cpus[opened.count], cpu);

		if (error == -ENODEV) /* this CPU is offline */
			continue;
		if (error) {
			sideband_close(&opened);
			return error;
		}
		opened.count++;
	}
	*s = opened;
	return 0;
}

/* Records wrap around the ring's end: copied out piece by piece. */
static void copy_out(const uint8_t *data, uint64_t at, void *to, size_t n)
{
	size_t size = ring_bytes(), offset = at & (size - 1);
	size_t first = n < size - offset ? n : size - offset;

	memcpy(to, data + offset, first);
	memcpy((uint8_t *)to + first, data, n - first);
}

static void read_record(const uint8_t *data, uint64_t at, const struct perf_event_header *header,
	sideband_tell *tell, void *context)
{
	uint32_t pid = 0;
	uint64_t time = 0;

	if (header->type == PERF_RECORD_LOST) {
		tell(context, SIDEBAND_LOST, 0, 0);
		return;
	}
	if (header->size < sizeof(*header) + sizeof(pid) + sizeof(time))
		return;
	copy_out(data, at + sizeof(*header), &pid, sizeof(pid)); /* every record begins with it */
	copy_out(data, at + header->size - sizeof(time), &time, sizeof(time));
	if (header->type == PERF_RECORD_MMAP || header->type == PERF_RECORD_MMAP2)
		tell(context, SIDEBAND_MAPPED, (pid_t)pid, time);
	if (header->type == PERF_RECORD_COMM && header->misc & PERF_RECORD_MISC_COMM_EXEC)
		tell(context, SIDEBAND_EXEC, (pid_t)pid, time);
}

static void read_cpu(struct sideband_cpu *c, sideband_tell *tell, void *context)
{
	struct perf_event_mmap_page *page = c->ring;
	const uint8_t *data = (const uint8_t *)c->ring + page_bytes();
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE), tail = page->data_tail;

	while (tail < head) {
		struct perf_event_header header;

		copy_out(data, tail, &header, sizeof(header));
		if (header.size < sizeof(header))
			break;
		read_record(data, tail, &header, tell, context);
		tail += header.size;
	}
	__atomic_store_n(&page->data_tail, head, __ATOMIC_RELEASE);
}

void sideband_read(struct sideband *s, sideband_tell *tell, void *context)
{
	for (uint32_t i = 0; i < s->count; i++)
		read_cpu(&s->cpus[i], tell, context);
}

void sideband_close(struct sideband *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		munmap(s->cpus[i].ring, page_bytes() + ring_bytes());
		close(s->cpus[i].fd);
	}
	free(s->cpus);
	*s = (struct sideband){ 0 };
}
