#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What else may be at a process: a second heaptap, gdb, strace; and the worlds it may live in:
# namespaces, files that are gone from disk, seccomp filters. Counts stay exact, and where they
# cannot, the report says so.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers

# The workload is below what was started: unshare --fork waits for it.
child_of() {
	pgrep -P "$1"
}

# --- gdb ----------------------------------------------------------------------------------------

# start_gdb COMMAND...: attaches, runs the commands, and lets the workload run. GDB_PID, GDB_OUT.
start_gdb() {
	local command

	mkfifo "$BATS_TEST_TMPDIR/gdb.in"
	GDB_OUT=$BATS_TEST_TMPDIR/gdb.out
	gdb -q -nx -p "$WL_PID" <"$BATS_TEST_TMPDIR/gdb.in" >"$GDB_OUT" 2>"$BATS_TEST_TMPDIR/gdb.err" 3>&- &
	GDB_PID=$!
	started "$GDB_PID"
	exec {GDB_IN}>"$BATS_TEST_TMPDIR/gdb.in"
	gdb_says 'set pagination off' 'set confirm off' 'set breakpoint pending off'
	gdb_says 'handle SIGALRM SIGUSR1 SIGUSR2 nostop noprint pass' "$@"
	gdb_says 'continue &' 'echo it runs\n'
	wait_line "$GDB_OUT" 'it runs' "$GDB_PID"
}

gdb_says() {
	printf '%s\n' "$@" >&"$GDB_IN"
}

# Stops the workload, takes all breakpoints out, and goes.
gdb_leaves() {
	gdb_says interrupt
	wait_line "$GDB_OUT" 'stopped|received signal' "$GDB_PID"
	gdb_says detach quit
	expect_exit "$GDB_PID" 0
}

@test "gdb is attached before heaptap" {
	need gdb
	start_workload exact --rounds 200 --truth "$TRUTH"
	start_gdb
	attach
	trace_to_the_end
	compare
	last '.health.removed_probes == 0'
	grep -q "gdb (pid $GDB_PID) is attached to pid $WL_PID" "$HT_ERR"
	gdb_leaves
	nothing_left
	quit_workload
}

@test "gdb attaches to a traced process, stops it, and leaves again" {
	need gdb
	start_workload exact --rounds 200 --truth "$TRUTH"
	attach
	start_gdb 'break memcpy' 'ignore 1 1000000000' 'break site_malloc_zero' 'ignore 2 1000000000'
	say go
	gdb_leaves
	wait_done
	detach
	compare
	last '.health.removed_probes == 0'
	refute grep -q 'is attached to pid' "$HT_ERR"
	nothing_left
	quit_workload
}

@test "gdb sets a breakpoint on malloc while traced, and leaves first" {
	need gdb
	start_workload exact --rounds 200 --truth "$TRUTH"
	attach
	start_gdb 'break *(char *)&malloc' 'ignore 1 1000000000'
	gdb_leaves
	trace_to_the_end
	compare
	last '.health.removed_probes == 0'
	nothing_left
	quit_workload
}

# gdb takes the probe's byte for the program's, and writes it back when it leaves.
@test "gdb sets a breakpoint on malloc while traced, and heaptap leaves first: it warns, and heals it" {
	need gdb
	start_workload exact --rounds 200 --truth "$TRUTH"
	attach
	start_gdb 'break *(char *)&malloc' 'ignore 1 1000000000'
	detach
	grep -q "gdb (pid $GDB_PID) is attached to pid $WL_PID" "$HT_ERR"
	grep -q 'attach heaptap again' "$HT_ERR"
	gdb_leaves
	run -1 python3 "$E2E/remains.py" "$WL_PID" --wait 0
	[[ $output == '1 bytes of '* ]]
	attach
	detach
	nothing_left
	attach
	trace_to_the_end
	compare
	nothing_left
	quit_workload
}

