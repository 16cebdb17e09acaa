#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Is the old speed back after the detach? Three servers of each kind run side by side; heaptap attaches to one of them
# twenty times, under load, and leaves. Then requests a second of all three are measured in turn: the ratio of the one
# that was traced to an untouched one, and of two untouched ones, which is what the machine can tell apart. Medians
# over the rounds, and their 95 % bootstrap intervals.
#
#   programs.sh [ROUNDS]     default 30
set -euo pipefail
rounds=${1:-30}

bats_require_minimum_version() { :; }
# shellcheck source=tests/e2e/helpers.bash
. "$(dirname "$0")/../e2e/helpers.bash"
# shellcheck source=tests/e2e/programs.bash
. "$E2E/programs.bash"

STARTED=() SERIAL=0
((EUID == 0)) || { echo "programs.sh: run as root" >&2; exit 3; }
work=$(mktemp -d)
finish() {
	local pid all=()

	for pid in "${STARTED[@]}"; do
		# shellcheck disable=SC2207 # numbers
		all+=($(descendants "$pid") "$pid")
	done
	((${#all[@]} == 0)) || kill -KILL "${all[@]}" 2>/dev/null || true
	wait 2>/dev/null || true # else the shell tells of each
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# --- a kind of server: serve_KIND starts one, WHERE is how it is reached; ask_KIND WHERE prints requests a second --

where_redis() { echo "$BATS_TEST_TMPDIR/redis.sock"; }
traced_redis() { echo "$PROGRAM_PID"; }
ask_redis() {
	redis-benchmark -s "$1" --csv -n 40000 -c 20 -P 4 -d 300 -r 1000 -t set | awk -F'"' '/^"SET"/{print $4}'
}

where_nginx() { echo "http://127.0.0.1:$PORT/"; }
traced_nginx() { pgrep -P "$PROGRAM_PID"; }
ask_nginx() {
	wrk -t 1 -c 8 -d 1s -H 'Accept-Encoding: gzip' "$1" | awk '/^Requests.sec/{print $2}'
}

where_node() { where_nginx; }
traced_node() { echo "$PROGRAM_PID"; }
ask_node() {
	wrk -t 1 -c 8 -d 1s "$1" | awk '/^Requests.sec/{print $2}'
}

# attach_often KIND WHERE PID
attach_often() {
	local i load

	(while :; do "ask_$1" "$2" >/dev/null; done) &
	load=$!
	for ((i = 0; i < CYCLES; i++)); do
		"$HEAPTAP" leaks -p "$3" --mode exact --json --for 200ms --every 1h >/dev/null 2>&1
	done
	kill "$load"
	wait "$load" 2>/dev/null || true
}

# One line a round: untouched, traced, another untouched. Whose turn is first changes from round to round.
measure() {
	local kind=$1 i slot speed=()

	for ((i = 0; i < rounds; i++)); do
		for slot in 0 1 2; do
			slot=$(((slot + i) % 3))
			speed[slot]=$("ask_$kind" "${WHERE[slot]}")
		done
		echo "${speed[@]}"
	done
}

ratios() {
	python3 -c '
import random, statistics, sys
rows = [tuple(map(float, line.split())) for line in sys.stdin]
chance = random.Random(1)
def told(name, ratios):
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(2000))
    print(f"  {name:<28} {statistics.median(ratios):.3f} [{medians[50]:.3f}, {medians[-51]:.3f}]")
told("traced before / untouched", [b / a for a, b, _ in rows])
told("untouched / untouched", [c / a for a, _, c in rows])
'
}

echo "requests a second after $CYCLES attaches, over those of a server never traced; $rounds rounds"
for kind in redis nginx node; do
	WHERE=() TRACED=
	for slot in 0 1 2; do
		BATS_TEST_TMPDIR=$work/$kind$slot
		mkdir "$BATS_TEST_TMPDIR"
		"serve_$kind"
		WHERE[slot]=$("where_$kind")
		((slot != 1)) || TRACED=$("traced_$kind")
	done
	attach_often "$kind" "${WHERE[1]}" "$TRACED"
	echo "$kind"
	measure "$kind" | ratios
done
