// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every way into glibc's allocator from several threads, with a known count at each call site.
 *
 * Blocks carry a byte at each end that is checked when they move or die: a tracer that clobbers
 * a register or a saved word shows here, not as a wrong count.
 */

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

#include "workload.h"

#define THREADS_MAX 16
#define RING	    256
#define BEFORE	    64
#define KEEP_ONE_IN 8
#define MAPPED	    ((size_t)256 << 10)
#define IMPOSSIBLE  ((size_t)1 << 62) /* below PTRDIFF_MAX, so it fails late, in mmap */
#define TICK_NS	    250000

/* clang-format off */
#define SITE_LIST(X)                                                                               \
	X(malloc) X(malloc_zero) X(malloc_chain) X(malloc_fail)                                    \
	X(calloc) X(calloc_zero) X(calloc_fail)                                                    \
	X(realloc) X(realloc_null) X(realloc_zero) X(realloc_fail) X(realloc_before)               \
	X(malloc_mapped) X(realloc_mapped)                                                         \
	X(reallocarray) X(reallocarray_null) X(reallocarray_zero) X(reallocarray_fail)             \
	X(posix_memalign) X(posix_memalign_fail) X(aligned_alloc) X(memalign) X(valloc) X(pvalloc) \
	X(strdup) X(handover) X(signal) X(altstack)
/* clang-format on */

enum {
#define X(name) SITE_##name,
	SITE_LIST(X)
#undef X
		SITES
};

static const char *const names[SITES] = {
#define X(name) "site_" #name,
	SITE_LIST(X)
#undef X
};

struct block {
	void *ptr;
	size_t size;
	unsigned int site;
};

/* One producer, one consumer. */
struct ring {
	struct block slot[RING];
	unsigned int head, tail;
};

struct worker {
	struct wl_tally tally;
	pthread_t thread;
	unsigned int index, round;
	timer_t timer;
	volatile sig_atomic_t ticks;
	struct block signalled;
	struct block before[BEFORE];
	struct ring inbox;
	char altstack[64 << 10];
};

static struct worker workers[THREADS_MAX];
static pthread_barrier_t barrier;	 /* with main */
static pthread_barrier_t worker_barrier; /* without */
static uint64_t threads = 4, rounds = 1000;
static __thread struct worker *self;

WL_SITE static void *site_malloc(size_t size)
{
	return wl_kept(malloc(size));
}

WL_SITE static void *site_malloc_zero(void)
{
	return wl_kept(malloc(wl_opaque(0)));
}

WL_SITE static void *site_malloc_chain(size_t size)
{
	return wl_kept(malloc(size));
}

WL_SITE static void *site_malloc_fail(size_t size)
{
	return wl_kept(malloc(size));
}

WL_SITE static void *site_malloc_mapped(size_t size)
{
	return wl_kept(malloc(size));
}

WL_SITE static void *site_calloc(size_t count, size_t size)
{
	return wl_kept(calloc(count, size));
}

WL_SITE static void *site_calloc_zero(void)
{
	return wl_kept(calloc(wl_opaque(0), wl_opaque(0)));
}

WL_SITE static void *site_calloc_fail(size_t count, size_t size)
{
	return wl_kept(calloc(count, size));
}

WL_SITE static void *site_realloc(void *old, size_t size)
{
	return wl_kept(realloc(old, size));
}

WL_SITE static void *site_realloc_null(size_t size)
{
	return wl_kept(realloc(NULL, size));
}

WL_SITE static void *site_realloc_zero(void *old)
{
	return wl_kept(realloc(old, wl_opaque(0)));
}

WL_SITE static void *site_realloc_fail(void *old, size_t size)
{
	return wl_kept(realloc(old, size));
}

WL_SITE static void *site_realloc_before(void *old, size_t size)
{
	return wl_kept(realloc(old, size));
}

WL_SITE static void *site_realloc_mapped(void *old, size_t size)
{
	return wl_kept(realloc(old, size));
}

