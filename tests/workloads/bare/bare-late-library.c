// SPDX-License-Identifier: GPL-2.0-or-later
/* What bare-late opens. */
void call_back(void (*function)(void));

__attribute__((noinline, noclone)) static void inner(void (*function)(void), int left)
{
	if (left)
		inner(function, left - 1);
	else
		function();
	__asm__ volatile("" : : : "memory");
}

void call_back(void (*function)(void))
{
	inner(function, 3);
	__asm__ volatile("" : : : "memory");
}
