// SPDX-License-Identifier: GPL-2.0-or-later
#include "code.h"

void code_release(struct code *c)
{
	strings_release(&c->texts);
	buffer_release(&c->modules);
	buffer_release(&c->frames);
	buffer_release(&c->levels);
	buffer_release(&c->stacks);
	buffer_release(&c->stack_frames);
}
