#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Program files are parsed by a child without privileges. Whatever becomes of it, the report comes, and only what the
# child was asked about is missing from it.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers

# A target of two files with names of their own, which are asked for one after the other: first one, later two.
start_target() {
	local dir=$BATS_TEST_TMPDIR flags=(-O1 -g -fno-omit-frame-pointer -fno-optimize-sibling-calls)

	cat >"$dir/part.c" <<-'END'
		#include <stdlib.h>
		void *library_one(size_t n) { void *volatile p = malloc(n); return p; }
		void *library_two(size_t n) { void *volatile p = malloc(n); return p; }
	END
	cat >"$dir/program.c" <<-'END'
		#include <stdio.h>
		#include <string.h>
		void *library_one(size_t), *library_two(size_t);
		void *kept[16];
		__attribute__((noinline)) void program_one(int i) { kept[i] = library_one(100); __asm__ volatile("" ::: "memory"); }
		__attribute__((noinline)) void program_two(int i) { kept[8 + i] = library_two(200); __asm__ volatile("" ::: "memory"); }
		int main(void)
		{
			char line[64];

			puts("ready 0");
			fflush(stdout);
			while (fgets(line, sizeof(line), stdin) && strcmp(line, "quit\n")) {
				for (int i = 0; i < 8; i++)
					strcmp(line, "one\n") ? program_two(i) : program_one(i);
				printf("done %s", line);
				fflush(stdout);
			}
			return 0;
		}
	END
	gcc "${flags[@]}" -shared -fPIC -o "$dir/libpart.so" "$dir/part.c"
	gcc "${flags[@]}" -o "$dir/program" "$dir/program.c" -L"$dir" -lpart -Wl,-rpath,"$dir"
	WORKLOADS=$dir
	start_workload program
	attach -v
	report one
	has_function library_one program_one main
}

# The children of heaptap that parse.
children() {
	pgrep -P "$HT_PID" -x heaptap-parser
}

# lines FILE REGEX: how many match.
lines() {
	grep -cE -- "$2" "$1" || true
}

# until_more FILE REGEX N: more than N lines match.
until_more() {
	local deadline=$((SECONDS + LIMIT))

	until (($(lines "$1" "$2") > $3)); do
		if ((SECONDS >= deadline)) || ! kill -0 "$HT_PID"; then
			echo "no more than $3 lines like '$2'"
			return 1
		fi
		sleep 0.05
	done
}

# allocate WORD: the target does as it says.
allocate() {
	say "$1"
	wait_line "$WL_OUT" "^done $1" "$WL_PID"
}

# report WORD: the same, and then heaptap reports.
report() {
	local reports

	allocate "$1"
	reports=$(lines "$HT_OUT" '"schema"')
	kill -USR1 "$HT_PID"
	until_more "$HT_OUT" '"schema"' "$reports"
}

functions() {
	tail -n 1 "$HT_OUT" | jq -r '.stacks[].frames[].function // empty' | sed 's/+.*//' | sort -u
}

has_function() {
	local name

	for name in "$@"; do
		functions | grep -qx "$name" || { echo "the last report lacks $name; it has:"; functions; return 1; }
	done
}

# state PID LETTER: until the process is in it.
until_state() {
	until [[ $(awk '{print $3}' "/proc/$1/stat") == "$2" ]]; do sleep 0.02; done
}

# Ends a child while it is asked about a file: SIGNAL, and the words of the message. Exactly one file's names are lost,
# which the message tells.
end_while_asked() {
	local asked pid pids reports missing present

	start_target
	pids=$(children)
	for pid in $pids; do
		kill -STOP "$pid"
		until_state "$pid" T
	done
	allocate two
	asked=$(lines "$HT_ERR" 'is asked for')
	reports=$(lines "$HT_OUT" '"schema"')
	kill -USR1 "$HT_PID"
	until_more "$HT_ERR" 'is asked for' "$asked"
	for pid in $pids; do
		kill "-$1" "$pid"
		kill -CONT "$pid" 2>/dev/null || true
	done
	until_more "$HT_OUT" '"schema"' "$reports"
	(($(lines "$HT_ERR" 'its parser') == 1))
	if grep -qE "no [a-z ]+ of $BATS_TEST_TMPDIR/program: its parser was killed by $2" "$HT_ERR"; then
		missing=program_two present=library_two
	else
		grep -qE "no [a-z ]+ of $BATS_TEST_TMPDIR/libpart.so: its parser was killed by $2" "$HT_ERR"
		missing=library_two present=program_two
	fi
	has_function "$present"
	refute has_function "$missing"
	# What was known before stays known; nobody is asked again, so nothing is said again.
	has_function library_one program_one
	report two
	(($(lines "$HT_ERR" 'its parser') == 1))
	detach
	last '.totals.alloc_count >= 24 and .totals.lost_count == 0'
	quit_workload
}

