// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctime>
#include <new>
#include <map>
#include <string>
#include <vector>

#include "levels.h"

namespace
{

uint64_t thread_ns()
{
	timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

struct node {
	virtual ~node() = default;
	virtual void descend(levels_run *run, unsigned int left) const = 0;
};

// Seventeen classes, each with a frame and a function of its own.
template <int N> struct level : node {
	__attribute__((noinline)) void descend(levels_run *run, unsigned int left) const override;
};

template <int N> const node *next()
{
	static const level<(N + 1) % 17> one;

	return &one;
}

__attribute__((noinline)) void run_pairs(levels_run *run)
{
	const unsigned int pairs = run->pairs;
	const size_t size = run->size;

	run->frames++;
	const uint64_t start_ns = thread_ns();
	for (unsigned int i = 0; i < pairs; i++) {
		void *block = ::operator new(size);

		asm volatile("" : "+r"(block) : : "memory");
		::operator delete(block);
	}
	run->elapsed_ns = thread_ns() - start_ns;
}

template <int N> void level<N>::descend(levels_run *run, unsigned int left) const
{
	volatile char room[8 * (N % 5) + 1];

	room[0] = N;
	(void)room[0];
	run->frames++;
	if (left > 1)
		next<N>()->descend(run, left - 1);
	else
		run_pairs(run);
	asm volatile("" : : "i"(N) : "memory");
}

} // namespace

void levels_cxx(levels_run *run, unsigned int left)
{
	static const level<0> first;
	const node *node = &first;

	asm volatile("" : "+r"(node)); // no call that the compiler could follow
	if (left > 1)
		node->descend(run, left - 1);
	else
		run_pairs(run);
	asm volatile("" : : : "memory");
}

double levels_churn(unsigned int words)
{
	std::map<std::string, std::vector<unsigned int>> index;
	unsigned int state = 1;
	double seen = 0;

	for (unsigned int i = 0; i < words; i++) {
		state = state * 1664525 + 1013904223;
		std::string word = "a word that is longer than what fits into it " +
				   std::to_string(state >> 16 & 4095);
		std::vector<unsigned int> &places = index[word];

		places.push_back(i);
		seen += static_cast<double>(places.size());
		if (places.size() > 8)
			index.erase(word);
	}
	return seen;
}