WL_SITE static void *site_reallocarray(void *old, size_t count, size_t size)
{
	return wl_kept(reallocarray(old, count, size));
}

WL_SITE static void *site_reallocarray_null(size_t count, size_t size)
{
	return wl_kept(reallocarray(NULL, count, size));
}

WL_SITE static void *site_reallocarray_zero(void *old, size_t count)
{
	return wl_kept(reallocarray(old, count, wl_opaque(0)));
}

WL_SITE static void *site_reallocarray_fail(void *old, size_t count, size_t size)
{
	return wl_kept(reallocarray(old, count, size));
}

WL_SITE static void *site_posix_memalign(size_t align, size_t size)
{
	void *ptr = NULL;

	if (posix_memalign(&ptr, align, size))
		wl_die("posix_memalign failed");
	return wl_kept(ptr);
}

WL_SITE static int site_posix_memalign_fail(void **ptr, size_t align, size_t size)
{
	int error = posix_memalign(ptr, align, size);

	wl_kept(ptr);
	return error;
}

WL_SITE static void *site_aligned_alloc(size_t align, size_t size)
{
	return wl_kept(aligned_alloc(align, size));
}

WL_SITE static void *site_memalign(size_t align, size_t size)
{
	return wl_kept(memalign(align, size));
}

WL_SITE static void *site_valloc(size_t size)
{
	return wl_kept(valloc(size));
}

WL_SITE static void *site_pvalloc(size_t size)
{
	return wl_kept(pvalloc(size));
}

WL_SITE static char *site_strdup(const char *text)
{
	return (char *)wl_kept(strdup(text));
}

WL_SITE static void *site_handover(size_t size)
{
	return wl_kept(malloc(size));
}

WL_SITE static void *site_signal(size_t size)
{
	return wl_kept(malloc(size));
}

WL_SITE static void *site_altstack(size_t size)
{
	return wl_kept(malloc(size));
}

static unsigned char mark_of(size_t size)
{
	return (unsigned char)(size * 31 + 7);
}

static struct block born(struct worker *worker, unsigned int site, void *ptr, size_t size)
{
	unsigned char *bytes = (unsigned char *)ptr;

	if (!ptr)
		wl_die("an allocation failed that should not have");
	if (size)
		bytes[0] = bytes[size - 1] = mark_of(size);
	wl_alloc(&worker->tally, site, size);
	return (struct block){ ptr, size, site };
}

static void check(const struct block *block)
{
	const unsigned char *bytes = (const unsigned char *)block->ptr;

	if (!block->size)
		return;
	if (bytes[0] != mark_of(block->size) || bytes[block->size - 1] != mark_of(block->size))
		wl_die("a block's content has changed");
}

static void release(struct worker *worker, const struct block *block)
{
	check(block);
	wl_free(&worker->tally, block->site, block->size);
	free(block->ptr);
}

/* Accounts for a successful reallocation of `old`, whose memory is gone by now. */
static struct block moved(
	struct worker *worker, const struct block *old, unsigned int site, void *ptr, size_t size)
{
	if (ptr && old->size && size && *(unsigned char *)ptr != mark_of(old->size))
		wl_die("realloc lost the content");
	wl_free(&worker->tally, old->site, old->size);
	return born(worker, site, ptr, size);
}

/* Some blocks of each site stay live, each site's in rounds of its own. */
static void settle(struct worker *worker, const struct block *block)
{
	if ((worker->round + block->site) % KEEP_ONE_IN)
		release(worker, block);
}

static void aligned(const struct block *block, size_t align)
{
	if ((uintptr_t)block->ptr % align)
		wl_die("a block is not aligned as asked");
}

static void zeroed(const void *ptr, size_t size)
{
	const char *bytes = (const char *)ptr;

	if (ptr && size && (bytes[0] || bytes[size - 1]))
		wl_die("calloc left dirt");
}

