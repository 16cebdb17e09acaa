#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Calls that never return, processes that end in the middle of one, and tracers that do. Nothing
# may crash, and counting goes on.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers

# A thread cancelled asynchronously inside malloc can leave the lock of glibc's arena held, and then hangs when it
# ends. Without any tracer the workload does so too, on a busy machine; traced it is slower, and does it more often.
# So it is given four tries: what is asked is that the process lives and the counts are right.
@test "threads cancelled inside allocator calls" {
	local try

	LIMIT=15
	for try in 1 2 3 4; do
		start_workload cancel --truth "$TRUTH"
		attach
		say go
		! wait_done || break
		echo "try $try hung"
		kill -KILL "$WL_PID" "$HT_PID"
	done
	detach
	compare --sites --in-flight 300
	quit_workload
}

@test "siglongjmp out of interrupted calls" {
	start_workload jump --truth "$TRUTH"
	attach
	trace_to_the_end
	compare --sites --in-flight 5000
	quit_workload
}

@test "exceptions thrown while an allocation fails" {
	start_workload cxx --throw 500 --truth "$TRUTH"
	attach
	trace_to_the_end
	compare --sites
	last '.totals.failed_count == 2000'
	quit_workload
}

@test "exit of a process whose threads are in calls" {
	start_workload exiting --ms 300 --status 7
	attach
	say go
	expect_exit "$WL_PID" 7
	expect_exit "$HT_PID" 0
	last '.ended == "target_exit" and .totals.alloc_count > 0'
	compare --identity-only --in-flight 4
}

@test "exec of a process whose threads are in calls" {
	start_workload exiting --ms 200 --again 3 --status 7
	attach
	say go
	expect_exit "$WL_PID" 7
	expect_exit "$HT_PID" 0
	last '.ended == "target_exit"'
}

@test "SIGKILL of the target" {
	start_workload oracle --events 0
	attach --every 200ms
	say go
	wait_line "$HT_OUT" '"alloc_count": *[1-9]' "$HT_PID"
	kill -KILL "$WL_PID"
	expect_exit "$HT_PID" 0
	last '.ended == "target_exit" and .totals.alloc_count > 0'
	compare --identity-only --in-flight 4
	expect_exit "$WL_PID" 137
}

@test "SIGKILL of an idle target" {
	start_workload idle
	attach
	kill -KILL "$WL_PID"
	expect_exit "$HT_PID" 0
	last '.ended == "target_exit"'
	expect_exit "$WL_PID" 137
}

@test "SIGKILL of heaptap: the target goes on, and a second attach counts right" {
	start_workload exact --rounds 300 --truth "$TRUTH"
	attach
	kill -KILL "$HT_PID"
	expect_exit "$HT_PID" 137
	attach
	trace_to_the_end
	compare
	quit_workload
}

@test "SIGKILL of heaptap in the middle of the target's run" {
	start_workload oracle --events 0 --truth "$TRUTH"
	say go
	attach --every 200ms
	wait_line "$HT_OUT" '"alloc_count": *[1-9]' "$HT_PID"
	kill -KILL "$HT_PID"
	expect_exit "$HT_PID" 137
	attach --every 200ms --count 2
	expect_exit "$HT_PID" 0
	last '.totals.alloc_count > 1000'
	compare --identity-only
	say stop
	wait_done
	quit_workload
}

@test "SIGKILL of the process that holds the probes: heaptap says so and ends" {
	local keeper

	start_workload oracle --events 0
	say go
	attach
	keeper=$(pgrep -P "$HT_PID" -x heaptap-links)
	kill -KILL "$keeper"
	expect_exit "$HT_PID" 1
	grep -q 'killed the process that holds the probes' "$HT_ERR"
	say stop
	wait_done
	quit_workload
}

@test "two attaches, one after the other" {
	start_workload exact --rounds 300 --truth "$TRUTH"
	attach
	detach
	last '.totals.alloc_count == 0'
	attach
	trace_to_the_end
	compare
	quit_workload
}

