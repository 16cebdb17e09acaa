#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# --mode auto: exact as long as that is within the budget, else less; and what is then known is what the report claims.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031

load helpers

# watch ARG...: attaches to the workload in the mode that is the default.
watch() {
	start_heaptap leaks -p "$WL_PID" --json ${HEAPTAP_LINK:+--link "$HEAPTAP_LINK"} "$@"
	wait_armed
}

# pace RATE: the workload has taken it.
pace() {
	local seen

	seen=$(grep -c '^rate ' "$WL_OUT" || true)
	say "$1"
	until (($(grep -c '^rate ' "$WL_OUT" || true) > seen)); do
		kill -0 "$WL_PID"
		sleep 0.02
	done
}

# pairs: how many there were up to the last change of pace.
pairs() {
	sed -n 's/^rate .* pairs //p' "$WL_OUT" | tail -n 1
}

# wait_report EXPRESSION: until a report comes of which it holds.
wait_report() {
	local deadline=$((SECONDS + LIMIT))

	until jq -e "select($1)" "$HT_OUT" 2>/dev/null | grep -q .; do
		kill -0 "$HT_PID"
		if ((SECONDS >= deadline)); then
			echo "no report in $LIMIT s with $1"
			jq -c '[.mode, .health.coverage, .health.overhead_cpu]' "$HT_OUT"
			return 1
		fi
		sleep 0.1
	done
}


@test "few calls: every one is followed, and live blocks are known" {
	start_workload paced
	watch --every 1h
	pace 500
	say "leak 7"
	sleep 1
	detach
	last '.mode.name == "exact" and .mode.budget == 0.05 and .mode.windows == null'
	last '.mode.why | startswith("budget 5 %: exact costs")'
	last '.mode.exact_pairs_per_s > 0 and .mode.sample_pairs_per_s > .mode.exact_pairs_per_s'
	last '.health.coverage == 1 and .health.overhead_ns > 0 and .health.overhead_cpu > 0'
	last '[.stacks[] | select(.frames[0].function == "site_leak")][0] |
		.live_count == 7 and .live_bytes == 7000'
	last '.totals.survived_count == null'
	quit_workload
}

@test "calls without end: windows, and what they cannot know is null" {
	start_workload paced
	pace max
	watch --every 500ms
	wait_report '.mode.name == "windows" and .mode.windows >= 3'
	detach
	last '.health.coverage > 0 and .health.coverage < 1'
	last '.mode.why | startswith("budget 5 %: all the time, sampling would cost ")'
	last '.totals | .live_bytes == null and .live_count == null and .peak_live_bytes == null and
		.aged_bytes == null and .untracked_frees == null'
	last '.stacks | length > 0 and all(.live_bytes == null and .oldest_s == null and .verdict == null)'
	last '.stacks[0].frames[0].function == "site_pair"'
	# Scaled up from what was seen.
	last '.totals | .alloc_count > 2 * .samples.alloc_count and (.alloc_bytes - 64 * .alloc_count | fabs) <= 64'
	last '.totals | .samples.alloc_count == .samples.free_count + .samples.live_count + .samples.lost_count'
	last '.totals.survived_count >= 0 and .health.events == null and .mode.scale > 2'
	last '.mode.null_because | startswith("windows")'
	# What windows cannot tell, growth does.
	last '.growth | .end_bytes > 0 and .start_bytes + .sum_bytes + .residual_bytes == .end_bytes'
	quit_workload
}

@test "what windows see is scaled up to the whole time" {
	start_workload paced
	watch --every 1h --budget 0.5
	pace 20000
	before=$(pairs)
	sleep 6
	pace 20001
	after=$(pairs)
	detach
	last '.mode.name == "windows" and .mode.budget == 0.005'
	# Of a steady rate the estimate is close; the test only asks for the right size, or to be warned.
	last '.mode.scale_is_rough or (.totals.alloc_count * 2 > ($pairs | tonumber) / 2 and
		.totals.alloc_count < 2 * ($pairs | tonumber))' --arg pairs "$((after - before))"
	last '.totals.samples.alloc_count > 0 and .totals.alloc_count >= .totals.samples.alloc_count'
	quit_workload
}

@test "before the probes go, what they have seen is reported" {
	start_workload paced
	watch --every 1h
	say "leak 5"
	pace 300
	sleep 1.5
	pace max
	wait_report '.mode.why | contains("these figures end here")'
	jq -se 'any(.[] | select(.mode.why | contains("these figures end here")); .mode.name == "exact" and
		.ended == null and .totals.live_count >= 5 and .health.coverage == 1 and
		([.stacks[] | select(.frames[0].function == "site_leak")][0].live_bytes == 5000))' "$HT_OUT"
	detach
	last '.mode.name == "windows"'
	quit_workload
}

