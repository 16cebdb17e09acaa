#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Sampled reports are estimates: right on average, with errors as large as they say. And what is not
# to be followed is in no report.
#
#   SAMPLE_RUNS  how many runs are pooled, default 5; the full form takes 20

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers

# usage ARG...: refused with one line and exit code 2.
usage() {
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" leaks -p $$ "$@"
	if ((status != 2)) || [[ -n $output ]] || (($(grep -c . <<<"$stderr") != 1)); then
		echo "$*: exit code $status, stderr: $stderr"
		return 1
	fi
}

# site NAME: a jq expression for the stacks of a site.
site() {
	echo "([.stacks[] | select([.frames[].function // \"\" | startswith(\"$1\")] | any)])"
}

# pooled RUNS INTERVAL WORKLOAD ARG...: runs of one workload, and their errors together.
pooled() {
	local runs=$1 interval=$2 i files=()

	shift 2
	for ((i = 0; i < runs; i++)); do
		TRUTH=$BATS_TEST_TMPDIR/truth$i.json
		start_workload "$@" --truth "$TRUTH"
		attach --mode sample --sample "$interval"
		trace_to_the_end
		quit_workload
		files+=("$TRUTH" "$HT_OUT")
	done
	python3 "$E2E/estimates.py" "${files[@]}"
}

@test "estimates: random calls of every kind, one sample in 4 KiB" {
	pooled "${SAMPLE_RUNS:-5}" 4K oracle --events 200000
}

@test "estimates: every entry point, one sample in 256 bytes" {
	pooled "${SAMPLE_RUNS:-5}" 256 exact --rounds 400
}

@test "an interval of one byte is exact" {
	start_workload exact --rounds 300 --truth "$TRUTH"
	attach --mode sample --sample 1
	trace_to_the_end
	python3 "$E2E/compare.py" "$TRUTH" "$HT_OUT" --sites
	last '.mode.name == "sample" and .mode.sample_bytes == 1'
	last '[.totals.alloc_count, .totals.alloc_bytes, .totals.live_count, .totals.live_bytes] ==
		($truth[0].totals | [.alloc_count, .alloc_bytes, .live_count, .live_bytes])' \
		--slurpfile truth "$TRUTH"
	last '.totals.alloc_bytes_stderr == 0 and .totals.live_count_stderr == 0'
	quit_workload
}

@test "once all is freed nothing is live" {
	start_workload deep --depth 5 --pairs 50000 --size 1000 --truth "$TRUTH"
	attach --mode sample --sample 4K
	trace_to_the_end
	python3 "$E2E/estimates.py" "$TRUTH" "$HT_OUT"
	last '.totals.live_count == 0 and .totals.live_bytes == 0 and .totals.samples.live_count == 0'
	last '.totals.samples.alloc_count > 5000 and .totals.samples.alloc_count < 20000'
	last '.totals.alloc_count == .totals.free_count and .totals.alloc_bytes == .totals.free_bytes'
	last '.totals.peak_live_bytes > 1000 and .totals.peak_live_bytes < 100000'
	quit_workload
}

@test "what sampling cannot know is null" {
	start_workload exact --rounds 100
	attach --mode sample --sample 64K
	trace_to_the_end
	last '.mode.name == "sample" and .mode.sample_bytes == 65536 and .mode.why == "asked for"
		and .mode.budget == null and .mode.windows == null and .mode.reach == "targets"'
	last '.totals | .failed_count == null and .untracked_frees == null'
	last '.health.events == null'
	last '.stacks | length > 0 and all(.temporary_count == null and .failed_count == null)'
	last '.totals | has("alloc_count_stderr") and has("alloc_bytes_stderr") and
		has("free_count_stderr") and has("free_bytes_stderr") and has("live_count_stderr") and
		has("live_bytes_stderr")'
	last '.stacks | all(has("live_bytes_stderr") and has("low_confidence") and
		.live_bytes_ci95[0] <= .live_bytes and .live_bytes_ci95[1] >= .live_bytes)'
	quit_workload
}

@test "exact mode knows of no error" {
	start_workload exact --rounds 50
	attach
	trace_to_the_end
	last '.totals | has("alloc_count_stderr") or has("samples") | not'
	last '.stacks | all(has("live_bytes_stderr") | not)'
	last '.filters == null'
	quit_workload
}

@test "the text report of a sampled run" {
	start_workload exact --rounds 300
	start_heaptap leaks -p "$WL_PID" --every 1h --mode sample --sample 50000 --min-age 0
	wait_armed
	trace_to_the_end
	cat "$HT_OUT" "$HT_ERR"
	grep -q 'mode sample' "$HT_OUT"
	grep -q 'one in 64.0 KiB' "$HT_OUT"
	grep -q '±' "$HT_OUT"
	grep -q 'low confidence' "$HT_OUT"
	grep -q 'power of two nearest to 50000' "$HT_ERR"
	quit_workload
}

@test "--min-size and --max-size" {
	start_workload exact --rounds 300 --truth "$TRUTH"
	attach --min-size 100 --max-size 200
	trace_to_the_end
	last '.filters == {"min_bytes": 100, "max_bytes": 200, "thread": null, "module": null}'
	last '.totals.untracked_frees == null and .totals.lost_count == 0'
	last '.stacks | all(.alloc_bytes >= 100 * .alloc_count and .alloc_bytes <= 200 * .alloc_count)'
	# Blocks of 136 and of 72 bytes.
	last "$(site site_altstack)"' | [map(.alloc_count), map(.free_count)] | map(add) ==
		($truth[0].sites.site_altstack | [.alloc_count, .free_count])' --slurpfile truth "$TRUTH"
	last "$(site site_signal) == []"
	python3 "$E2E/compare.py" "$TRUTH" "$HT_OUT" --identity-only
	quit_workload
}

