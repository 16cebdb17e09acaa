// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Random allocator calls from several threads against an exact log of its own.
 *
 * An event is one call that the allocator serves. A block lives in a slot: of a pool shared by all
 * threads, where whoever swaps it out frees it, or of the thread's own. Size and site of birth
 * stand in the block's first bytes, so that a slot is one pointer and an exchange moves the block
 * whole. With `--events 0` the run goes on until the line "stop"; the line "count" is answered by
 * "count N", the events so far.
 */

#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>

#include "workload.h"

#define THREADS_MAX 16
#define MAGIC	    0x5e17

enum { BIRTHS = 12, MOVES = 4, SITES = BIRTHS + MOVES };

static const char *const names[SITES] = { "site_malloc_a", "site_malloc_b", "site_malloc_c",
	"site_malloc_d", "site_malloc_e", "site_malloc_f", "site_calloc_a", "site_calloc_b",
	"site_realloc_null", "site_memalign", "site_aligned_alloc", "site_posix_memalign",
	"site_realloc_a", "site_realloc_b", "site_realloc_c", "site_reallocarray" };

struct head {
	uint32_t size;
	uint16_t site, magic;
};

struct worker {
	struct wl_tally tally;
	pthread_t thread;
	uint64_t events, seed;
	uint64_t done; /* of an endless run */
	struct head **own;
};

static struct worker workers[THREADS_MAX];
static pthread_barrier_t barrier;
static struct head **shared;
static uint64_t threads = 4, events = 10000000, seed = 1, live = 20000;
static uint64_t shared_slots, own_slots;
static int stop;

#define MALLOC_SITE(name)                                                                          \
	WL_SITE static void *site_malloc_##name(size_t size)                                       \
	{                                                                                          \
		return wl_kept(malloc(size));                                                      \
	}

MALLOC_SITE(a)
MALLOC_SITE(b)
MALLOC_SITE(c)
MALLOC_SITE(d)
MALLOC_SITE(e)
MALLOC_SITE(f)

WL_SITE static void *site_calloc_a(size_t size)
{
	return wl_kept(calloc(1, size));
}

WL_SITE static void *site_calloc_b(size_t size)
{
	return wl_kept(calloc(size, 1));
}

WL_SITE static void *site_realloc_null(size_t size)
{
	return wl_kept(realloc(NULL, size));
}

WL_SITE static void *site_memalign(size_t size)
{
	return wl_kept(memalign(64, size));
}

WL_SITE static void *site_aligned_alloc(size_t size)
{
	return wl_kept(aligned_alloc(32, size));
}

WL_SITE static void *site_posix_memalign(size_t size)
{
	void *ptr = NULL;

	if (posix_memalign(&ptr, 128, size))
		wl_die("posix_memalign failed");
	return wl_kept(ptr);
}

#define REALLOC_SITE(name)                                                                         \
	WL_SITE static void *site_realloc_##name(void *old, size_t size)                           \
	{                                                                                          \
		return wl_kept(realloc(old, size));                                                \
	}

REALLOC_SITE(a)
REALLOC_SITE(b)
REALLOC_SITE(c)

WL_SITE static void *site_reallocarray(void *old, size_t size)
{
	return wl_kept(reallocarray(old, 1, size));
}

static void *(*const births[BIRTHS])(size_t) = { site_malloc_a, site_malloc_b, site_malloc_c,
	site_malloc_d, site_malloc_e, site_malloc_f, site_calloc_a, site_calloc_b,
	site_realloc_null, site_memalign, site_aligned_alloc, site_posix_memalign };

static void *(*const moves[MOVES])(
	void *, size_t) = { site_realloc_a, site_realloc_b, site_realloc_c, site_reallocarray };

/* Mostly small; 1 in 64 up to 16 KiB; 1 in 16,384 a mapping of its own. */
static size_t random_size(uint64_t bits)
{
	if (!(bits & 0x3fff))
		return ((size_t)128 << 10) + (bits >> 14 & 0x1ffff);
	if (!(bits & 0x3f))
		return 8 + (bits >> 14 & 0x3fff);
	return 8 + (bits >> 14 & 0xff);
}

static struct head *filed(struct worker *worker, void *block, unsigned int site, size_t size)
{
	struct head *head = (struct head *)block;

	if (!head)
		wl_die("out of memory");
	head->size = (uint32_t)size;
	head->site = (uint16_t)site;
	head->magic = MAGIC;
	wl_alloc(&worker->tally, site, size);
	return head;
}

