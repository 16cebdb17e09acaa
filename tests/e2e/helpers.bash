# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the end-to-end tests share. Tests wait for a line or for the end of a process; LIMIT is how
# many seconds something may take before it is said to hang.
#
#   HEAPTAP       the binary under test          default: build/heaptap
#   WORKLOADS     where the workloads are built  default: build/workloads
#   HEAPTAP_LINK  what attach says to --link     default: nothing

bats_require_minimum_version 1.5.0

E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$E2E/../.." && pwd)
HEAPTAP=${HEAPTAP:-$ROOT/build/heaptap}
WORKLOADS=${WORKLOADS:-$ROOT/build/workloads}
LIMIT=60
export LC_ALL=C
export BATS_TEST_TIMEOUT=${BATS_TEST_TIMEOUT:-180}
unset NO_COLOR

setup() {
	((EUID == 0)) || skip "needs root"
	if [[ ! -x $HEAPTAP ]]; then
		echo "$HEAPTAP is not there: run make first"
		return 1
	fi
	STARTED=()
	SERIAL=0
	WL_PREFIX=()
	TRUTH=$BATS_TEST_TMPDIR/truth.json
}

teardown() {
	local pid file

	for pid in "${STARTED[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
		# Else the shell tells of it in the middle of the results.
		wait "$pid" 2>/dev/null || true
	done
	[[ ${BATS_TEST_COMPLETED:-} ]] && return
	for file in "$BATS_TEST_TMPDIR"/*.err; do
		[[ -s $file ]] || continue
		echo "--- ${file##*/}"
		tail -n 20 "$file"
	done
}

# started PID: teardown ends it if the test does not.
started() {
	STARTED+=("$1")
}

# wait_line FILE REGEX PID: until a line matches; fails when the process ends without it.
wait_line() {
	local deadline=$((SECONDS + LIMIT)) ended=

	until grep -qE -- "$2" "$1" 2>/dev/null; do
		if [[ $ended ]]; then
			echo "process $3 ended without a line like '$2'"
			return 1
		fi
		# Looks once more after the end: the line may have come in between.
		kill -0 "$3" 2>/dev/null || ended=1
		if ((SECONDS >= deadline)); then
			echo "process $3 wrote no line like '$2' in $LIMIT s"
			return 1
		fi
		[[ $ended ]] || sleep 0.05
	done
}

# wait_exit PID: until a child ends; its exit code is then in STATUS.
wait_exit() {
	local deadline=$((SECONDS + LIMIT)) pid rest=()

	while kill -0 "$1" 2>/dev/null; do
		if ((SECONDS >= deadline)); then
			echo "process $1 did not end in $LIMIT s"
			return 1
		fi
		sleep 0.05
	done
	STATUS=0
	wait "$1" || STATUS=$?
	for pid in "${STARTED[@]}"; do
		[[ $pid == "$1" ]] || rest+=("$pid")
	done
	STARTED=("${rest[@]}")
}

# expect_exit PID CODE
expect_exit() {
	wait_exit "$1"
	if ((STATUS != $2)); then
		echo "process $1 ended with $STATUS, not $2"
		return 1
	fi
}

# launch_workload NAME [ARG...]: WL_PID, WL_OUT; say writes to its input. WL_PREFIX is a command that becomes the
# workload, such as setpriv.
launch_workload() {
	local base=$BATS_TEST_TMPDIR/workload$((++SERIAL)) name=$1

	shift
	mkfifo "$base.in"
	WL_OUT=$base.out
	"${WL_PREFIX[@]}" "$WORKLOADS/$name" "$@" <"$base.in" >"$WL_OUT" 2>"$base.err" 3>&- &
	WL_PID=$!
	started "$WL_PID"
	exec {WL_IN}>"$base.in"
}

# The same, and returns when it is ready.
start_workload() {
	launch_workload "$@"
	wait_line "$WL_OUT" '^ready ' "$WL_PID"
}

# say WORD: in a subshell, since a workload that is gone must not end the test by SIGPIPE.
say() {
	(echo "$1" >&"$WL_IN") 2>/dev/null || true
}

wait_done() {
	wait_line "$WL_OUT" '^done' "$WL_PID"
}

quit_workload() {
	say quit
	expect_exit "$WL_PID" 0
}

# start_heaptap ARG...: in the background. HT_PID, HT_OUT, HT_ERR. A shell without job control
# starts background commands with SIGINT ignored, which is not what a user's terminal does.
start_heaptap() {
	local base=$BATS_TEST_TMPDIR/heaptap$((++SERIAL))

	HT_OUT=$base.out
	HT_ERR=$base.err
	env --default-signal=INT,QUIT "$HEAPTAP" "$@" </dev/null >"$HT_OUT" 2>"$HT_ERR" 3>&- &
	HT_PID=$!
	started "$HT_PID"
}

wait_armed() {
	wait_line "$HT_ERR" '^heaptap: armed pid=[0-9]+ probes=[1-9][0-9]* mode=(auto|exact|sample)$' "$HT_PID"
}

# attach [ARG...]: to the workload; one report, at the end, unless the arguments say otherwise.
attach() {
	local every=(--every 1h)

	[[ $* != *--every* ]] || every=()
	start_heaptap leaks -p "$WL_PID" --mode exact --json "${every[@]}" \
		${HEAPTAP_LINK:+--link "$HEAPTAP_LINK"} "$@"
	wait_armed
}

detach() {
	kill -INT "$HT_PID"
	expect_exit "$HT_PID" 0
}

compare() {
	python3 "$E2E/compare.py" "$TRUTH" "$HT_OUT" "$@"
}

# last EXPRESSION [JQ-ARG...]: holds for the last report.
last() {
	local expression=$1

	shift
	if ! tail -n 1 "$HT_OUT" | jq -e "$@" "$expression" >/dev/null; then
		echo "does not hold for the last report: $expression"
		tail -n 1 "$HT_OUT" | jq -c 'del(.stacks)'
		return 1
	fi
}

# each EXPRESSION: holds for every report.
each() {
	if ! jq -es "length > 0 and all(.[]; $1)" "$HT_OUT" >/dev/null; then
		echo "does not hold for every report: $1"
		jq -c 'del(.stacks)' "$HT_OUT"
		return 1
	fi
}

# refute COMMAND...: must fail. A plain "! command" never fails a test.
refute() {
	if "$@"; then
		echo "should not hold: $*"
		return 1
	fi
}

# Runs the workload from "go" to "done" and stops tracing it.
trace_to_the_end() {
	say go
	wait_done
	detach
}

# need PROGRAM...: skips the test where one is missing.
need() {
	local program

	for program in "$@"; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
}

# nothing_left [PID]: no byte of its text is changed, and no link or program of a tracer is there.
nothing_left() {
	python3 "$E2E/remains.py" "${1:-$WL_PID}"
}
