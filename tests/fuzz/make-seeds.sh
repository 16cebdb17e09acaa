#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes the committed seeds anew: small files of every kind that the targets know. Only needed when a kind is added.
# Other files in corpus/ are what once broke a target.
set -eu
cd "$(dirname "$0")/corpus"
out=$PWD
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p elf symbols insn maps check_elf check_symbols

cat >"$dir/t.c" <<'END'
typedef unsigned long size_t;
static char heap[256];
void *malloc(size_t n) { return n < sizeof(heap) ? heap : 0; }
void free(void *p) { if (p) heap[0] = 0; }
static inline __attribute__((always_inline)) int inner(int a) { return a * 3 + (a > 7 ? 1 : heap[a & 7]); }
int outer(int a) { free(malloc((size_t)a)); return inner(a) + inner(a + 1); }
void _start(void) { for (;;) outer(heap[1]); }
END
cat >"$dir/t.cc" <<'END'
namespace space { template <class T> struct box { T value; __attribute__((noinline)) T get(int n) { return n ? value + get(n - 1) : value; } }; }
extern "C" void _start() { volatile long v = 3; space::box<long> b{v}; for (;;) v = b.get(v); }
END
# shellcheck disable=SC2054 # the linker's commas
flags=(-O1 -nostdlib -ffreestanding -fno-stack-protector "-ffile-prefix-map=$dir=." -Wl,--build-id -Wl,-z,noseparate-code)
cd "$dir"
gcc "${flags[@]}" -static -g t.c -o dwarf5
gcc "${flags[@]}" -static -gdwarf-4 t.c -o dwarf4
gcc "${flags[@]}" -shared -fPIC t.c -o plain.so
gcc "${flags[@]}" -shared -fPIC -g -gz t.c -o compressed.so
gcc "${flags[@]}" -static -s t.c -o stripped
gcc "${flags[@]}" -c -g t.c -o object.o
g++ "${flags[@]}" -static -g -fno-exceptions t.cc -o cxx
clang "${flags[@]}" -static -gdwarf-4 t.c -o clang-dwarf4
clang --target=i386-linux-gnu -O1 -ffreestanding -nostdlib -static "-ffile-prefix-map=$dir=." t.c -o i386
cp dwarf5 dwarf4 plain.so compressed.so stripped object.o cxx clang-dwarf4 i386 "$out/elf/"
cp dwarf5 dwarf4 plain.so compressed.so cxx clang-dwarf4 object.o "$out/symbols/"

# Three bytes that say how to look, then code: prologues of allocators, and what must be refused.
insn() { printf '%b' "\\x${2// /\\x}" >"$out/insn/$1"; }
insn push-and-return "01 00 00 55 48 89 e5 5d c3"
insn two-pushes "01 02 00 41 54 55 48 89 fd 53 48 83 ec 10 e8 00 00 00 00 c3"
insn free-tests-null "09 10 00 48 85 ff 74 0b 53 48 8b 05 00 00 00 00 48 89 f3 c3"
insn jumps-back "02 05 00 90 55 48 ff cf 75 fa c3"
insn endbr "03 00 00 f3 0f 1e fa 41 57 41 56 e8 00 00 00 00"
insn xchg "01 00 00 41 90 c3"
insn call-indirect "01 0a 00 ff 94 24 10 01 00 00 41 ff d4 67 e8 00 00 00 00"

cat >"$out/maps/program" <<'END'
55d0c0a00000-55d0c0a02000 r--p 00000000 fe:01 1234                       /usr/bin/a program
55d0c0a02000-55d0c0a03000 r-xp 00002000 fe:01 1234                       /usr/bin/a program
7f1200000000-7f1200021000 rw-p 00000000 00:00 0 
7f12a0000000-7f12a0001000 r-xs 00000000 103:05 99 /memfd:a\012b (deleted)
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
END
printf '1000-2000 r-xp 0 8:1 5 /x (deleted) (deleted)' >"$out/maps/no-newline"

# A struct elf_info with one segment and one function in it, and one name.
zeros() { head -c "$1" /dev/zero; }
{
	zeros 44; printf '\001'; zeros 12; printf '\020'; zeros 7; printf '\020'; zeros 6; printf '\001'; zeros 487
	printf '\001\000\000\000\001'; zeros 11; printf '\020\020'; zeros 6; printf '\020'; zeros 7; printf '\010'; zeros 7
} >"$out/check_elf/function"
{ printf '\001'; zeros 16; printf '\040\000\000\000\377\377\377\377\000\000\000\000\000\000\000\000name\000'; } >"$out/check_symbols/name"
