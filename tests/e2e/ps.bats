#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# heaptap ps: real processes of each kind, and what is said of them.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers

# ps_json: the whole list, in LIST.
ps_json() {
	LIST=$BATS_TEST_TMPDIR/list.json
	timeout "$LIMIT" "$HEAPTAP" ps --json >"$LIST"
}

# says PID EXPRESSION: holds for that process.
says() {
	if ! jq -e --argjson pid "$1" ".processes[] | select(.pid == \$pid) | $2" "$LIST" >/dev/null; then
		echo "does not hold for pid $1: $2"
		jq -c --argjson pid "$1" '.processes[] | select(.pid == $pid)' "$LIST"
		return 1
	fi
}

# program NAME SOURCE FLAGS...: compiled C, which pauses, in the background. PROGRAM_PID.
program() {
	local path=$BATS_TEST_TMPDIR/$1

	printf '%s\n' "$2" >"$path.c"
	gcc -o "$path" "$path.c" "${@:3}"
	"$path" 3>&- &
	PROGRAM_PID=$!
	started "$PROGRAM_PID"
	wait_line "/proc/$PROGRAM_PID/wchan" . "$PROGRAM_PID"
	wait_line "/proc/$PROGRAM_PID/maps" 'x.*/'"$1" "$PROGRAM_PID"
}

# sleeping MAPS-PATTERN COMMAND...: in the background, once a matching file is mapped. PROGRAM_PID.
sleeping() {
	local pattern=$1

	shift
	"$@" >"$BATS_TEST_TMPDIR/sleeping.out" 2>&1 3>&- </dev/null &
	PROGRAM_PID=$!
	started "$PROGRAM_PID"
	wait_line "/proc/$PROGRAM_PID/maps" "$pattern" "$PROGRAM_PID"
	wait_line "$BATS_TEST_TMPDIR/sleeping.out" '^up$' "$PROGRAM_PID"
}

@test "ps: one JSON object, sorted by RSS, every key there" {
	start_workload idle
	ps_json
	[[ $(wc -l <"$LIST") == 1 ]]
	jq -e '.schema == "heaptap/1" and .kind == "ps" and (.time | test("Z$"))' "$LIST"
	jq -e '[.processes[].rss_bytes] | length > 1 and . == (sort | reverse)' "$LIST"
	jq -e '[.processes[] | has("pid", "uid", "comm", "allocators", "runtime", "runtime_version", "rss_bytes",
		"growth_bytes", "age_s", "swap_bytes", "limit_bytes", "traceable", "obstacle")] | all' "$LIST"
	says "$WL_PID" '.comm == "idle" and .allocators == ["glibc"] and .runtime == "native"'
	says "$WL_PID" '.traceable and .obstacle == null and .uid == 0 and .age_s >= 0'
	says "$WL_PID" ".rss_bytes == $(awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$WL_PID/status")"
	quit_workload
}

@test "ps: the text table" {
	start_workload idle
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" ps
	((status == 0))
	[[ -z $stderr ]]
	[[ ${lines[0]} =~ PID.*COMM.*ALLOCATOR.*RUNTIME.*RSS.*GROWTH.*LIMIT ]]
	grep -qE "^ *$WL_PID +idle +glibc +native +[0-9.]+ [KM]iB" <<<"$output"
	refute grep -q $'\033' <<<"$output"
	refute grep -qE ' +$' <<<"$output"
	quit_workload
}

@test "ps: usage" {
	for arguments in --no-such-option stray "-p 1"; do
		# shellcheck disable=SC2086
		run --separate-stderr timeout "$LIMIT" "$HEAPTAP" ps $arguments
		((status == 2))
		[[ -z $output && $stderr == "heaptap: "* ]]
	done
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" ps --help
	((status == 0))
	[[ $output == *--json* ]]
	run timeout "$LIMIT" bash -c '"$0" ps >/dev/full' "$HEAPTAP"
	((status == 1))
}

@test "ps: kernel threads, zombies and heaptap itself are left out" {
	local parent zombie

	sh -c 'sleep 1000 & echo $! && exec sleep 1000' >"$BATS_TEST_TMPDIR/zombie" 3>&- &
	parent=$!
	started "$parent"
	wait_line "/proc/$parent/comm" '^sleep$' "$parent"
	zombie=$(<"$BATS_TEST_TMPDIR/zombie")
	kill -KILL "$zombie"
	wait_line "/proc/$zombie/status" '^State:.Z' "$parent"
	ps_json
	says "$parent" '.comm == "sleep"'
	jq -e --argjson zombie "$zombie" 'any(.processes[]; .pid == $zombie) | not' "$LIST"
	[[ $(</proc/2/comm) != kthreadd ]] || jq -e 'any(.processes[]; .pid == 2) | not' "$LIST"
}

@test "ps: what cannot be traced has a reason" {
	program stripped '#include <stdlib.h>
		#include <unistd.h>
		int main(int c, char **v) { (void)v; return !malloc(c) || pause(); }' -static -s
	ps_json
	says "$PROGRAM_PID" '(.traceable | not) and .obstacle == "stripped static executable"'
	program nothing 'void _start(void) { for (;;) __asm__ volatile("syscall" :: "a"(34) : "rcx", "r11", "memory"); }' \
		-nostdlib -static
	ps_json
	says "$PROGRAM_PID" '(.traceable | not) and .allocators == [] and (.obstacle | test("no malloc"))'
}

