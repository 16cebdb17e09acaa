#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The command line is a contract: options, exit codes, where output goes, the schema.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers

# heaptap ARG...: in the foreground, with a limit. status, output, stderr.
heaptap() {
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" "$@"
}

# errors CODE: the last run ended with it and one line about why.
errors() {
	local lines

	lines=$(grep -vc '^heaptap: armed ' <<<"$stderr" || true)
	if ((status != $1)) || ((lines != 1)) ||
		! grep -v '^heaptap: armed ' <<<"$stderr" | grep -q '^heaptap: .'; then
		echo "exit code $status, expected $1; stderr:"
		echo "$stderr"
		return 1
	fi
}

# fails CODE ARG...
fails() {
	local code=$1

	shift
	heaptap "$@"
	errors "$code" || {
		echo "arguments: $*"
		return 1
	}
	[[ -z $output ]] || {
		echo "on stdout, with arguments $*: $output"
		return 1
	}
}

escape_in() {
	grep -q $'\033' "$1"
}

@test "--help and --version" {
	heaptap --help
	((status == 0))
	[[ -z $stderr && $output == *leaks* ]]
	heaptap -h
	((status == 0))
	heaptap leaks --help
	((status == 0))
	[[ -z $stderr ]]
	for option in --every --for --count --min-age --top --json --dry-run --max-live --link; do
		[[ $output == *"$option"* ]]
	done
	heaptap --version
	((status == 0))
	[[ -z $stderr && $output =~ ^heaptap\ .*[0-9] ]]
}

@test "usage: commands and options" {
	fails 2 no-such-command
	fails 2 leaks
	fails 2 leaks --no-such-option
	fails 2 leaks -p $$ --no-such-option
	fails 2 leaks -p
	fails 2 leaks -p $$ --every
	fails 2 leaks -p not-a-pid
	fails 2 leaks -p $$ --mode no-such-mode
	fails 2 leaks -p $$ --color no-such-color
	fails 2 leaks -p $$ --link no-such-link
	fails 2 leaks -p $$ stray-argument
}

@test "usage: durations, sizes and counts" {
	fails 2 leaks -p $$ --every 5parsecs
	fails 2 leaks -p $$ --every -1s
	fails 2 leaks -p $$ --every ""
	fails 2 leaks -p $$ --for soon
	fails 2 leaks -p $$ --min-age 1e99d
	fails 2 leaks -p $$ --max-live 10Q
	fails 2 leaks -p $$ --max-stacks many
	fails 2 leaks -p $$ --max-in-flight -4
	fails 2 leaks -p $$ --count x
	fails 2 leaks -p $$ --top 3.5
}

@test "no such process" {
	local pid

	true 3>&- &
	pid=$!
	wait_exit "$pid"
	fails 4 leaks -p "$pid"
}

@test "a zombie" {
	local parent pid

	# The child ends when its parent is sleep, which waits for nobody; the shell would have.
	sh -c 'sleep 1000 & echo $! && exec sleep 1000' >"$BATS_TEST_TMPDIR/zombie" 3>&- &
	parent=$!
	started "$parent"
	wait_line "/proc/$parent/comm" '^sleep$' "$parent"
	pid=$(<"$BATS_TEST_TMPDIR/zombie")
	kill -KILL "$pid"
	wait_line "/proc/$pid/status" '^State:.Z' "$parent"
	fails 4 leaks -p "$pid"
}

@test "a kernel thread" {
	[[ $(</proc/2/comm) == kthreadd ]] || skip "pid 2 is no kernel thread in this pid namespace"
	fails 4 leaks -p 2
}

@test "no privilege" {
	local nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all
		--bounding-set=-all) shared

	# The build directory may be closed to others.
	shared=$(mktemp -d)
	chmod 755 "$shared"
	cp "$HEAPTAP" "$shared/heaptap"
	cp "$WORKLOADS/idle" "$shared/idle"

	start_workload idle
	run --separate-stderr timeout "$LIMIT" "${nobody[@]}" "$shared/heaptap" leaks -p "$WL_PID"
	errors 3
	quit_workload

	# A process of one's own can be looked at, but not probed.
	WORKLOADS=$shared
	WL_PREFIX=("${nobody[@]}")
	start_workload idle
	run --separate-stderr timeout "$LIMIT" "${nobody[@]}" "$shared/heaptap" leaks -p "$WL_PID"
	rm -r "$shared"
	errors 3
	quit_workload
}

