/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which language runtime a program file holds, by what it exports and how it was built; never by its name. A parser
 * of foreign bytes: called through parse_request().
 */
#ifndef HEAPTAP_RUNTIME_H
#define HEAPTAP_RUNTIME_H

#include "../base/parse.h"

/* Those further down win where a process holds several: an interpreter is more telling than what it is written in. */
#define RUNTIMES(X)                                                                                \
	X(NONE, NULL)                                                                              \
	X(NATIVE, "native")                                                                        \
	X(CXX, "C++")                                                                              \
	X(RUST, "Rust")                                                                            \
	X(GO, "Go")                                                                                \
	X(PERL, "Perl")                                                                            \
	X(PYTHON, "CPython")                                                                       \
	X(RUBY, "Ruby")                                                                            \
	X(PHP, "PHP")                                                                              \
	X(BEAM, "Erlang")                                                                          \
	X(V8, "V8")                                                                                \
	X(NODE, "Node.js")                                                                         \
	X(DOTNET, ".NET")                                                                          \
	X(JVM, "JVM")

#define RUNTIME_ENUM(name, text) RUNTIME_##name,
enum runtime { RUNTIMES(RUNTIME_ENUM) RUNTIME_COUNT };
#undef RUNTIME_ENUM

/* "CPython"; NULL for RUNTIME_NONE. */
const char *runtime_name(enum runtime r);

#define RUNTIME_VERSION 32
struct runtime_facts {
	uint32_t runtime; /* enum runtime */
	uint32_t
		whole_program; /* it says so of the program only, not of a library in another one */
	char version[RUNTIME_VERSION]; /* "" when the file does not tell */
};

/* files: an ELF file. in: nothing. out: a struct runtime_facts. -ENOEXEC: not an ELF file. */
extern const struct parser runtime_parser;

#endif
