#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Shows what heaptap does: on a small leaking server of its own, or, with a PID, on a process of the user's.
set -eu
cd "$(dirname "$0")/.."
heaptap=build/heaptap
pid=${1:-}
mode=

if [ -z "$pid" ]; then
	out=$(mktemp)
	build/workloads/leaky-server >"$out" 2>&1 &
	pid=$!
	trap 'kill "$pid" 2>/dev/null; rm -f "$out"' EXIT
	trap 'exit 130' INT TERM
	until grep -q listening "$out"; do
		kill -0 "$pid" || { cat "$out" >&2; exit 1; }
		sleep 0.05
	done
	# It sleeps most of the time, and calls malloc the rest: by the budget alone it would be seen in parts.
	mode="--mode exact "
	cat "$out"
	echo "it runs; heaptap attaches to it for 8 seconds:"
else
	echo "heaptap attaches to pid $pid for 8 seconds:"
fi
echo
echo "\$ $heaptap leaks -p $pid $mode--for 8s --every 8s --min-age 2s --top 5"
# shellcheck disable=SC2086 # no word, or two
"$heaptap" leaks -p "$pid" $mode --for 8s --every 8s --min-age 2s --top 5

cat <<END
What to try next:
  sudo make demo PID=1234                                       the same for a process of yours
  sudo $heaptap leaks -p 1234                              a report every 5 s for a minute
  sudo $heaptap leaks -p 1234 --every 10s --for 10m --min-age 1m   what is older than a minute
  sudo $heaptap leaks -p 1234 --json --count 1 | jq .totals    for scripts
  sudo $heaptap leaks -p 1234 --dry-run                    where the probes would stand
END