@test "--link: the kind asked for is used, and the report names it" {
	local kind

	start_workload idle
	for kind in session multi perf; do
		heaptap leaks -p "$WL_PID" --count 1 --every 100ms --json --link "$kind"
		((status == 0))
		jq -e --arg kind "$kind" '.mode.link == $kind' <<<"$output"
		heaptap leaks -p "$WL_PID" --count 1 --every 100ms -v --link "$kind"
		((status == 0))
		[[ $output == *"mode exact by $kind links"* ]]
	done
	quit_workload
}

@test "--link auto: the first kind that works without CAP_SYS_ADMIN; perf does not" {
	local no_admin=(setpriv --inh-caps=-sys_admin --bounding-set=-sys_admin)

	start_workload idle
	run --separate-stderr timeout "$LIMIT" "${no_admin[@]}" "$HEAPTAP" leaks -p "$WL_PID" \
		--count 1 --every 100ms --json
	((status == 0))
	jq -e '.mode.link | IN("session", "multi")' <<<"$output"
	run --separate-stderr timeout "$LIMIT" "${no_admin[@]}" "$HEAPTAP" leaks -p "$WL_PID" \
		--count 1 --every 100ms --json --link multi
	((status == 0))
	run --separate-stderr timeout "$LIMIT" "${no_admin[@]}" "$HEAPTAP" leaks -p "$WL_PID" \
		--link perf
	errors 3
	[[ $stderr == *perf*CAP_SYS_ADMIN* ]]
	quit_workload
}

@test "--link: a kind that the kernel lacks is an error with its name and remedy" {
	local pmu=/sys/bus/event_source/devices/uprobe/type

	[[ -e $pmu ]] || skip "this kernel has no uprobe PMU to hide"
	start_workload idle
	run --separate-stderr timeout "$LIMIT" unshare --mount --propagation private bash -c \
		'mount --bind /dev/null "$1" && shift && exec "$@"' - "$pmu" \
		"$HEAPTAP" leaks -p "$WL_PID" --link perf
	errors 3
	[[ $stderr == *"--link perf"*"Linux 5.15"* ]]
	quit_workload
}

@test "a program without an allocator" {
	[[ $(uname -m) == x86_64 ]] || skip "the program is x86-64 assembly"
	# pause() for ever; 34 is its number.
	printf '.globl _start\n_start: mov $34, %%eax\n syscall\n jmp _start\n' \
		>"$BATS_TEST_TMPDIR/bare.s"
	gcc -nostdlib -static -o "$BATS_TEST_TMPDIR/bare" "$BATS_TEST_TMPDIR/bare.s"
	"$BATS_TEST_TMPDIR/bare" 3>&- &
	started $!
	wait_line "/proc/$!/comm" '^bare$' $!
	fails 4 leaks -p $!
}

@test "a stripped static program" {
	printf '%s\n' '#include <stdlib.h>' '#include <unistd.h>' \
		'int main(int argc, char **argv) { (void)argv; return !malloc(argc) || pause(); }' \
		>"$BATS_TEST_TMPDIR/stripped.c"
	gcc -static -s -o "$BATS_TEST_TMPDIR/stripped" "$BATS_TEST_TMPDIR/stripped.c"
	"$BATS_TEST_TMPDIR/stripped" 3>&- &
	started $!
	wait_line "/proc/$!/comm" '^stripped$' $!
	fails 4 leaks -p $!
}

@test "stdout is closed" {
	start_workload idle
	for format in "" --json; do
		# shellcheck disable=SC2016,SC2086
		run --separate-stderr timeout "$LIMIT" bash -c '"$@" >&-' - \
			"$HEAPTAP" leaks -p "$WL_PID" --count 1 --every 200ms $format
		errors 1
	done
	quit_workload
}

