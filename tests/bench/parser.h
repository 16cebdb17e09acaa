/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BENCH_PARSER_H
#define BENCH_PARSER_H

/* First in main(): the benchmark is its own parser child, as heaptap is. */
void parser_child(char **argv);

#endif