@test "two heaptaps on one target both count right" {
	local first_pid first_out

	start_workload exact --rounds 300 --truth "$TRUTH"
	attach
	first_pid=$HT_PID
	first_out=$HT_OUT
	attach
	trace_to_the_end
	compare
	HT_PID=$first_pid
	HT_OUT=$first_out
	detach
	compare
	quit_workload
}

@test "one of two heaptaps is killed" {
	local first_pid

	start_workload exact --rounds 300 --truth "$TRUTH"
	attach
	first_pid=$HT_PID
	attach
	kill -KILL "$first_pid"
	expect_exit "$first_pid" 137
	trace_to_the_end
	compare
	quit_workload
}

@test "a process whose main thread has exited" {
	start_workload leaderless --ms 1
	until [[ $(awk '{print $3}' "/proc/$WL_PID/stat") == Z ]]; do sleep 0.05; done
	attach --count 2 --every 500ms
	expect_exit "$HT_PID" 0
	last '.totals.alloc_count > 50 and .totals.lost_count == 0 and .process.rss_bytes > 0'
	run ! grep -F '(leaderless) has exited' "$HT_ERR"
}

@test "the main thread exits while traced: counting goes on" {
	start_workload leaderless --ms 1500
	attach --every 1s --count 4
	expect_exit "$HT_PID" 0
	[[ $(awk '{print $3}' "/proc/$WL_PID/stat") == Z ]]
	jq -se '.[-1].totals.alloc_count > .[-2].totals.alloc_count' "$HT_OUT"
}

@test "a reader that does not read keeps no probe in the target" {
	start_workload idle
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	exec {reader}<>"$BATS_TEST_TMPDIR/pipe"
	"$HEAPTAP" leaks -p "$WL_PID" --json --every 10ms --for 1s >"$BATS_TEST_TMPDIR/pipe" \
		2>"$BATS_TEST_TMPDIR/slow.err" 3>&- &
	pid=$!
	started "$pid"
	wait_line "$BATS_TEST_TMPDIR/slow.err" 'armed' "$pid"
	# The child that holds the probes; what heaptap tries on itself is not meant.
	pgrep -P "$pid" -x heaptap-links
	while pgrep -P "$pid" -x heaptap-links >/dev/null; do
		((SECONDS < 50))
		sleep 0.1
	done
	kill -0 "$pid"
	kill -TERM "$pid"
	expect_exit "$pid" 1
	exec {reader}>&-
	grep -q 'nobody reads' "$BATS_TEST_TMPDIR/slow.err"
	grep -q 'interrupted' "$BATS_TEST_TMPDIR/slow.err"
}

@test "an interposed malloc that calls the C library's through another library counts once" {
	cat >"$BATS_TEST_TMPDIR/helper.c" <<-'END'
		#include <stddef.h>
		extern void *__libc_malloc(size_t);
		extern void __libc_free(void *);
		void *helper_malloc(size_t n) { void *volatile p = __libc_malloc(n); return p; }
		void helper_free(void *p) { __libc_free(p); __asm__ volatile("" ::: "memory"); }
	END
	cat >"$BATS_TEST_TMPDIR/inter.c" <<-'END'
		#include <stddef.h>
		void *helper_malloc(size_t);
		void helper_free(void *);
		void *malloc(size_t n) { void *volatile p = helper_malloc(n); return p; }
		void free(void *p) { helper_free(p); __asm__ volatile("" ::: "memory"); }
	END
	gcc -O1 -shared -fPIC -o "$BATS_TEST_TMPDIR/libhelper.so" "$BATS_TEST_TMPDIR/helper.c"
	gcc -O1 -shared -fPIC -o "$BATS_TEST_TMPDIR/inter.so" "$BATS_TEST_TMPDIR/inter.c" \
		-L"$BATS_TEST_TMPDIR" -lhelper -Wl,-rpath,"$BATS_TEST_TMPDIR"
	WL_PREFIX=(env "LD_PRELOAD=$BATS_TEST_TMPDIR/inter.so")
	start_workload deep --depth 3 --pairs 2000 --truth "$TRUTH"
	attach
	trace_to_the_end
	last '.totals.alloc_count == 2000 and .totals.free_count == 2000'
	last '.totals.lost_count == 0 and .totals.untracked_frees == 0'
	quit_workload
}
