#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What takes too long for each change: many attaches, many kills, long runs. Part of make check-full.

load ../e2e/helpers
load ../e2e/kills

# wait_reports N: until that many have been written.
wait_reports() {
	local deadline=$((SECONDS + LIMIT))

	until (($(wc -l <"$HT_OUT") >= $1)); do
		kill -0 "$HT_PID" && ((SECONDS < deadline)) || return 1
		sleep 0.1
	done
}

@test "100 attaches and detaches under load: the text of the target is as before" {
	BATS_TEST_TIMEOUT=600
	start_workload oracle --events 0 --truth "$TRUTH"
	say go
	before=$(text_of "$WL_PID")
	for _ in $(seq 100); do
		attach --max-live 200000
		detach
		last '.totals.alloc_count == .totals.live_count + .totals.free_count + .totals.lost_count'
		last '.totals.alloc_bytes == .totals.live_bytes + .totals.free_bytes + .totals.lost_bytes'
	done
	[ "$(text_of "$WL_PID")" = "$before" ]
	say stop
	wait_line "$WL_OUT" '^done' "$WL_PID"
	quit_workload
}

@test "500 kills of heaptap at random moments under load: nothing of it stays" {
	BATS_TEST_TIMEOUT=1800
	kill_rounds 500
}

@test "oracle: 100,000,000 random events from eight threads, equal to the block" {
	BATS_TEST_TIMEOUT=1200
	LIMIT=1200
	start_workload oracle --events 100000000 --threads 8 --seed 11 --live 100000 --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	quit_workload
}

@test "heaptap itself does not grow over 300 reports" {
	BATS_TEST_TIMEOUT=600
	start_workload oracle --events 0 --truth "$TRUTH"
	say go
	attach --every 50ms --count 300
	wait_reports 20
	early=$(awk '/VmRSS/{print $2}' "/proc/$HT_PID/status")
	wait_reports 280
	late=$(awk '/VmRSS/{print $2}' "/proc/$HT_PID/status")
	echo "RSS after 20 reports $early kB, after 280 $late kB"
	((late < early + 4096))
	expect_exit "$HT_PID" 0
	say stop
	wait_line "$WL_OUT" '^done' "$WL_PID"
	quit_workload
}