static void failed(struct worker *worker, const void *ptr)
{
	if (ptr)
		wl_die("an allocation succeeded that should not have");
	worker->tally.failed_count++;
}

static void round_plain(struct worker *worker)
{
	size_t size = 1 + worker->round % 3000, count = 1 + worker->round % 17;
	struct block block;
	void *ptr;

	block = born(worker, SITE_malloc, site_malloc(size), size);
	settle(worker, &block);
	ptr = site_calloc(count, 24);
	zeroed(ptr, count * 24);
	block = born(worker, SITE_calloc, ptr, count * 24);
	settle(worker, &block);
	block = born(worker, SITE_malloc_zero, site_malloc_zero(), 0);
	settle(worker, &block);
	block = born(worker, SITE_calloc_zero, site_calloc_zero(), 0);
	settle(worker, &block);
	free(wl_kept(NULL));
}

static void round_realloc(struct worker *worker)
{
	static const size_t sizes[] = { 25, 200, 1100, 900, 9000, 70000, 12 };
	struct block block = born(worker, SITE_malloc_chain, site_malloc_chain(16), 16);
	size_t first = worker->round % 5;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		block = moved(
			worker, &block, SITE_realloc, site_realloc(block.ptr, sizes[i]), sizes[i]);
	settle(worker, &block);

	/* Every fifth of these is realloc(NULL, 0), a block of no bytes that then grows. */
	block = born(worker, SITE_realloc_null, site_realloc_null(first * 40), first * 40);
	block = moved(worker, &block, SITE_reallocarray, site_reallocarray(block.ptr, 7, 30), 210);
	settle(worker, &block);
	block = born(worker, SITE_reallocarray_null, site_reallocarray_null(5, 11), 55);
	settle(worker, &block);
}

static void round_realloc_zero(struct worker *worker)
{
	struct block block = born(worker, SITE_malloc_chain, site_malloc_chain(48), 48);

	wl_free(&worker->tally, block.site, block.size);
	if (site_realloc_zero(block.ptr))
		wl_die("realloc(p, 0) returned a block");
	block = born(worker, SITE_malloc_chain, site_malloc_chain(300), 300);
	wl_free(&worker->tally, block.site, block.size);
	if (site_reallocarray_zero(block.ptr, 3))
		wl_die("reallocarray(p, n, 0) returned a block");
}

/* Grown chunks of this size move by mremap, without a call of malloc or free inside. */
static void round_mapped(struct worker *worker)
{
	struct block block;

	if (worker->round % 8)
		return;
	block = born(worker, SITE_malloc_mapped, site_malloc_mapped(MAPPED), MAPPED);
	for (size_t size = 2 * MAPPED; size <= 16 * MAPPED; size *= 2)
		block = moved(worker, &block, SITE_realloc_mapped,
			site_realloc_mapped(block.ptr, size), size);
	if (worker->round % 128)
		release(worker, &block);
}

static void round_aligned(struct worker *worker)
{
	size_t align = (size_t)16 << worker->round % 6, size = 1 + worker->round % 500;
	struct block block;

	block = born(worker, SITE_posix_memalign, site_posix_memalign(align, size), size);
	aligned(&block, align);
	settle(worker, &block);
	block = born(worker, SITE_aligned_alloc, site_aligned_alloc(align, align * 3), align * 3);
	aligned(&block, align);
	settle(worker, &block);
	block = born(worker, SITE_memalign, site_memalign(align, size), size);
	aligned(&block, align);
	settle(worker, &block);
	block = born(worker, SITE_valloc, site_valloc(size), size);
	aligned(&block, WL_PAGE);
	settle(worker, &block);
	block = born(worker, SITE_pvalloc, site_pvalloc(size), size);
	aligned(&block, WL_PAGE);
	settle(worker, &block);
}

