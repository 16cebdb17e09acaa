#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Growth mode: start + sum = RssAnon as the kernel tells it, whatever makes it grow and shrink, and
# the stacks that did it.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers

CGROUP=
ZRAM=
KNOBS=()

# What a test has changed of the host is as before, also when it fails.
eval "end_processes() $(declare -f teardown | tail -n +2)"
teardown() {
	local i

	end_processes
	for ((i = ${#KNOBS[@]} - 2; i >= 0; i -= 2)); do
		echo "${KNOBS[i + 1]}" >"${KNOBS[i]}"
	done
	if [[ $ZRAM ]]; then
		swapoff "/dev/zram$ZRAM" || true
		echo "$ZRAM" >/sys/class/zram-control/hot_remove
	fi
	[[ -z $CGROUP ]] || rmdir "$CGROUP"
}

# grow WAY [MIB] [ARG...]: traces a workload from "go" to "done"; RSS_ANON is what the kernel says then.
grow() {
	local way=$1 mib=${2:-32}

	start_workload "${NAME:-growth}" --way "$way" --mib "$mib"
	attach_growth "${@:3}"
	say go
	wait_done
	finish
}

attach_growth() {
	start_heaptap leaks -p "$WL_PID" --mode growth --json --every 1h "$@"
	wait_line "$HT_ERR" '^heaptap: armed pid=[0-9]+ probes=0 mode=growth$' "$HT_PID"
}

finish() {
	RSS_ANON=$(($(sed -n 's/^RssAnon:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$WL_PID/status") * 1024))
	detach
}

# The report adds up, to what the report and to what the test has read, within 1 %.
adds_up() {
	last '.growth | .end_bytes == .start_bytes + .sum_bytes + .residual_bytes'
	last '.growth | (.residual_bytes | fabs) <= .end_bytes / 100'
	last '.growth | (.start_bytes + .sum_bytes - $rss | fabs) <= $rss / 100' --argjson rss "$RSS_ANON"
	last '.growth.sum_bytes == ([.growth.causes[] | .grown_bytes - .shrunk_bytes] | add)'
	# All that threads of the process did is under some stack.
	last '[.stacks[] | select(.domain == "rss") | .growth_bytes] | add // 0 | . == $sum' \
		--argjson sum "$(tail -n 1 "$HT_OUT" | jq '[.growth.causes | to_entries[]
			| select(.key | IN("reclaim", "khugepaged", "ksm", "other_process",
				"kernel_worker", "exec", "exit") | not)
			| .value.grown_bytes - .value.shrunk_bytes] | add')"
}

# through FUNCTION CAUSE BYTES: at least so much came below the function, by whole stacks, and by the cause.
through() {
	last '[.stacks[] | select(.domain == "rss" and (.truncated | not)
		and any(.frames[]; .function == $f) and any(.frames[]; .function == "main"))
		| .grown_bytes] | add >= $bytes' --arg f "$1" --argjson bytes "$3"
	last '.growth.causes[$cause].grown_bytes >= $bytes' --arg cause "$2" --argjson bytes "$3"
}

@test "malloc, written" {
	grow malloc
	adds_up
	through way_malloc fault $((32 << 20))
	quit_workload
}

@test "calloc, of which every second page is written" {
	grow calloc
	adds_up
	through way_calloc fault $((16 << 20))
	last '.growth.sum_bytes < 17 * 1048576'
	quit_workload
}

@test "a mapping, touched" {
	grow mmap
	adds_up
	through way_mmap fault $((32 << 20))
	quit_workload
}

@test "a mapping that read fills: the kernel touches it" {
	grow fill
	adds_up
	through way_fill syscall $((32 << 20))
	quit_workload
}

@test "memory that is given back" {
	grow shrink
	adds_up
	through way_shrink fault $((64 << 20))
	last '.growth.causes.madvise.shrunk_bytes == 16 * 1048576'
	last '.growth.causes.munmap.shrunk_bytes >= 40 * 1048576'
	last '[.stacks[] | select(.growth_bytes < 0 and any(.frames[]; .function == "way_shrink"))] | length >= 2'
	quit_workload
}

@test "a child has a copy, and the parent writes again" {
	grow child
	adds_up
	through way_child fault $((32 << 20))
	last '.growth.fork_copied_bytes >= 32 * 1048576'
	last '.growth.sum_bytes < 34 * 1048576'
	quit_workload
}

@test "huge pages" {
	grep -q '\[never\]' /sys/kernel/mm/transparent_hugepage/enabled && skip "there are no huge pages"
	grow huge
	adds_up
	last '.growth.anon_huge_bytes > 0' || skip "the kernel found no huge page"
	last '.growth.causes.huge.grown_bytes == .growth.anon_huge_bytes'
	quit_workload
}

# A program with the protocol of a workload.
start_script() {
	WORKLOADS=$BATS_TEST_TMPDIR
	cat >"$WORKLOADS/script"
	chmod 755 "$WORKLOADS/script"
	start_workload script
}

@test "python" {
	start_script <<-EOF
		#!$(python3 -c 'import sys; print(sys.executable)')
		import json, os, sys
		print("ready", os.getpid(), flush=True)
		sys.stdin.readline()
		kept = [json.loads(json.dumps({"k%d" % j: [i, j, "x" * 50] for j in range(200)})) for i in range(600)]
		print("done", flush=True)
		sys.stdin.readline()
	EOF
	attach_growth
	say go
	wait_done
	finish
	adds_up
	last '.growth.sum_bytes > 10 * 1048576 and .health.truncated_share < 0.05'
	quit_workload
}

@test "a static stripped program: whole stacks without a symbol" {
	[[ -x $WORKLOADS/growth-stripped ]] || skip "growth-stripped is not built"
	NAME=growth-stripped grow malloc
	adds_up
	last '.health.truncated_share == 0'
	last '[.stacks[] | select(.domain == "rss" and .growth_bytes > 0) | .frames | length] | max >= 5'
	quit_workload
}

@test "a JIT" {
	[[ -x $(command -v node) ]] || skip "node is not there"
	start_script <<-EOF
		#!$(command -v node)
		console.log("ready " + process.pid);
		process.stdin.on("data", d => {
			if (String(d) == "quit\n") process.exit(0);
			globalThis.kept = [];
			for (let i = 0; i < 200000; i++) globalThis.kept.push({a: i, b: "x".repeat(i % 50), c: [i]});
			console.log("done");
		});
	EOF
	attach_growth
	say go
	wait_done
	finish
	adds_up
	last '.growth.sum_bytes > 10 * 1048576 and .health.truncated_share < 0.05'
	last '[.stacks[] | select((.truncated | not) and any(.frames[]; .module == null))] | length > 0'
	quit_workload
}

@test "Go" {
	[[ -x $(command -v go) ]] || skip "go is not there"
	cat >"$BATS_TEST_TMPDIR/grow.go" <<-'EOF'
		package main

		import ("bufio"; "fmt"; "os")

		var kept [][]byte

		//go:noinline
		func wayGo() { for i := 0; i < 8000; i++ { b := make([]byte, 4000); b[0] = 1; kept = append(kept, b) } }

		func main() {
			in := bufio.NewReader(os.Stdin)
			fmt.Println("ready", os.Getpid())
			in.ReadString('\n')
			wayGo()
			fmt.Println("done")
			in.ReadString('\n')
		}
	EOF
	GOCACHE=$BATS_TEST_TMPDIR/cache go build -o "$BATS_TEST_TMPDIR/grow" "$BATS_TEST_TMPDIR/grow.go"
	WORKLOADS=$BATS_TEST_TMPDIR
	start_workload grow
	attach_growth
	say go
	wait_done
	finish
	adds_up
	last '[.stacks[] | select(any(.frames[]; .function == "main.wayGo")) | .growth_bytes] | add > 16 * 1048576'
	quit_workload
}

# limit MIB: WL_PREFIX starts the workload in a memory cgroup with that limit.
limit() {
	local v1=/sys/fs/cgroup/memory v2=/sys/fs/cgroup root file

	if [[ -f $v1/memory.limit_in_bytes ]]; then
		root=$v1 file=memory.limit_in_bytes
	elif grep -qw memory $v2/cgroup.subtree_control 2>/dev/null; then
		root=$v2 file=memory.max
	else
		skip "no memory cgroup can be made"
	fi
	mkdir "$root/heaptap-growth-$$" || skip "no memory cgroup can be made"
	CGROUP=$root/heaptap-growth-$$
	echo $(($1 << 20)) >"$CGROUP/$file"
	WL_PREFIX=(bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$CGROUP")
}

some_swap() {
	[[ $(wc -l </proc/swaps) -gt 1 ]] && return
	[[ -r /sys/class/zram-control/hot_add ]] || skip "there is no swap, and no zram to make one of"
	ZRAM=$(cat /sys/class/zram-control/hot_add)
	echo 512M >"/sys/block/zram$ZRAM/disksize"
	mkswap "/dev/zram$ZRAM" >/dev/null && swapon "/dev/zram$ZRAM"
}

@test "reclaim and swap have lines of their own" {
	limit 48
	some_swap
	start_workload growth --way squeeze --mib 96
	attach_growth
	say go
	wait_line "$WL_OUT" '^touched' "$WL_PID"
	say again
	wait_done
	finish
	adds_up
	last '.growth.causes.reclaim.shrunk_bytes > 40 * 1048576'
	last '.growth.causes.swap_in.grown_bytes > 40 * 1048576'
	last '.growth.swap | .start_bytes + .out_bytes - .in_bytes - .dropped_bytes - .end_bytes | fabs < 1048576'
	quit_workload
}

@test "mappings: what is mapped, moved, cut and dropped" {
	grow address 1 --domain mmap
	adds_up
	# 64 MiB mapped, 16 cut out of them, another 16 of 32 moved to 32; a heap of 4.
	last '[.stacks[] | select(.domain == "mmap" and any(.frames[]; .function == "way_address"))
		| .mapped_bytes] | add == (64 - 16 + 16 + 4) * 1048576'
	last '[.stacks[] | select(.domain == "mmap" and any(.frames[]; .function == "way_address"))
		| .unmapped_bytes] | add == (16 + 4) * 1048576'
	last '.growth.mappings | .discarded_bytes == 1048576 and .dropped_events == 0'
	quit_workload
}

@test "mappings are not followed unless asked for" {
	grow address 1
	last '.growth.mappings == null and ([.stacks[] | select(.domain == "mmap")] == [])'
	quit_workload
}

@test "what the mode does not know is null" {
	grow malloc 4
	last '.mode.name == "growth" and (.mode.null_because | length > 0) and .mode.sample_bytes == null'
	last 'all(.totals[]; . == null)'
	last 'all(.stacks[]; .live_bytes == null and .alloc_bytes == null and .verdict == null)'
	quit_workload
}

@test "the end of the process is in the balance" {
	start_workload growth --way mmap --mib 16
	attach_growth
	say go
	wait_done
	say quit
	expect_exit "$HT_PID" 0
	last '.ended == "target_exit" and .growth.end_bytes == null and .growth.residual_bytes == null'
	last '.growth | .start_bytes + .sum_bytes == 0 and .causes.exit.shrunk_bytes >= 16 * 1048576'
	expect_exit "$WL_PID" 0
}

# report_until EXPRESSION: until it holds for the newest report.
report_until() {
	local deadline=$((SECONDS + 20))

	until tail -n 1 "$HT_OUT" | jq -e "$1" >/dev/null 2>&1; do
		((SECONDS < deadline)) || return 1
		sleep 0.1
	done
}

# knobs DIR NAME=VALUE...: sets files of the kernel's, and has them set back at the end of the test.
knobs() {
	local dir=$1 pair

	for pair in "${@:2}"; do
		[[ -w $dir/${pair%%=*} ]] || skip "the kernel has no ${dir##*/}/${pair%%=*}"
		KNOBS+=("$dir/${pair%%=*}" "$(cat "$dir/${pair%%=*}")")
		echo "${pair#*=}" >"$dir/${pair%%=*}"
	done
}

# What the kernel does between the last report and the test's own reading would be in one of them only.
wait_settled() {
	local before now=none same=0

	for _ in $(seq 100); do
		before=$now
		now=$(grep RssAnon "/proc/$WL_PID/status")
		if [ "$now" = "$before" ]; then ((++same)); else same=0; fi
		((same < 5)) || return 0
		sleep 0.2
	done
	return 1
}

# Kernel threads work when they please: a report has them in the end, or there is nothing to test.
kernel_thread() {
	local way=$1 cause=$2 direction=$3

	start_workload growth --way "$way" --mib 16
	start_heaptap leaks -p "$WL_PID" --mode growth --json --every 200ms --for 60s
	wait_line "$HT_ERR" 'mode=growth$' "$HT_PID"
	say go
	wait_done
	report_until ".growth.causes.$cause.${direction}_bytes >= 4 * 1048576" ||
		skip "$cause did nothing in 20 s"
	wait_settled
	finish
	adds_up
	quit_workload
}

@test "khugepaged has a line of its own" {
	knobs /sys/kernel/mm/transparent_hugepage/khugepaged scan_sleep_millisecs=10 alloc_sleep_millisecs=10
	kernel_thread holes khugepaged grown
}

@test "same-page merging has a line of its own" {
	knobs /sys/kernel/mm/ksm use_zero_pages=1 pages_to_scan=10000 sleep_millisecs=5 run=1
	kernel_thread merge ksm shrunk
}

@test "exec ends one balance and begins another" {
	start_script <<-EOF
		#!$(python3 -c 'import sys; print(sys.executable)')
		import os, sys
		print("ready", os.getpid(), flush=True)
		while os.read(0, 1) != b"\n": pass
		os.execv("$WORKLOADS/growth", ["growth", "--way", "mmap", "--mib", "16"])
	EOF
	attach_growth
	say go
	wait_line "$HT_OUT" '"ended":"target_exec"' "$HT_PID"
	say go
	wait_done
	finish
	adds_up
	# But for what a CPU had not told of its part when the old memory went.
	head -n 1 "$HT_OUT" | jq -e '.growth | .end_bytes == null and
		(.start_bytes + .sum_bytes | fabs) <= 262144 and .causes.exec.shrunk_bytes > 0'
	last '.growth.sum_bytes >= 16 * 1048576'
	quit_workload
}

@test "another process that writes into this one has a line of its own" {
	start_workload growth --way address
	say go
	wait_done
	attach_growth
	python3 - "$WL_PID" <<-'EOF'
		import sys
		for line in open(f"/proc/{sys.argv[1]}/maps"):
		    start, end = (int(x, 16) for x in line.split()[0].split("-"))
		    if "rw-p" in line and end - start >= 16 << 20:
		        with open(f"/proc/{sys.argv[1]}/mem", "r+b", 0) as memory:
		            memory.seek(start + (2 << 20))
		            memory.write(b"x" * (4 << 20))
		        break
	EOF
	finish
	adds_up
	last '.growth.causes.other_process.grown_bytes == 4 * 1048576 and .growth.sum_bytes == 4 * 1048576'
	quit_workload
}

@test "five capabilities are enough" {
	local shared capabilities=+bpf,+perfmon,+sys_ptrace,+dac_read_search,+checkpoint_restore

	# The build directory may be closed to others.
	shared=$(mktemp -d)
	chmod 755 "$shared"
	cp "$HEAPTAP" "$shared/heaptap"
	start_workload growth --way mmap --mib 8
	run --separate-stderr timeout "$LIMIT" setpriv --reuid 65534 --regid 65534 --clear-groups \
		--inh-caps=-all,$capabilities --ambient-caps=$capabilities \
		--bounding-set=-all,$capabilities \
		"$shared/heaptap" leaks -p "$WL_PID" --mode growth --for 100ms
	rm -r "$shared"
	((status == 0))
	[[ $output == *RssAnon* ]]
	quit_workload
}

@test "several reports, text and JSON" {
	start_workload growth --way mmap --mib 16
	start_heaptap leaks -p "$WL_PID" --mode growth --every 200ms --count 5
	wait_line "$HT_ERR" 'mode=growth$' "$HT_PID"
	say go
	expect_exit "$HT_PID" 0
	grep -q 'now (RssAnon)' "$HT_OUT"
	grep -q 'way_mmap' "$HT_OUT"
	quit_workload
}

@test "exact mode names growth mode where there is no allocator" {
	[[ -x $WORKLOADS/growth-stripped ]] || skip "growth-stripped is not built"
	start_workload growth-stripped --way malloc
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" leaks -p "$WL_PID" --mode exact
	((status == 4))
	[[ $stderr == *"--mode growth"* ]]
	quit_workload
}
