#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fuzzes what reads foreign bytes and prints TAP, a test a target.
#
#   fuzz.sh SECONDS [TARGET...]    each target for so long; all of tests/fuzz/fuzz_*.c without names
#
# Starts from tests/fuzz/corpus/TARGET, from files of this machine, and from what earlier runs found (build/fuzz/corpus).
# What breaks our code stays in build/fuzz/found, to be run again: build/fuzz/fuzz/TARGET FILE.
#
# elfutils is fuzzed along with our code, and has bugs that are not ours to mend: a finding whose stack has elfutils on
# top of our frames is told in a comment and costs the program one file's names (tests/e2e/sandbox.bats), so it fails
# nothing here. Findings in our own code do.
set -u
cd "$(dirname "$0")/.." || exit 1

tree=build/fuzz
libc=$(ldd /bin/sh | awk '$1 == "libc.so.6" { print $3 }')

# Files of this machine, which differ from one to the next: those that are small enough to mutate well.
machine_seeds() {
	local target=$1 dir=$2 name offset

	case $target in
	elf | symbols | eh_frame | unwind)
		find /usr/lib /usr/bin -xdev -type f -size -24k \( -name '*.so*' -o -perm -111 \) 2>/dev/null |
			sort | awk 'NR % 7 == 1' | head -n 40 | xargs -r cp -t "$dir" 2>/dev/null
		;;
	insn)
		nm -D --defined-only "$libc" | awk '$2 ~ /[TtWi]/ { print $3, $1 }' | sed 's/@@*[^ ]*//' |
			grep -E '^(malloc|free|calloc|realloc|memalign|qsort|printf|fork|memcpy) ' |
			while read -r name offset; do
				# libc's text lies in its file where it lies in memory.
				{ printf '\003\100\000'; tail -c +$((0x$offset + 1)) "$libc" | head -c 400; } >"$dir/$name"
			done
		;;
	maps)
		for name in self 1 $$; do
			head -c 8000 "/proc/$name/maps" >"$dir/$name" 2>/dev/null
		done
		;;
	esac
}

# Whose is a finding? The first frame of its stack outside of the sanitizers and the C library.
culprit() {
	grep -E '^ *#[0-9]+ 0x' "$1" | grep -vE '\(/.*/lib(c|m|asan|gcc_s)[.-]|compiler-rt|sanitizer_common|/fuzz/[a-z_]+\+0x[0-9a-f]+\) .*(__asan|__interceptor|__sanitizer|fuzzer)|in (fuzzer::|__asan|__interceptor_|__sanitizer|__lsan|__ubsan|malloc|calloc|realloc|free|memcpy|memmove|memset|strlen|strcmp|memchr|memcmp)' |
		head -n 1 | sed 's/^ *#[0-9]* 0x[0-9a-f]* *//'
}

# libdw hands out texts of .debug_info whose end it has not looked for (0.188): who measures one reads behind the section.
unterminated() {
	grep -m 1 -E '^ *#0 0x' "$1" | grep -qE 'in __interceptor_str(len|dup|ndup|cmp|ncmp|chr|rchr) ' &&
		grep -A 3 'allocated by thread' "$1" | grep -E '^ *#1 ' | grep -qE 'lib(elf|dw)\.so'
}

# Fuzzes one target; leaves "ok" or "not ok" with comments in its result file.
fuzz_one() {
	local seconds=$1 target=$2 began=$SECONDS left runs total=0 status who comments=
	local log=$tree/log/$target corpus=$tree/corpus/$target seeds=$tree/seeds/$target

	rm -rf "$seeds"
	mkdir -p "$corpus" "$seeds" "$tree/found" "tests/fuzz/corpus/$target"
	machine_seeds "$target" "$seeds"
	: >"$log.all"
	while left=$((seconds - (SECONDS - began))) && ((left > 0)); do
		ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
			"$tree/fuzz/$target" -max_total_time="$left" -timeout=10 -rss_limit_mb=3000 -malloc_limit_mb=2000 \
			-max_len=24576 -artifact_prefix="$tree/found/$target-" -print_final_stats=1 \
			"$corpus" "tests/fuzz/corpus/$target" "$seeds" >"$log" 2>&1
		status=$?
		cat "$log" >>"$log.all"
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		total=$((total + ${runs:-0}))
		((status)) || break
		who=$(culprit "$log")
		! unterminated "$log" || who="libdw.so: a text without an end, read by $who"
		case $who in
		*libdw* | *libelf* | *libdebuginfod*)
			comments+="# in elfutils, contained by the sandbox: $(grep -m 1 -oE 'ERROR: [A-Za-z]*: [a-z-]*|runtime error: .*' "$log") in ${who#in }"$'\n'
			sed -n 's/.*Test unit written to //p' "$log" | xargs -r rm -f
			;;
		*)
			{
				echo "not ok $target"
				printf '%s' "$comments"
				tail -n 60 "$log" | sed 's/^/# /'
			} >"$log.result"
			return
			;;
		esac
	done
	if ((total)); then
		{ echo "ok $target, $total runs"; printf '%s' "$comments" | sort | uniq -c | sed 's/^ *\([0-9]*\) # /# \1 times /'; } >"$log.result"
	else
		{ echo "not ok $target: not one run ended"; printf '%s' "$comments"; } >"$log.result"
	fi
}

if [ "${1:-}" = --one ]; then
	fuzz_one "$2" "$3"
	exit 0
fi

seconds=${1:?usage: fuzz.sh SECONDS [TARGET...]}
shift
mkdir -p "$tree/log"
make --no-print-directory -j"$(nproc)" fuzz >"$tree/log/build" 2>&1 || { cat "$tree/log/build"; echo "not ok 1 build of the fuzz targets"; exit 1; }
if [ $# = 0 ]; then
	targets=()
	for file in tests/fuzz/fuzz_*.c; do
		name=${file##*/fuzz_}
		targets+=("${name%.c}")
	done
	set -- "${targets[@]}"
fi
echo "1..$#"
rm -f "$tree"/log/*.result
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 "$0" --one "$seconds"
bad=0 number=0
for target in "$@"; do
	number=$((number + 1))
	[ -s "$tree/log/$target.result" ] || echo "not ok $target: it was not run" >"$tree/log/$target.result"
	grep -q '^ok' "$tree/log/$target.result" || bad=1
	sed "s/^\(not ok\|ok\) /\1 $number fuzz /" "$tree/log/$target.result"
done
exit $bad
