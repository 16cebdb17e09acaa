// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * operator new, std::string and std::map, all of which end in malloc. Containers count through an
 * allocator of their own, which asks operator new for what std::allocator would ask it for.
 *
 * A site here calls operator new from a frame of its own below it: operator new has no frame
 * pointer, so that an unwinder by frame pointers passes over the function that called it.
 */

#include <map>
#include <memory>
#include <new>
#include <pthread.h>
#include <string>

#include "workload.h"

namespace
{

constexpr unsigned THREADS = 4;
constexpr size_t HUGE_SIZE = size_t(1) << 46;

enum Site { NEW_OBJECT, NEW_ARRAY, NEW_ALIGNED, NEW_NOTHROW, STRING, MAP, THROW, SITES };

const char *const names[SITES] = { "site_new_object", "site_new_array", "site_new_aligned",
	"site_new_nothrow", "site_string", "site_map", nullptr };

struct Object {
	char bytes[88];
};

struct alignas(64) Aligned {
	char bytes[192];
};

struct Worker {
	wl_tally tally;
	pthread_t thread;
	unsigned index;
};

Worker workers[THREADS];
pthread_barrier_t barrier;
uint64_t rounds = 1000, throws;
__thread Worker *self;

template <typename T> T *kept(T *pointer)
{
	return static_cast<T *>(wl_kept(pointer));
}

template <typename T, Site SITE> struct Counted {
	using value_type = T;

	template <typename U> struct rebind {
		using other = Counted<U, SITE>;
	};

	Counted() = default;
	template <typename U> Counted(const Counted<U, SITE> &)
	{
	}

	WL_SITE T *allocate(size_t count)
	{
		wl_alloc(&self->tally, SITE, count * sizeof(T));
		return kept(static_cast<T *>(::operator new(count * sizeof(T))));
	}

	WL_SITE void deallocate(T *block, size_t count)
	{
		wl_free(&self->tally, SITE, count * sizeof(T));
		::operator delete(block);
	}

	bool operator==(const Counted &) const
	{
		return true;
	}

	bool operator!=(const Counted &) const
	{
		return false;
	}
};

using String = std::basic_string<char, std::char_traits<char>, Counted<char, STRING>>;
using Text = std::basic_string<char, std::char_traits<char>, Counted<char, MAP>>;
using Map = std::map<unsigned, Text, std::less<unsigned>,
	Counted<std::pair<const unsigned, Text>, MAP>>;

WL_SITE Object *make_object()
{
	return kept(new Object);
}

WL_SITE int *make_array(size_t count)
{
	return kept(new int[count]);
}

WL_SITE Aligned *make_aligned()
{
	return kept(new Aligned);
}

WL_SITE Object *make_nothrow()
{
	return kept(new (std::nothrow) Object);
}

WL_SITE char *make_huge()
{
	return kept(new char[wl_opaque(HUGE_SIZE)]);
}

} // namespace

extern "C" {

WL_SITE static Object *site_new_object()
{
	return kept(make_object());
}

WL_SITE static int *site_new_array(size_t count)
{
	return kept(make_array(count));
}

WL_SITE static Aligned *site_new_aligned()
{
	return kept(make_aligned());
}

WL_SITE static Object *site_new_nothrow()
{
	return kept(make_nothrow());
}

WL_SITE static void site_string(String *text, unsigned length)
{
	for (unsigned i = 0; i < length; i++)
		text->push_back(static_cast<char>('a' + i % 26));
	wl_kept(text);
}

WL_SITE static void site_map(Map *map, unsigned key)
{
	(*map)[key].assign(key % 60, 'x');
	wl_kept(map);
}

WL_SITE static char *site_throw()
{
	return kept(make_huge());
}
}

namespace
{

void round_new(Worker *worker, bool keep)
{
	size_t count = 1 + worker->index * 3;

	Object *object = site_new_object();
	wl_alloc(&worker->tally, NEW_OBJECT, sizeof(Object));
	Object *nothrow = site_new_nothrow();
	wl_alloc(&worker->tally, NEW_NOTHROW, sizeof(Object));
	int *array = site_new_array(count);
	wl_alloc(&worker->tally, NEW_ARRAY, count * sizeof(int));
	Aligned *aligned = site_new_aligned();
	wl_alloc(&worker->tally, NEW_ALIGNED, sizeof(Aligned));
	if (reinterpret_cast<uintptr_t>(aligned) % alignof(Aligned))
		wl_die("operator new ignored the alignment");
	if (keep)
		return;
	delete object;
	wl_free(&worker->tally, NEW_OBJECT, sizeof(Object));
	delete nothrow;
	wl_free(&worker->tally, NEW_NOTHROW, sizeof(Object));
	delete[] array;
	wl_free(&worker->tally, NEW_ARRAY, count * sizeof(int));
	delete aligned;
	wl_free(&worker->tally, NEW_ALIGNED, sizeof(Aligned));
}

/* The last map of a thread stays: a map destroyed at exit would be freed outside the truth. */
void run(Worker *worker)
{
	alignas(Map) static thread_local char storage[sizeof(Map)];
	Map *map = new (storage) Map;

	for (unsigned i = 0; i < rounds; i++) {
		String text;

		round_new(worker, i % 10 == 0);
		site_string(&text, i % 500);
		site_map(map, i * 7 % 301);
		if (i % 50 == 49)
			map->erase(map->begin());
		if (i % 400 == 399)
			map->clear();
	}
	for (unsigned i = 0; i < throws; i++) {
		try {
			free(site_throw());
			wl_die("a huge allocation succeeded");
		} catch (const std::bad_alloc &) {
			worker->tally.failed_count++;
		}
	}
}

void *work(void *arg)
{
	self = static_cast<Worker *>(arg);
	pthread_barrier_wait(&barrier);
	run(self);
	pthread_barrier_wait(&barrier);
	wl_rest();
}

} // namespace

int main(int argc, char **argv)
{
	static wl_tally sum;
	const char *truth = nullptr;
	const wl_option options[] = {
		{ "--rounds", &rounds, nullptr, nullptr },
		{ "--throw", &throws, nullptr, nullptr },
		{ "--truth", nullptr, &truth, nullptr },
		{ nullptr, nullptr, nullptr, nullptr },
	};

	wl_options(argc, argv, options);
	pthread_barrier_init(&barrier, nullptr, THREADS + 1);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].index = i;
		if (pthread_create(&workers[i].thread, nullptr, work, &workers[i]))
			wl_die("cannot start a thread");
	}
	wl_ready();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	for (const Worker &worker : workers)
		wl_merge(&sum, &worker.tally);
	/* A thrown exception is itself allocated, by a size that is the runtime's own affair. */
	wl_truth(truth, names, SITES, &sum, !throws);
	wl_say("done\n");
	wl_park();
}
