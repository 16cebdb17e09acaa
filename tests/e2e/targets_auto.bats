#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# --mode auto with several targets: one budget and one rung for all of them, figures of each.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031

load helpers
load targets

# watch_paced EVERY ARG...: two workloads `paced`, and heaptap on both.
watch_paced() {
	local every=$1

	shift
	start_paced
	start_paced
	start_heaptap leaks -p "$(
		IFS=,
		echo "${PIDS[*]}"
	)" --json --every "$every" ${HEAPTAP_LINK:+--link "$HEAPTAP_LINK"} "$@"
	wait_line "$HT_ERR" '^heaptap: armed .* mode=auto$' "$HT_PID"
}

start_paced() {
	[[ ${PIDS+set} ]] || PIDS=() INS=() OUTS=()
	start_workload paced
	PIDS+=("$WL_PID")
	INS+=("$WL_IN")
	OUTS+=("$WL_OUT")
}

# tell N LINE: to the Nth workload.
tell() {
	echo "$2" >&"${INS[$1]}"
}

# of N EXPRESSION: holds for the Nth workload's last report.
of() {
	if ! report_of "${PIDS[$1]}" | jq -e "$2" >/dev/null; then
		echo "does not hold for workload $1: $2"
		report_of "${PIDS[$1]}" | jq -c 'del(.stacks)'
		return 1
	fi
}

@test "few calls: all of them are followed, and what each holds is known" {
	watch_paced 1h
	tell 0 300
	tell 1 300
	tell 0 "leak 3"
	tell 1 "leak 5"
	sleep 1
	detach
	for i in 0 1; do
		of $i '.mode.name == "exact" and .mode.budget == 0.05 and .health.coverage == 1'
		of $i '.health.overhead_ns > 0 and (.mode.why | endswith("of all targets together"))'
	done
	of 0 '[.stacks[] | select(.frames[0].function == "site_leak")][0] | .live_count == 3'
	of 1 '[.stacks[] | select(.frames[0].function == "site_leak")][0] | .live_count == 5'
	adds_up
	tell_group quit
}

@test "one that calls without end puts all of them into windows" {
	watch_paced 500ms
	tell 0 max
	tell 1 20000
	wait_report '.scope == "all" and .mode.name == "windows" and .mode.windows >= 3'
	detach
	together '.mode.name == "windows" and .mode.scale == null and .totals.live_bytes == null'
	for i in 0 1; do
		of $i '.mode.name == "windows" and .mode.scale >= 1 and .totals.live_bytes == null'
		of $i '.health.coverage > 0 and .health.coverage < 1 and .growth == null'
		of $i '.totals | .samples.alloc_count > 0 and .alloc_count >= .samples.alloc_count'
		of $i '.totals | .samples.alloc_count == .samples.free_count + .samples.live_count + .samples.lost_count'
	done
	# What it costs is told of each, and adds up.
	jq -se --argjson a "$(report_of "${PIDS[0]}" | jq .health.overhead_ns)" \
		--argjson b "$(report_of "${PIDS[1]}" | jq .health.overhead_ns)" \
		'last | .scope == "all" and $a > $b and $b > 0 and (.health.overhead_ns - $a - $b | fabs) <= 2' "$HT_OUT"
	tell_group quit
}

@test "before the probes go, what they have seen of each is reported" {
	watch_paced 1h
	tell 0 300
	tell 1 "leak 5"
	sleep 1.5
	tell 0 max
	wait_report '.mode.why | contains("these figures end here")'
	jq -se --argjson pid "${PIDS[1]}" 'any(.[]; .scope == "process" and .target.pid == $pid and
		(.mode.why | contains("these figures end here")) and .mode.name == "exact" and
		([.stacks[] | select(.frames[0].function == "site_leak")][0].live_bytes == 5000))' "$HT_OUT"
	detach
	together '.mode.name == "windows"'
	tell_group quit
}

@test "back to exact when all of them call little" {
	watch_paced 500ms
	tell 0 max
	tell 1 300
	wait_report '.scope == "all" and .mode.name == "windows"'
	tell 0 100
	# Not before the windows: then all figures are as old as the run.
	wait_report '.scope == "all" and .mode.name == "exact" and .mode.figures_s > 1 and
		.mode.figures_s < .elapsed_s - 0.1'
	tell 1 "leak 4"
	sleep 0.3
	detach
	for i in 0 1; do
		of $i '.mode.name == "exact" and .health.coverage == 1 and .mode.figures_s < .elapsed_s'
		of $i '.totals | .live_count == .alloc_count - .free_count - .lost_count'
	done
	of 1 '[.stacks[] | select(.frames[0].function == "site_leak")][0].live_count == 4'
	tell_group quit
}

@test "the last figures of one that exits are of windows, and the other goes on" {
	watch_paced 300ms
	tell 0 max
	tell 1 20000
	wait_report '.scope == "process" and .target.pid == '"${PIDS[1]}"' and .totals.alloc_count > 0 and
		.mode.name == "windows"'
	tell 1 quit
	wait_report '.scope == "process" and .ended == "target_exit" and .target.pid == '"${PIDS[1]}"
	of 1 '.mode.name == "windows"'
	tell 0 quit
	expect_exit "$HT_PID" 0
	last '.ended == "target_exit"'
}

@test "children that come and go while the budget is kept" {
	start_heaptap leaks --json --every 500ms --budget 0.5 -- bash -c \
		'for i in {1..300}; do (for j in {1..50}; do x=$x$i; done); done; exit 3'
	expect_exit "$HT_PID" 3
	jq -se 'length > 0 and all(.[]; .health.lost.missed_free == 0)' "$HT_OUT"
	jq -se 'map(select(.ended == "target_exit" and .scope == "process") | .target | [.pid, .start_time])
		| length == (unique | length)' "$HT_OUT"
}

@test "growth mode is for one process" {
	start_paced
	start_paced
	for target in "-p ${PIDS[0]},${PIDS[1]}" "--comm paced" "--cgroup /" --all "-- true"; do
		# shellcheck disable=SC2086
		run -2 --separate-stderr "$HEAPTAP" leaks --mode growth $target
		[[ -z $output && $stderr == *"growth mode is for one process: give it by -p PID"* ]]
		(($(wc -l <<<"$stderr") == 1))
	done
	tell_group quit
}