@test "ps: a static program with symbols" {
	program static '#include <stdlib.h>
		#include <unistd.h>
		int main(int c, char **v) { (void)v; return !malloc(c) || pause(); }' -static
	ps_json
	says "$PROGRAM_PID" '.traceable and .allocators == ["glibc"]'
}

@test "ps: an allocator beside the C library's" {
	program je '#include <stdlib.h>
		#include <unistd.h>
		int mallctl(void) { return 0; }
		void *malloc(size_t n) { (void)n; return 0; }
		void free(void *p) { (void)p; }
		int main(void) { return pause(); }' -rdynamic
	ps_json
	says "$PROGRAM_PID" '.traceable and (.allocators | sort) == ["glibc", "jemalloc"]'
}

@test "ps: names of a process are made harmless" {
	program odd '#include <sys/prctl.h>
		#include <unistd.h>
		int main(void) { prctl(PR_SET_NAME, "a\033[1mb \"\377c"); return pause(); }'
	wait_line "/proc/$PROGRAM_PID/comm" '^a' "$PROGRAM_PID"
	ps_json
	says "$PROGRAM_PID" '.comm == "a\u001b[1mb \"\ufffdc"'
	run timeout "$LIMIT" "$HEAPTAP" ps
	grep -qF 'a?[1mb "?c' <<<"$output"
	refute grep -q $'\033' <<<"$output"
}

@test "ps: growth is anonymous memory since exec, and unknown after a mere fork" {
	program grower '#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		#include <unistd.h>
		int main(void) { char *p = malloc(64 << 20); memset(p, 1, 64 << 20);
			printf("%d\n", fork()); fflush(stdout); return pause() + *p; }'
	wait_line "/proc/$PROGRAM_PID/status" '^RssAnon:[^0-9]*6[5-9][0-9]{3}' "$PROGRAM_PID"
	local child
	child=$(pgrep -P "$PROGRAM_PID")
	started "$child"
	ps_json
	says "$PROGRAM_PID" ".growth_bytes >= $((64 << 20)) and .growth_bytes < $((80 << 20))"
	says "$child" '.growth_bytes == null and .rss_bytes > 0'
}

@test "ps: the runtime is found by what is mapped, not by the name" {
	local python

	python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
	cp "$python" "$BATS_TEST_TMPDIR/renamed"
	sleeping . env PYTHONHOME="$(python3 -c 'import sys; print(sys.prefix)')" "$BATS_TEST_TMPDIR/renamed" -c \
		'print("up", flush=True); import time; time.sleep(1000)'
	ps_json
	says "$PROGRAM_PID" ".runtime == \"CPython\""
	version=$(python3 -c 'import sys; print("%d.%d.%d" % sys.version_info[:3], sys.version_info >= (3, 11))')
	[[ $version != *True ]] || says "$PROGRAM_PID" ".runtime_version == \"${version% *}\""
}

@test "ps: C++" {
	start_workload cxx
	ps_json
	says "$WL_PID" '.runtime == "C++" and .traceable'
}

@test "ps: Node.js" {
	command -v node >/dev/null || skip "node is not installed"
	sleeping node node -e 'console.log("up"); setTimeout(() => {}, 1e6)'
	ps_json
	says "$PROGRAM_PID" '.runtime == "Node.js" and .traceable'
}

@test "ps: JVM" {
	command -v java >/dev/null || skip "java is not installed"
	printf 'public class Up { public static void main(String[] a) throws Exception {
		System.out.println("up"); Thread.sleep(1000000); } }' >"$BATS_TEST_TMPDIR/Up.java"
	sleeping libjvm java "$BATS_TEST_TMPDIR/Up.java"
	ps_json
	says "$PROGRAM_PID" '.runtime == "JVM" and .traceable'
}

@test "ps: without privilege, others' processes are listed with what it takes" {
	local shared

	shared=$(mktemp -d)
	chmod 755 "$shared"
	cp "$HEAPTAP" "$shared/heaptap"
	start_workload idle
	run --separate-stderr timeout "$LIMIT" setpriv --reuid 65534 --regid 65534 --clear-groups \
		--inh-caps=-all --bounding-set=-all "$shared/heaptap" ps --json
	rm -r "$shared"
	((status == 0))
	LIST=$BATS_TEST_TMPDIR/list.json
	echo "$output" >"$LIST"
	says "$WL_PID" '(.traceable | not) and (.obstacle | test("CAP_SYS_PTRACE")) and .allocators == null'
	says "$WL_PID" '.rss_bytes > 0 and .growth_bytes > 0 and .runtime == null'
	quit_workload
}

@test "ps: the tightest limit of the cgroups above a process" {
	local root=/sys/fs/cgroup group

	[[ -f $root/cgroup.controllers ]] && grep -qw memory "$root/cgroup.subtree_control" ||
		[[ -d $root/memory ]] || skip "no cgroup hierarchy with a memory controller is mounted in $root"
	if [[ -d $root/memory ]]; then
		group=$root/memory/heaptap-test-$$ file=memory.limit_in_bytes
	else
		group=$root/heaptap-test-$$ file=memory.max
	fi
	mkdir -p "$group/inner" || skip "no cgroup can be made"
	echo $((512 << 20)) >"$group/$file"
	start_workload idle
	echo "$WL_PID" >"$group/inner/cgroup.procs"
	ps_json
	says "$WL_PID" ".limit_bytes == $((512 << 20))"
	quit_workload
	rmdir "$group/inner" "$group"
}