@test "--min-size of a run says so in text" {
	start_workload idle
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" leaks -p "$WL_PID" --count 1 --every 200ms \
		--min-size 1K
	[[ $output == *"only requests of 1.00 KiB or more"* ]]
	quit_workload
}

@test "--thread: what it requests, whoever frees it" {
	local threads

	start_workload exact --rounds 400 --truth "$TRUTH"
	mapfile -t threads < <(ls "/proc/$WL_PID/task")
	attach --thread "${threads[2]}"
	trace_to_the_end
	last '.filters.thread == $tid' --argjson tid "${threads[2]}"
	last "$(site site_calloc)"' | map(select(.frames[0].function | startswith("site_calloc"))) |
		(map(select(.frames[0].function == "site_calloc") | .alloc_count) | add) * 4 ==
		$truth[0].sites.site_calloc.alloc_count' --slurpfile truth "$TRUTH"
	# The next thread frees these.
	last "$(site site_handover)"' | (map(.alloc_count) | add) > 300 and (map(.live_count) | add) < 10'
	python3 "$E2E/compare.py" "$TRUTH" "$HT_OUT" --identity-only
	quit_workload
}

@test "--threads: a site each" {
	start_workload exact --rounds 200 --truth "$TRUTH"
	attach --threads
	trace_to_the_end
	compare
	last '[.stacks[] | select(.frames[0].function == "site_calloc")] | length == 4 and
		([.[].thread] | all(. > 0) and (unique | length) == 4) and
		([.[].alloc_count] | unique | length) == 1'
	quit_workload
}

@test "--module: requests from the program, and those that the C library makes for it" {
	start_workload exact --rounds 100 --truth "$TRUTH"
	attach --module libc.so.6
	trace_to_the_end
	last '.filters.module == "libc.so.6"'
	last '.stacks | length > 0 and all(.frames[0].module | endswith("libc.so.6"))'
	last '([.stacks[].alloc_count] | add) == $truth[0].sites.site_strdup.alloc_count' \
		--slurpfile truth "$TRUTH"
	quit_workload

	start_workload exact --rounds 100 --truth "$TRUTH"
	attach --module exact
	trace_to_the_end
	last '.stacks | length > 10 and all(.frames[0].module | endswith("/exact"))'
	last '.totals.alloc_count + $truth[0].sites.site_strdup.alloc_count ==
		$truth[0].totals.alloc_count' --slurpfile truth "$TRUTH"
	quit_workload
}

# steer COMMAND...: asks the running steer, and waits for its answer in ANSWER.
steer() {
	echo "$*" >&"$STEER_IN"
	IFS= read -r -t "$LIMIT" -u "$STEER_OUT" ANSWER
}

start_steer() {
	[[ -x $WORKLOADS/steer ]] || skip "steer is not built"
	coproc STEER { exec "$WORKLOADS/steer" "$WL_PID" 3>&-; }
	started "$STEER_PID"
	STEER_OUT=${STEER[0]} STEER_IN=${STEER[1]}
	IFS= read -r -t "$LIMIT" -u "$STEER_OUT" ANSWER
	[[ $ANSWER == ok ]]
}

@test "the interval changes while running: one estimate of all, and exact books" {
	local how

	start_workload oracle --events 0 --live 2000 --truth "$TRUTH"
	start_steer
	say go
	for how in exact "sample 4096" "sample 256" exact "sample 65536" "sample 1024" exact; do
		steer "$how"
		[[ $ANSWER == ok ]]
		sleep 0.3 # nothing waits for this: it only gives each interval its share
	done
	say stop
	wait_done
	steer end
	echo "$ANSWER" | tee "$BATS_TEST_TMPDIR/report"
	python3 "$E2E/estimates.py" "$TRUTH" "$BATS_TEST_TMPDIR/report"
	quit_workload
}

@test "a size filter changes while running" {
	local before

	start_workload oracle --events 0 --live 2000
	start_steer
	say go
	steer read
	until (($(jq .totals.alloc_count <<<"$ANSWER") > 100)); do
		steer read
	done
	# No request is so large; one that has passed the test may still be counted at its return.
	steer min $((1 << 30))
	steer read
	before=$(jq .totals.alloc_count <<<"$ANSWER")
	for ((i = 0; i < 50; i++)); do
		steer read
	done
	(($(jq .totals.alloc_count <<<"$ANSWER") <= before + 4))
	steer min 0
	until (($(jq .totals.alloc_count <<<"$ANSWER") > before + 1000)); do
		steer read
	done
	steer end
	jq -e '.totals.samples | .alloc_count == .live_count + .free_count + .lost_count' <<<"$ANSWER"
	say stop
	wait_done
	quit_workload
}

@test "usage: intervals, sizes and threads" {
	local bad

	for bad in 0 -1 -64K "" x 17M 1e99 1e30T 4096parsecs 0x1000; do
		usage --mode sample --sample "$bad"
	done
	for bad in -1 "" x 1e99 300T; do
		usage --min-size "$bad"
		usage --max-size "$bad"
	done
	usage --max-size 0
	usage --min-size 5 --max-size 4
	usage --mode exact --sample 4096
	usage --thread 0
	usage --thread -3
	usage --thread x
	usage --module ""
}

@test "--thread of another process" {
	start_workload idle
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" leaks -p "$WL_PID" --thread $$
	((status == 4))
	[[ $stderr == *"has no thread $$"* ]]
	quit_workload
}