# The kernel takes gdb's breakpoint for its own, and gdb takes out the byte that both stand on.
@test "gdb has a breakpoint on malloc before heaptap comes: the report says when the probe is gone" {
	need gdb
	start_workload exact --rounds 200 --truth "$TRUTH"
	start_gdb 'break *(char *)&malloc' 'ignore 1 1000000000'
	attach --every 200ms
	wait_line "$HT_OUT" '"removed_probes": *0' "$HT_PID"
	gdb_leaves
	wait_line "$HT_ERR" '1 probes are gone' "$HT_PID"
	wait_line "$HT_OUT" '"removed_probes": *1' "$HT_PID"
	trace_to_the_end
	last '.health.removed_probes == 1'
	nothing_left
	quit_workload
}

# --- strace, and another heaptap -------------------------------------------------------------------

start_strace() {
	STRACE_OUT=$BATS_TEST_TMPDIR/strace.out
	strace -f -o "$STRACE_OUT" -p "$WL_PID" 2>"$BATS_TEST_TMPDIR/strace.err" 3>&- &
	STRACE_PID=$!
	started "$STRACE_PID"
	wait_line "$BATS_TEST_TMPDIR/strace.err" 'attached' "$STRACE_PID"
}

stop_strace() {
	kill -TERM "$STRACE_PID"
	wait_exit "$STRACE_PID"
}

@test "strace -f is attached before heaptap" {
	need strace
	start_workload exact --rounds 50 --truth "$TRUTH"
	start_strace
	attach
	trace_to_the_end
	compare
	grep -q mmap "$STRACE_OUT"
	refute grep -q 'is attached to pid' "$HT_ERR"
	stop_strace
	nothing_left
	quit_workload
}

@test "strace -f attaches to a traced process and leaves it" {
	need strace
	start_workload exact --rounds 200 --truth "$TRUTH"
	attach
	say go
	start_strace
	stop_strace
	wait_done
	detach
	compare
	nothing_left
	quit_workload
}

@test "two heaptaps at once, and one leaves in the middle: both are exact" {
	local first_pid first_out

	start_workload exact --rounds 300 --truth "$TRUTH"
	attach
	first_pid=$HT_PID
	first_out=$HT_OUT
	attach --every 50ms
	say go
	wait_line "$HT_OUT" '"alloc_count": *[1-9]' "$HT_PID"
	detach
	compare --identity-only
	last '.totals.alloc_count > 0 and .totals.lost_count == 0'
	wait_done
	HT_PID=$first_pid
	HT_OUT=$first_out
	detach
	compare
	nothing_left
	quit_workload
}

# --- namespaces -----------------------------------------------------------------------------------

# can_unshare ARG...: user namespaces may be forbidden, and a container may forbid them all.
can_unshare() {
	need unshare
	unshare "$@" true 2>/dev/null || skip "unshare $* is not allowed here"
}

# A root of its own: the paths of the process mean nothing outside.
@test "a target in another mount namespace, with a root and a C library of its own" {
	local root=$BATS_TEST_TMPDIR/root

	can_unshare -m
	mkdir -p "$root/bin"
	cp "$WORKLOADS/exact" "$root/bin/exact"
	ldd "$WORKLOADS/exact" | grep -oE '/[^ ]+' | while read -r file; do
		mkdir -p "$root/${file%/*}"
		cp -L "$file" "$root/$file"
	done
	WL_PREFIX=(unshare -m --propagation private sh -c
		'mount --bind "$0" "$0" && shift && exec chroot "$0" /bin/exact "$@"' "$root")
	start_workload exact --rounds 200 --truth /truth.json
	attach
	trace_to_the_end
	TRUTH=$root/truth.json
	compare
	nothing_left
	quit_workload
}