@test "back to exact when the calls become few, and counted from then on" {
	start_workload paced
	pace max
	watch --every 500ms
	wait_report '.mode.name == "windows"'
	pace 100
	wait_report '.mode.name == "exact" and .mode.figures_s > 1'
	say "leak 3"
	sleep 0.3
	detach
	last '.mode.name == "exact" and .health.coverage == 1 and .mode.windows == null'
	last '.mode.figures_s < .elapsed_s'
	last '.totals | .live_count == .alloc_count - .free_count - .lost_count and .live_count >= 3'
	last '[.stacks[] | select(.frames[0].function == "site_leak")][0].live_count == 3'
	quit_workload
}

@test "the target exits while the probes are out" {
	start_workload paced
	pace max
	watch --every 1h --budget 0.1
	wait_line "$HT_ERR" armed "$HT_PID"
	sleep 1
	say quit
	expect_exit "$HT_PID" 0
	last '.ended == "target_exit" and .mode.name == "windows"'
}

@test "the target calls exec while the probes are out" {
	cat >"$BATS_TEST_TMPDIR/exec.py" <<-'END'
		import os, sys, time
		end = time.time() + 2
		while time.time() < end:
		    [bytes(100000) for _ in range(2000)]
		os.execv(sys.argv[1], sys.argv[1:])
	END
	need python3
	python3 "$BATS_TEST_TMPDIR/exec.py" "$(command -v sleep)" 30 3>&- &
	WL_PID=$!
	started "$WL_PID"
	sleep 0.3
	watch --every 1h --budget 0.1
	until [[ $(<"/proc/$WL_PID/comm") == sleep ]]; do
		kill -0 "$WL_PID" "$HT_PID"
		sleep 0.05
	done
	sleep 0.7
	detach
	jq -se 'any(.[]; .ended == "target_exec" and .mode.name == "windows")' "$HT_OUT"
	last '.target.comm == "sleep" and .mode.name == "exact"'
}

@test "nothing stays behind, whether the probes are in or out" {
	start_workload paced
	pace max
	for wait in 0.1 0.5 1 1.7; do
		watch --every 1h --budget 1
		sleep "$wait"
		detach
		[[ -z $(bpftool -j link list | jq '.[] | select(.pid == '"$WL_PID"')' 2>/dev/null) ]]
	done
	quit_workload
}

@test "kill -9 of heaptap while it moves probes in and out" {
	start_workload paced
	pace max
	for _ in 1 2 3 4 5 6; do
		watch --every 1h --budget 20
		sleep "0.$((RANDOM % 9))"
		kill -KILL "$HT_PID"
		wait "$HT_PID" || true
	done
	# The workload lives, and can be traced again.
	watch --every 1h
	pace 100
	detach
	quit_workload
}

@test "budgets that are none" {
	start_workload paced
	for budget in 0 -1 0.05 101 1e9 5x '' nan 0x5 '5 %%'; do
		run --separate-stderr timeout "$LIMIT" "$HEAPTAP" leaks -p "$WL_PID" --budget "$budget"
		echo "$budget: $status $stderr"
		((status == 2)) && [[ -z $output && $stderr == *--budget* ]]
		(($(wc -l <<<"$stderr") == 1))
	done
	for mode in exact sample; do
		run -2 --separate-stderr "$HEAPTAP" leaks -p "$WL_PID" --mode $mode --budget 5
		[[ $stderr == *"--budget wants --mode auto"* ]]
	done
	run -0 --separate-stderr "$HEAPTAP" leaks -p "$WL_PID" --budget 5% --count 1 --every 100ms
	[[ $output == *"budget 5 %"* ]]
	quit_workload
}

@test "the text report says mode, coverage, overhead and why" {
	start_workload paced
	pace max
	start_heaptap leaks -p "$WL_PID" --every 1h
	wait_armed
	sleep 1.5
	detach
	cat "$HT_OUT"
	grep -q '^leaks of .* mode windows ' "$HT_OUT"
	grep -qE '^  windows    .* seen, in [0-9]+ windows?; ' "$HT_OUT"
	grep -qE '^  overhead   .* %% of the CPU time of the process; budget 5 %: all the time' "$HT_OUT" ||
		grep -qE '^  overhead   [0-9.]+ % of the CPU time of the process; budget 5 %: all the time' "$HT_OUT"
	grep -qE 'pays for [0-9,]+ pairs of malloc and free a second, sampled for [0-9,]+' "$HT_OUT"
	grep -qE '^  survived ' "$HT_OUT"
	refute grep -q '^  live ' "$HT_OUT"
	quit_workload
}