static void round_failing(struct worker *worker)
{
	size_t huge = wl_opaque(worker->round % 2 ? IMPOSSIBLE : SIZE_MAX - 64);
	struct block block = born(worker, SITE_malloc_chain, site_malloc_chain(80), 80);
	void *ptr = &block;

	failed(worker, site_malloc_fail(huge));
	failed(worker, site_calloc_fail(wl_opaque(SIZE_MAX / 2), 4));
	failed(worker, site_realloc_fail(block.ptr, huge));
	check(&block);
	failed(worker, site_realloc_fail(NULL, huge));
	failed(worker, site_reallocarray_fail(block.ptr, wl_opaque(SIZE_MAX / 2), 4));
	check(&block);
	if (site_posix_memalign_fail(&ptr, wl_opaque(24), 100) != EINVAL || ptr != &block)
		wl_die("posix_memalign took a bad alignment");
	worker->tally.failed_count++;
	if (site_posix_memalign_fail(&ptr, 64, huge) != ENOMEM || ptr != &block)
		wl_die("posix_memalign took a huge size");
	worker->tally.failed_count++;
	/* The block must have survived all that under its own site. */
	settle(worker, &block);
}

static void round_strdup(struct worker *worker)
{
	static const char text[] = "a copy is made by a call inside the C library";
	const char *tail = text + worker->round % sizeof(text);
	char *copy = site_strdup(tail);
	struct block block;

	if (copy && strcmp(copy, tail))
		wl_die("strdup made no copy");
	block = born(worker, SITE_strdup, copy, strlen(tail) + 1);
	settle(worker, &block);
}

static void round_signal(struct worker *worker)
{
	worker->signalled.ptr = NULL;
	raise(SIGUSR1);
	if (!worker->signalled.ptr)
		wl_die("raise returned before its handler ran");
	settle(worker, &worker->signalled);

	worker->signalled.ptr = NULL;
	pthread_kill(pthread_self(), SIGUSR2);
	if (!worker->signalled.ptr)
		wl_die("pthread_kill returned before its handler ran");
	settle(worker, &worker->signalled);
}

static int ring_push(struct ring *ring, const struct block *block)
{
	unsigned int head = ring->head;

	if (head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) == RING)
		return 0;
	ring->slot[head % RING] = *block;
	__atomic_store_n(&ring->head, head + 1, __ATOMIC_RELEASE);
	return 1;
}

static int ring_pop(struct ring *ring, struct block *block)
{
	unsigned int tail = ring->tail;

	if (tail == __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE))
		return 0;
	*block = ring->slot[tail % RING];
	__atomic_store_n(&ring->tail, tail + 1, __ATOMIC_RELEASE);
	return 1;
}

static void round_handover(struct worker *worker)
{
	struct worker *next = &workers[(worker->index + 1) % threads];
	size_t size = 33 + worker->round % 200;
	struct block block = born(worker, SITE_handover, site_handover(size), size);

	if (!ring_push(&next->inbox, &block))
		release(worker, &block);
	if (ring_pop(&worker->inbox, &block))
		release(worker, &block);
}

/* Blocks the tracer never saw being born. The rest stays: it is neither live nor freed to it. */
static void release_before(struct worker *worker)
{
	struct block block;
	int i = 0;

	for (; i < 24; i++)
		release(worker, &worker->before[i]);
	for (; i < 32; i++) {
		worker->round = (unsigned int)i;
		block = moved(worker, &worker->before[i], SITE_realloc_before,
			site_realloc_before(worker->before[i].ptr, 500), 500);
		settle(worker, &block);
	}
	for (; i < 40; i++) {
		wl_free(&worker->tally, WL_BEFORE, 0);
		if (site_realloc_zero(worker->before[i].ptr))
			wl_die("realloc(p, 0) returned a block");
	}
	for (; i < 48; i++) {
		failed(worker, site_realloc_fail(worker->before[i].ptr, wl_opaque(IMPOSSIBLE)));
		check(&worker->before[i]);
	}
}

