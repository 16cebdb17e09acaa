// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Allocates from functions that are inlined into each other, a C and a C++ one: "go" allocates 100
 * blocks a site, and so does each "again". Stays until "quit", with its own files gone or not.
 */

#include "workload.h"

#define BLOCKS 100
#define INLINE static inline __attribute__((always_inline))

static void *blocks[1 << 16];
static unsigned int used;

INLINE void keep(void *block)
{
	if (used == sizeof(blocks) / sizeof(*blocks))
		wl_die("too many rounds");
	blocks[used++] = block;
}

INLINE void add_entry(size_t size)
{
	keep(wl_kept(malloc(wl_opaque(size)))); /* the call in add_entry */
}

INLINE void fill_table(size_t size)
{
	add_entry(size + 1); /* the call in fill_table */
}

WL_SITE static void site_c(void)
{
	fill_table(100); /* the call in site_c */
}

namespace shop
{
struct item {
	long price;
	char name[56];
};

template <typename T> struct cart {
	INLINE void *grow(int n)
	{
		return wl_kept(malloc(wl_opaque((size_t)n * sizeof(T)))); /* the call in grow */
	}

	INLINE void add(int n)
	{
		keep(grow(n)); /* the call in add */
	}
};

WL_SITE void checkout()
{
	cart<item> c;

	c.add(3); /* the call in checkout */
}
} // namespace shop

static void round_of_all()
{
	for (int i = 0; i < BLOCKS; i++) {
		site_c();
		shop::checkout();
	}
}

int main()
{
	char line[64];

	wl_ready();
	round_of_all();
	wl_say("done\n");
	while (wl_line(line, sizeof(line)) >= 0 && strcmp(line, "quit")) {
		round_of_all();
		wl_say("done again\n");
	}
	_exit(0);
}