# The same path is another file for whoever is inside.
@test "a target that sees another C library at the usual path" {
	local libc copy=$BATS_TEST_TMPDIR/copy.so

	can_unshare -m
	libc=$(ldd "$WORKLOADS/exact" | awk '/libc\.so/{print $3}')
	cp -L "$libc" "$copy"
	WL_PREFIX=(unshare -m --propagation private sh -c 'mount --bind "$0" "$1" && shift && exec "$@"' "$copy"
		"$(readlink -f "$libc")")
	start_workload exact --rounds 200 --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	nothing_left
	quit_workload
}

@test "a target in another pid namespace, by its outer pid" {
	can_unshare -pf --mount-proc
	WL_PREFIX=(unshare -pf --mount-proc)
	start_workload exact --rounds 200 --truth "$TRUTH"
	grep -q '^ready 1$' "$WL_OUT"
	UNSHARE_PID=$WL_PID
	WL_PID=$(child_of "$UNSHARE_PID")
	attach
	trace_to_the_end
	compare
	nothing_left
	say quit
	expect_exit "$UNSHARE_PID" 0
}

# heaptap_inside PID: from here on it runs in the mount and pid namespaces of that process.
heaptap_inside() {
	printf '#!/bin/sh\nexec nsenter -t %d -m -p "%s" "$@"\n' "$1" "$HEAPTAP" >"$BATS_TEST_TMPDIR/inside"
	chmod +x "$BATS_TEST_TMPDIR/inside"
	HEAPTAP=$BATS_TEST_TMPDIR/inside
}

# nsenter passes no signal on.
detach_inside() {
	kill -INT "$(child_of "$HT_PID")"
	expect_exit "$HT_PID" 0
}

@test "heaptap and its target inside a pid namespace" {
	can_unshare -pf --mount-proc
	need nsenter
	WL_PREFIX=(unshare -pf --mount-proc)
	start_workload exact --rounds 200 --truth "$TRUTH"
	UNSHARE_PID=$WL_PID
	heaptap_inside "$(child_of "$UNSHARE_PID")"
	WL_PID=1
	attach
	say go
	wait_line "$WL_OUT" '^done' "$UNSHARE_PID"
	detach_inside
	compare
	last '.target.pid == 1 and .target.comm == "exact"'
	nothing_left "$(child_of "$UNSHARE_PID")"
	say quit
	expect_exit "$UNSHARE_PID" 0
}

# The records of calls that were left are swept by thread, whose ids are those of the kernel half.
@test "heaptap inside a pid namespace: threads that leave calls by siglongjmp" {
	can_unshare -pf --mount-proc
	need nsenter
	WL_PREFIX=(unshare -pf --mount-proc)
	start_workload jump --truth "$TRUTH"
	UNSHARE_PID=$WL_PID
	heaptap_inside "$(child_of "$UNSHARE_PID")"
	WL_PID=1
	attach --every 100ms
	say go
	wait_line "$WL_OUT" '^done' "$UNSHARE_PID"
	detach_inside
	compare --sites --in-flight 5000
	say quit
	expect_exit "$UNSHARE_PID" 0
}

@test "a target in a user namespace" {
	can_unshare -Ur
	WL_PREFIX=(unshare -Ur)
	start_workload exact --rounds 200 --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	nothing_left
	quit_workload
}

@test "a target in new mount, pid, user, network and IPC namespaces at once" {
	can_unshare -mpfUrni --mount-proc
	WL_PREFIX=(unshare -mpfUrni --mount-proc)
	start_workload exact --rounds 200 --truth "$TRUTH"
	UNSHARE_PID=$WL_PID
	WL_PID=$(child_of "$UNSHARE_PID")
	attach
	trace_to_the_end
	compare
	nothing_left
	say quit
	expect_exit "$UNSHARE_PID" 0
}

@test "heaptap inside a user namespace says which privilege is missing" {
	can_unshare -Ur
	start_workload idle
	run -3 unshare -Ur "$HEAPTAP" leaks -p "$WL_PID" --for 10ms
	[[ $output == *"capabilities of a user namespace do not count"* ]]
	quit_workload
}