@test "stdout is full" {
	start_workload idle
	for arguments in "--count 1 --every 200ms" "--count 1 --every 200ms --json" --dry-run; do
		# shellcheck disable=SC2016,SC2086
		run --separate-stderr timeout "$LIMIT" bash -c '"$@" >/dev/full' - \
			"$HEAPTAP" leaks -p "$WL_PID" $arguments
		errors 1
	done
	quit_workload
}

@test "--dry-run prints every entry point and attaches nothing" {
	start_workload exact --rounds 10
	heaptap leaks -p "$WL_PID" --dry-run
	((status == 0))
	[[ $stderr != *armed* ]]
	for function in malloc free calloc realloc reallocarray posix_memalign valloc pvalloc; do
		grep -qw "$function" <<<"$output" || {
			echo "no $function in the plan: $output"
			return 1
		}
	done
	# One address, so one probe.
	grep -qwE 'memalign|aligned_alloc' <<<"$output"
	say go
	wait_done
	# The kernel maps this page into a process at its first probe hit.
	refute grep -qF '[uprobes]' "/proc/$WL_PID/maps"
	quit_workload
}

@test "--dry-run needs no BPF" {
	local no_bpf=-bpf,-perfmon,-sys_admin

	start_workload idle
	run --separate-stderr timeout "$LIMIT" setpriv --inh-caps=$no_bpf --bounding-set=$no_bpf \
		"$HEAPTAP" leaks -p "$WL_PID" --dry-run
	echo "$stderr"
	((status == 0))
	grep -qw malloc <<<"$output"
	quit_workload
}

@test "JSON has every key of the schema" {
	start_workload exact --rounds 50
	attach
	trace_to_the_end
	[[ $(wc -l <"$HT_OUT") == 1 ]]
	run jq -c 'def lacks($keys): . as $object | [$keys[] | . as $key
			| select($object | has($key) | not)];
		lacks(["schema", "kind", "scope", "time", "elapsed_s", "interval_s", "ended", "target",
			"mode", "totals", "health", "process", "host", "stacks"])
		+ (.target | lacks(["pid", "comm", "exe", "cgroup", "start_time", "allocators"]))
		+ (.target.allocators[0] | lacks(["name", "module", "build_id"]))
		+ (.mode | lacks(["name", "sample_bytes", "why", "link"]))
		+ (.totals | lacks(["alloc_count", "alloc_bytes", "free_count", "free_bytes",
			"live_count", "live_bytes", "lost_count", "lost_bytes", "peak_live_bytes",
			"failed_count", "untracked_frees", "in_flight"]))
		+ (.health | lacks(["events", "coverage", "skew", "overhead_ns", "overhead_cpu",
			"truncated_share", "lost", "unattributed"]))
		+ (.process | lacks(["rss_bytes", "pss_bytes", "swap_bytes", "limit_bytes"]))
		+ (.host | lacks(["mem_total", "mem_available", "cpu"]))
		+ ([.stacks[] | lacks(["id", "domain", "alloc_count", "alloc_bytes", "live_count",
			"live_bytes", "oldest_s", "verdict", "score", "growth_bytes_per_s", "frames"])[]])
		+ ([.stacks[].frames[] | lacks(["function", "file", "line", "module", "build_id",
			"offset", "inlined", "kind"])[]])
		| unique' "$HT_OUT"
	echo "missing: $output"
	[[ $output == "[]" ]]
	quit_workload
}

@test "JSON says what is true" {
	start_workload exact --rounds 50
	attach
	trace_to_the_end
	last '.schema == "heaptap/1" and .kind == "leaks" and .scope == "process"'
	last '.time | test("^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z$")'
	last '.target.pid == $pid and .target.comm == "exact"' --argjson pid "$WL_PID"
	last '.target.exe | endswith("/exact")'
	last '.target.allocators[0] | .name == "glibc" and (.module | test("libc"))
		and (.build_id | test("^[0-9a-f]{40}$"))'
	last '.mode.name == "exact" and .mode.sample_bytes == 1'
	last '.elapsed_s > 0 and .ended == "signal"'
	last '.process.rss_bytes > 0 and .host.mem_total > .host.mem_available'
	last '.totals.peak_live_bytes >= .totals.live_bytes and .health.events > 0'
	last '[.stacks[].live_bytes] | . == (sort | reverse)'
	last '[.stacks[].id] | all(test("^0x[0-9a-f]+$")) and length == (unique | length)'
	last '.stacks[] | select(.frames[0].function == "site_malloc") | .domain == "heap"
		and (.frames[0] | .kind == "native" and (.module | endswith("exact")) and .line > 0)'
	last '[.stacks[] | select(.live_count > 0) | .oldest_s] | all(. >= 0)'
	quit_workload
}