static void struck(struct worker *worker, const struct head *head)
{
	if (head->magic != MAGIC || head->site >= SITES)
		wl_die("a block's content has changed");
	wl_free(&worker->tally, head->site, head->size);
}

static void drop(struct worker *worker, struct head *head)
{
	struck(worker, head);
	head->magic = 0;
	free(head);
}

static struct head *move(struct worker *worker, struct head *head, unsigned int which, size_t size)
{
	struck(worker, head);
	return filed(worker, moves[which](head, size), BIRTHS + which, size);
}

/* Returns the number of events that one step took. */
static unsigned int step(struct worker *worker)
{
	uint64_t bits = wl_random(&worker->seed), where = wl_random(&worker->seed) >> 16;
	struct head **slot =
		bits & 1 ? &shared[where % shared_slots] : &worker->own[where % own_slots];
	struct head *old = __atomic_exchange_n(slot, NULL, __ATOMIC_ACQ_REL), *block;
	unsigned int kind = bits >> 1 & 0xff;
	size_t size = random_size(bits >> 9);

	if (old && kind >= 64) {
		drop(worker, old);
		return 1;
	}
	if (old)
		block = move(worker, old, kind % MOVES, size);
	else
		block = filed(worker, births[kind % BIRTHS](size), kind % BIRTHS, size);
	old = __atomic_exchange_n(slot, block, __ATOMIC_ACQ_REL);
	if (!old)
		return 1;
	/* Another thread was faster. */
	drop(worker, old);
	return 2;
}

static void *work(void *arg)
{
	struct worker *worker = (struct worker *)arg;

	pthread_barrier_wait(&barrier);
	if (events) {
		for (uint64_t done = 0; done < worker->events;)
			done += step(worker);
	} else {
		while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
			__atomic_store_n(
				&worker->done, worker->done + step(worker), __ATOMIC_RELAXED);
	}
	pthread_barrier_wait(&barrier);
	wl_rest();
}

static struct head **pool(uint64_t slots)
{
	void *memory = mmap(NULL, slots * sizeof(struct head *), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		wl_die("cannot map a pool");
	return (struct head **)memory;
}

static void start_workers(void)
{
	shared_slots = live / 2;
	own_slots = live / 2 / threads;
	shared = pool(shared_slots);
	pthread_barrier_init(&barrier, NULL, (unsigned int)threads + 1);
	for (uint64_t i = 0; i < threads; i++) {
		struct worker *worker = &workers[i];

		worker->own = pool(own_slots);
		worker->events = events / threads;
		/* xorshift is stuck at 0 and slow to leave small numbers. */
		worker->seed = (seed * threads + i + 1) * 0x9e3779b97f4a7c15u;
		if (pthread_create(&worker->thread, NULL, work, worker))
			wl_die("cannot start a thread");
	}
}

static void answer_until_stop(void)
{
	char line[64];

	for (;;) {
		uint64_t sum = 0;

		if (wl_line(line, sizeof(line)) < 0 || !strcmp(line, "quit"))
			_exit(0);
		if (!strcmp(line, "stop"))
			return;
		for (uint64_t i = 0; i < threads; i++)
			sum += __atomic_load_n(&workers[i].done, __ATOMIC_RELAXED);
		snprintf(line, sizeof(line), "count %llu\n", (unsigned long long)sum);
		wl_say(line);
	}
}

int main(int argc, char **argv)
{
	static struct wl_tally sum;
	const char *truth = NULL;
	const struct wl_option options[] = {
		{ "--threads", &threads, NULL, NULL },
		{ "--events", &events, NULL, NULL },
		{ "--seed", &seed, NULL, NULL },
		{ "--live", &live, NULL, NULL },
		{ "--truth", NULL, &truth, NULL },
		{ NULL, NULL, NULL, NULL },
	};

	wl_options(argc, argv, options);
	if (!threads || threads > THREADS_MAX || live < 2 * threads)
		wl_die("--threads must be 1 to 16, --live at least twice that");
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	start_workers();
	wl_ready();
	pthread_barrier_wait(&barrier);
	if (!events) {
		answer_until_stop();
		__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	}
	pthread_barrier_wait(&barrier);
	for (uint64_t i = 0; i < threads; i++)
		wl_merge(&sum, &workers[i].tally);
	wl_truth(truth, names, SITES, &sum, 1);
	wl_say("done\n");
	wl_park();
}