@test "heaptap with the /proc of another pid namespace says so" {
	can_unshare -pf
	start_workload idle
	run -3 unshare -pf "$HEAPTAP" leaks -p "$WL_PID" --for 10ms
	[[ $output == *"/proc belongs to another pid namespace"*"--mount-proc"* ]]
	quit_workload
}

# --- files gone from disk -------------------------------------------------------------------------

# start_private NAME ARG...: a workload with a C library and an executable that are only its own.
start_private() {
	local name=$1

	shift
	mkdir "$BATS_TEST_TMPDIR/own"
	cp -L "$(ldd "$WORKLOADS/$name" | awk '/libc\.so/{print $3}')" "$WORKLOADS/$name" "$BATS_TEST_TMPDIR/own"
	WL_PREFIX=(env "LD_LIBRARY_PATH=$BATS_TEST_TMPDIR/own")
	WORKLOADS=$BATS_TEST_TMPDIR/own start_workload "$name" "$@"
	OWN_LIBC=$BATS_TEST_TMPDIR/own/libc.so.6
	OWN_EXE=$BATS_TEST_TMPDIR/own/$name
	grep -q "$OWN_LIBC" "/proc/$WL_PID/maps"
}

# upgrade FILE: as a package manager does it, another file under the old name.
upgrade() {
	{ cat "$1"; head -c 4096 /dev/zero; } >"$1.new"
	mv "$1.new" "$1"
}

@test "the C library was replaced on disk before the attach" {
	start_private exact --rounds 200 --truth "$TRUTH"
	upgrade "$OWN_LIBC"
	grep -q "$OWN_LIBC (deleted)" "/proc/$WL_PID/maps"
	attach
	trace_to_the_end
	compare
	last '.target.allocators == [{name: "glibc", module: $path, build_id: .target.allocators[0].build_id}]' \
		--arg path "$OWN_LIBC"
	nothing_left
	quit_workload
}

@test "the C library was deleted before the attach" {
	start_private exact --rounds 200 --truth "$TRUTH"
	rm "$OWN_LIBC"
	attach
	trace_to_the_end
	compare
	nothing_left
	quit_workload
}

@test "the C library is replaced while traced" {
	start_private exact --rounds 200 --truth "$TRUTH"
	attach
	upgrade "$OWN_LIBC"
	trace_to_the_end
	compare
	nothing_left
	quit_workload
}

@test "the program was replaced, and everything else of it deleted, before the attach" {
	start_private exact --rounds 200 --truth "$TRUTH"
	upgrade "$OWN_EXE"
	rm "$OWN_LIBC"
	attach
	trace_to_the_end
	compare
	last '[.stacks[].frames[].function] | index("site_malloc")'
	nothing_left
	quit_workload
}

# --- seccomp --------------------------------------------------------------------------------------

@test "a target under a seccomp filter that kills on unknown system calls" {
	WL_PREFIX=("$WORKLOADS/filter")
	start_workload exact --rounds 200 --truth "$TRUTH"
	grep -qE '^Seccomp:\s+2' "/proc/$WL_PID/status"
	attach
	trace_to_the_end
	compare
	nothing_left
	quit_workload
}

@test "a target in seccomp's strict mode" {
	start_workload strict
	grep -qE '^Seccomp:\s+1' "/proc/$WL_PID/status"
	attach
	trace_to_the_end
	last '.totals.alloc_count == 1000 and .totals.alloc_bytes == 64000'
	last '.totals.free_count == 500 and .totals.live_count == 500 and .totals.lost_count == 0'
	nothing_left
	say quit
	expect_exit "$WL_PID" 0
}

@test "a target that takes up seccomp while traced" {
	start_workload strict --late
	attach
	say go
	wait_done
	grep -qE '^Seccomp:\s+1' "/proc/$WL_PID/status"
	detach
	last '.totals.alloc_count == 1000 and .totals.free_count == 500 and .totals.lost_count == 0'
	nothing_left
	say quit
	expect_exit "$WL_PID" 0
}