@test "the text report, without colour when not on a terminal" {
	start_workload exact --rounds 50
	start_heaptap leaks -p "$WL_PID" --mode exact --every 1h --top 100 --min-age 0
	wait_armed
	trace_to_the_end
	cat "$HT_OUT"
	grep -qw "$WL_PID" "$HT_OUT"
	grep -qw exact "$HT_OUT"
	grep -q 'nothing lost' "$HT_OUT"
	grep -qE 'site_malloc\+.*exact\.c:[0-9]+' "$HT_OUT"
	refute escape_in "$HT_OUT"
	refute escape_in "$HT_ERR"
	quit_workload
}

@test "the text report names losses" {
	start_workload exact --rounds 100
	start_heaptap leaks -p "$WL_PID" --mode exact --every 1h --max-live 100
	wait_armed
	trace_to_the_end
	cat "$HT_OUT"
	refute grep -q 'nothing lost' "$HT_OUT"
	grep -q -e '--max-live' "$HT_OUT"
	quit_workload
}

@test "colour: always, never, terminal, NO_COLOR" {
	local text=$BATS_TEST_TMPDIR/text command

	start_workload idle
	timeout "$LIMIT" "$HEAPTAP" leaks -p "$WL_PID" --count 1 --every 200ms --color always >"$text"
	escape_in "$text"
	timeout "$LIMIT" "$HEAPTAP" leaks -p "$WL_PID" --count 1 --every 200ms --color never >"$text"
	refute escape_in "$text"
	command -v script >/dev/null || skip "the rest needs script(1) for a terminal"
	command="timeout $LIMIT '$HEAPTAP' leaks -p $WL_PID --count 1 --every 200ms"
	script -qec "$command" /dev/null </dev/null >"$text"
	escape_in "$text"
	NO_COLOR=1 script -qec "$command" /dev/null </dev/null >"$text"
	refute escape_in "$text"
	quit_workload
}

@test "--top" {
	start_workload exact --rounds 50
	attach --top 3
	trace_to_the_end
	last '.stacks | length == 3'
	last '[.stacks[].live_bytes] | . == (sort | reverse) and .[0] > 0'
	quit_workload
}

@test "--min-age leaves out what is younger" {
	start_workload exact --rounds 50
	attach --min-age 1h
	trace_to_the_end
	last '.totals.live_count > 0 and .stacks == []'
	quit_workload
}

@test "--count" {
	start_workload idle
	start_heaptap leaks -p "$WL_PID" --json --every 200ms --count 3
	expect_exit "$HT_PID" 0
	[[ $(wc -l <"$HT_OUT") == 3 ]]
	jq -es '.[0].elapsed_s < .[1].elapsed_s and .[1].elapsed_s < .[2].elapsed_s' "$HT_OUT"
	jq -es '.[0].ended == null and .[1].ended == null' "$HT_OUT"
	quit_workload
}

@test "--for" {
	start_workload idle
	start_heaptap leaks -p "$WL_PID" --json --every 300ms --for 1s
	expect_exit "$HT_PID" 0
	last '.elapsed_s >= 1 and .elapsed_s < 10'
	jq -es 'length >= 3' "$HT_OUT"
	quit_workload
}

@test "SIGTERM ends a run with its last report" {
	start_workload idle
	attach
	kill -TERM "$HT_PID"
	expect_exit "$HT_PID" 0
	last '.ended == "signal"'
	quit_workload
}

@test "SIGUSR1 asks for a report now" {
	start_workload idle
	attach
	kill -USR1 "$HT_PID"
	wait_line "$HT_OUT" '"kind": *"leaks"' "$HT_PID"
	each '.ended == null'
	detach
	[[ $(wc -l <"$HT_OUT") == 2 ]]
	quit_workload
}