static void on_raise(int signal)
{
	struct worker *worker = self;

	if (signal == SIGUSR1)
		worker->signalled = born(worker, SITE_signal, site_signal(72), 72);
	else
		worker->signalled = born(worker, SITE_altstack, site_altstack(136), 136);
}

/* Arrives anywhere, inside the allocator too, so it may not call it. */
static void on_tick(int signal)
{
	(void)signal;
	self->ticks++;
}

static void tick(struct worker *worker, long ns)
{
	struct itimerspec period = { { 0, ns }, { 0, ns } };

	if (timer_settime(worker->timer, 0, &period, NULL))
		wl_die("timer_settime failed");
}

static void set_up(struct worker *worker)
{
	stack_t stack = { .ss_sp = worker->altstack, .ss_size = sizeof(worker->altstack) };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM };

	self = worker;
	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (sigaltstack(&stack, NULL) || timer_create(CLOCK_MONOTONIC, &event, &worker->timer))
		wl_die("cannot set signals up");
	for (int i = 0; i < BEFORE; i++) {
		size_t size = 16 + (size_t)i * 8;
		unsigned char *bytes = (unsigned char *)malloc(size);

		if (!bytes)
			wl_die("out of memory");
		bytes[0] = bytes[size - 1] = mark_of(size);
		worker->before[i] = (struct block){ bytes, size, WL_BEFORE };
	}
}

static void run(struct worker *worker)
{
	struct block block;

	tick(worker, TICK_NS);
	release_before(worker);
	for (worker->round = 0; worker->round < rounds; worker->round++) {
		round_plain(worker);
		round_realloc(worker);
		round_realloc_zero(worker);
		round_mapped(worker);
		round_aligned(worker);
		round_failing(worker);
		round_strdup(worker);
		round_signal(worker);
		round_handover(worker);
	}
	while (worker->ticks < 16) {
		block = born(worker, SITE_malloc, site_malloc(64), 64);
		release(worker, &block);
	}
	tick(worker, 0);

	/* No producer is left beyond this point; a few blocks stay where they are. */
	pthread_barrier_wait(&worker_barrier);
	while (worker->inbox.head - worker->inbox.tail > 5 && ring_pop(&worker->inbox, &block))
		release(worker, &block);
}

static void *work(void *arg)
{
	struct worker *worker = (struct worker *)arg;

	set_up(worker);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	run(worker);
	pthread_barrier_wait(&barrier);
	wl_rest();
}

static void start_workers(void)
{
	struct sigaction action = { .sa_handler = on_tick, .sa_flags = SA_RESTART };

	/* Else the first free of a mapped chunk raises the threshold, and no later one is mapped.
	 */
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	sigaction(SIGALRM, &action, NULL);
	action.sa_handler = on_raise;
	sigaction(SIGUSR1, &action, NULL);
	action.sa_flags |= SA_ONSTACK;
	sigaction(SIGUSR2, &action, NULL);

	pthread_barrier_init(&barrier, NULL, (unsigned int)threads + 1);
	pthread_barrier_init(&worker_barrier, NULL, (unsigned int)threads);
	for (unsigned int i = 0; i < threads; i++) {
		workers[i].index = i;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			wl_die("cannot start a thread");
	}
}

int main(int argc, char **argv)
{
	static struct wl_tally sum;
	const char *truth = NULL;
	const struct wl_option options[] = {
		{ "--threads", &threads, NULL, NULL },
		{ "--rounds", &rounds, NULL, NULL },
		{ "--truth", NULL, &truth, NULL },
		{ NULL, NULL, NULL, NULL },
	};

	wl_options(argc, argv, options);
	if (!threads || threads > THREADS_MAX)
		wl_die("--threads must be 1 to 16");
	start_workers();
	pthread_barrier_wait(&barrier);
	wl_ready();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	for (unsigned int i = 0; i < threads; i++)
		wl_merge(&sum, &workers[i].tally);
	wl_truth(truth, names, SITES, &sum, 1);
	wl_say("done\n");
	wl_park();
}
