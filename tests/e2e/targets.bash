# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2153,SC2015
# shellcheck disable=SC2034 # used by the tests
#
# Several processes under one heaptap: reports by process, and those of all together.

# trace_processes ARG...: like attach, but what to trace is among the arguments.
trace_processes() {
	local every=(--every 1h)

	[[ $* != *--every* ]] || every=()
	start_heaptap leaks --mode exact --json "${every[@]}" ${HEAPTAP_LINK:+--link "$HEAPTAP_LINK"} "$@"
	wait_armed_any
}

wait_armed_any() {
	wait_line "$HT_ERR" '^heaptap: armed (pid=[0-9,]+|processes=[0-9]+) probes=[1-9][0-9]* mode=(exact|sample)$' \
		"$HT_PID"
}

# report_of PID: its last report.
report_of() {
	jq -c --argjson pid "$1" 'select(.scope == "process" and .target.pid == $pid)' "$HT_OUT" | tail -n 1
}

# compare_process PID TRUTH [COMPARE-ARG...]: its last report to its truth.
compare_process() {
	local file=$BATS_TEST_TMPDIR/of-$1.json truth=$2

	report_of "$1" >"$file"
	[[ -s $file ]] || {
		echo "no report of pid $1"
		return 1
	}
	python3 "$E2E/compare.py" "$truth" "$file" "${@:3}"
}

compare_sites() {
	compare_process "$1" "$2" --sites
}

# together EXPRESSION: holds for the last report of all processes.
together() {
	if ! jq -ce 'select(.scope == "all")' "$HT_OUT" | tail -n 1 | jq -e "$1" >/dev/null; then
		echo "does not hold for the report of all: $1"
		jq -c 'select(.scope == "all") | del(.stacks)' "$HT_OUT" | tail -n 1
		return 1
	fi
}

# The last report of all is the sum of the reports before it, stack by stack.
adds_up() {
	python3 - "$HT_OUT" <<-'END'
		import json, sys
		group, groups = [], []
		for line in open(sys.argv[1]):
		    report = json.loads(line)
		    if report["scope"] == "all":
		        groups.append((group, report))
		        group = []
		    else:
		        group.append(report)
		parts, whole = groups[-1]
		assert len(parts) == len(whole["targets"]) > 1, (len(parts), len(whole["targets"]))
		assert [p["target"]["pid"] for p in parts] == [t["pid"] for t in whole["targets"]]
		for key in ("alloc_count", "alloc_bytes", "free_count", "free_bytes", "live_count", "live_bytes",
		            "lost_count", "failed_count", "untracked_frees"):
		    assert sum(p["totals"][key] for p in parts) == whole["totals"][key], key
		def stacks(reports):
		    sums = {}
		    for report in reports:
		        for stack in report["stacks"]:
		            of = sums.setdefault(stack["id"], [0, 0, 0])
		            of[0] += stack["alloc_count"]
		            of[1] += stack["alloc_bytes"]
		            of[2] += stack["live_count"]
		    return sums
		assert stacks(parts) == stacks([whole])
		END
}

# start_group COUNT ARG...: so many workloads `exact`; PIDS, INS, OUTS. Truths are $TRUTH.0 and so on.
start_group() {
	start_group_of exact "$@"
}

start_group_of() {
	local name=$1 count=$2 i

	shift 2
	[[ ${PIDS+set} ]] || PIDS=() INS=() OUTS=()
	for ((i = 0; i < count; i++)); do
		launch_workload "$name" "$@" --truth "$TRUTH.${#PIDS[@]}"
		PIDS+=("$WL_PID")
		INS+=("$WL_IN")
		OUTS+=("$WL_OUT")
	done
	for i in "${!PIDS[@]}"; do
		wait_line "${OUTS[i]}" '^ready ' "${PIDS[i]}"
	done
}

# Blocks of another size each, so that one taken for another shows.
start_deep_group() {
	local i

	for ((i = 0; i < $1; i++)); do
		start_group_of deep 1 --depth 5 --pairs 2000 --size $((16 * (i + 1)))
	done
}

tell_group() {
	local fd

	for fd in "${INS[@]}"; do
		(echo "$1" >&"$fd") 2>/dev/null || true
	done
}

wait_group_done() {
	local i

	for i in "${!PIDS[@]}"; do
		wait_line "${OUTS[i]}" '^done' "${PIDS[i]}"
	done
}

# poll_until COMMAND...: fails when it is not true in LIMIT seconds, or heaptap ends before.
poll_until() {
	local deadline=$((SECONDS + LIMIT))

	until "$@" >/dev/null 2>&1; do
		if ! kill -0 "$HT_PID" 2>/dev/null || ((SECONDS >= deadline)); then
			echo "never true: $*"
			return 1
		fi
		sleep 0.1
	done
}

# wait_report EXPRESSION: until it holds for some report.
wait_report() {
	poll_until jq -se "any(.[]; $1)" "$HT_OUT"
}

targets_are() {
	local before

	before=$(wc -l <"$HT_OUT")
	kill -USR1 "$HT_PID"
	poll_until report_came "$before"
	jq -ce 'select(.scope == "all")' "$HT_OUT" | tail -n 1 | jq -e --argjson n "$1" '.targets | length >= $n'
}

report_came() {
	(($(wc -l <"$HT_OUT") > $1))
}

# tell_targets N: returns once so many processes are traced.
tell_targets() {
	poll_until targets_are "$1"
}

# --- family: a process with children ------------------------------------------------------------------

# wait_children N: until so many have said that their heap rests.
wait_children() {
	local i

	for ((i = 1; i <= $1; i++)); do
		wait_line "$WL_OUT" "^child $i " "$WL_PID"
	done
}

child_pid() {
	awk -v n="$1" '$1 == "child" && $2 == n {print $3; exit}' "${2:-$WL_OUT}"
}

end_family() {
	say end
	expect_exit "$WL_PID" 0
}

# --- cgroups --------------------------------------------------------------------------------------------

# A new cgroup, of whichever version there is; its path.
make_cgroup() {
	local root path

	for root in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/pids /sys/fs/cgroup/memory; do
		path=$root/heaptap-test-$$
		[[ -w $root/cgroup.procs ]] && mkdir "$path" 2>/dev/null && [[ -w $path/cgroup.procs ]] || continue
		echo "$path"
		return 0
	done
	return 1
}

remove_cgroup() {
	local pid

	while read -r pid; do
		echo "$pid" >"${1%/*}/cgroup.procs"
	done <"$1/cgroup.procs"
	rmdir "$1"
}
