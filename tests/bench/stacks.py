#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the sources of a program with 10,000 different allocation stacks into a directory.

    stacks.py DIRECTORY

Half of the stacks are of C, half of C++ functions; each allocates through functions that are
inlined into it, and is called from an instruction of its own. main.c runs them all at "go".
"""

import pathlib
import sys

FILES = 8       # of each language
CALLERS = 25    # a file
LEAVES = 25     # a caller

COMMON = """
#include <stdlib.h>
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
INLINE void *keep(void *block) { __asm__ volatile("" : "+r"(block) : : "memory"); return block; }
"""

C = """
INLINE void *allocate(size_t size)
{
	return keep(malloc(size));
}
INLINE void *make_entry(size_t size)
{
	return allocate(size + 16);
}
"""

CXX = """
#include <map>
#include <string>
#include <vector>
namespace bench {
template <typename T> struct arena {
	INLINE T *grow(size_t n) { return static_cast<T *>(keep(malloc(n * sizeof(T)))); }
};
template <int I> struct cart {
	char bytes[I % 50 + 1];
	std::vector<std::string> *names;
	std::map<int, cart> *others;
	INLINE cart *add(size_t n) { return arena<cart>::grow(n); }
	NOINLINE static void checkout(size_t n) { keep(add(n)); }
};
}
"""


def leaf(language, number):
    if language == "c":
        return f"NOINLINE static void leaf_{number}(size_t n)\n{{\n\tkeep(make_entry(n));\n}}\n"
    return ""


def call(language, number):
    if language == "c":
        return f"\tleaf_{number}({number % 100 + 1});\n"
    return f"\tbench::cart<{number}>::checkout({number % 7 + 1});\n"


def source(language, first):
    text = COMMON + (C if language == "c" else CXX)
    for caller in range(first, first + CALLERS):
        numbers = range(caller * LEAVES, caller * LEAVES + LEAVES)
        text += "".join(leaf(language, number) for number in numbers)
        linkage = 'extern "C" ' if language == "cc" else ""
        text += f"{linkage}void {language}_{caller}(void);\n"
        text += f"{linkage}NOINLINE void {language}_{caller}(void)\n{{\n"
        text += "".join(call(language, number) for number in numbers) + "}\n"
    return text


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    callers = []
    for language in ("c", "cc"):
        for file in range(FILES):
            first = file * CALLERS
            (directory / f"{language}{file}.{language}").write_text(source(language, first))
            callers += [f"{language}_{caller}" for caller in range(first, first + CALLERS)]
    text = "#include <stdio.h>\n"
    text += "".join(f"void {caller}(void);\n" for caller in callers)
    text += 'int main(void)\n{\n\tputs("ready");\n\tfflush(stdout);\n\tgetchar();\n'
    text += "".join(f"\t{caller}();\n" for caller in callers)
    text += '\tputs("done");\n\tfflush(stdout);\n\twhile (getchar() != EOF)\n\t\t;\n\treturn 0;\n}\n'
    (directory / "main.c").write_text(text)


main()