@test "the child that parses has no privileges, no files and no network" {
	local pid

	start_target
	for pid in $(children); do
		grep -qE '^CapEff:\s0+$' "/proc/$pid/status"
		grep -qE '^CapPrm:\s0+$' "/proc/$pid/status"
		grep -qE '^CapBnd:\s0+$' "/proc/$pid/status"
		grep -qE '^NoNewPrivs:\s1$' "/proc/$pid/status"
		grep -qE '^Seccomp:\s2$' "/proc/$pid/status"
		grep -qE '^Uid:\s65534\s65534\s65534\s65534$' "/proc/$pid/status"
		[[ $(ls "/proc/$pid/fd" | tr '\n' ' ') == "0 1 2 3 " ]]
		[[ $(readlink "/proc/$pid/fd/0") == /dev/null ]]
		[[ $(readlink "/proc/$pid/fd/3") == socket:* ]]
		[[ -z $(ls -A "/proc/$pid/root/") ]]
		[[ $(readlink "/proc/$pid/ns/net") != "$(readlink /proc/self/ns/net)" ]]
		refute grep -q anon_inode "/proc/$pid/maps" # a table that is mapped
	done
	(($(children | wc -l) >= 1))
	detach
	quit_workload
}

@test "SIGSEGV of the child while it is asked costs one file's names" {
	end_while_asked SEGV 'signal 11 \(Segmentation fault\)'
}

@test "SIGKILL of the child while it is asked costs one file's names" {
	end_while_asked KILL 'signal 9 \(Killed\)'
}

@test "the end of an idle child costs nothing" {
	local pid

	start_target
	for pid in $(children); do
		kill -SEGV "$pid"
		until_state "$pid" Z
	done
	report two
	has_function library_two program_two
	refute grep -q 'its parser' "$HT_ERR"
	detach
	quit_workload
}

@test "SIGKILL of heaptap ends the child" {
	local pid pids

	start_target
	pids=$(children)
	kill -KILL "$HT_PID"
	expect_exit "$HT_PID" 137
	for pid in $pids; do
		# Orphans are reaped by whoever takes them.
		until [[ ! -e /proc/$pid || $(awk '{print $3}' "/proc/$pid/stat" 2>/dev/null) == Z ]]; do sleep 0.02; done
	done
	quit_workload
}

@test "the end of heaptap leaves no child" {
	local pids

	start_target
	pids=$(children)
	detach
	for pid in $pids; do [[ ! -e /proc/$pid ]]; done
	quit_workload
}

@test "keys typed at heaptap's terminal do not reach the child" {
	local pid

	start_target
	for pid in $(children); do
		[[ $(ps -o sid= -p "$pid") -eq $pid ]]
	done
	detach
	quit_workload
}

@test "a heaptap that was deleted or replaced on disk starts its child all the same" {
	local pid

	cp "$HEAPTAP" "$BATS_TEST_TMPDIR/heaptap"
	HEAPTAP=$BATS_TEST_TMPDIR/heaptap
	start_target
	echo "not a program" >"$BATS_TEST_TMPDIR/new"
	mv "$BATS_TEST_TMPDIR/new" "$HEAPTAP"
	for pid in $(children); do
		kill -KILL "$pid"
		until_state "$pid" Z
	done
	report two
	has_function library_two program_two
	refute grep -qE 'sandbox|its parser' "$HT_ERR"
	detach
	quit_workload
}

@test "inherited descriptors and variables do not reach the child" {
	local pid

	exec {secret}</etc/passwd
	SECRET=1 start_target
	exec {secret}<&-
	for pid in $(children); do
		refute grep -q SECRET "/proc/$pid/environ"
		[[ $(ls "/proc/$pid/fd" | tr '\n' ' ') == "0 1 2 3 " ]]
	done
	detach
	quit_workload
}
