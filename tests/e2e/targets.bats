#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Several processes at once, those that come by fork and exec, and how they are chosen.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers
load targets
load programs

@test "several pids: each is exact, and so are all together" {
	start_group 3 --threads 2 --rounds 100
	trace_processes -p "$(IFS=,; echo "${PIDS[*]}")"
	tell_group go
	wait_group_done
	detach
	for i in 0 1 2; do
		compare_process "${PIDS[i]}" "$TRUTH.$i"
	done
	together '.targets | length == 3'
	adds_up
	together '.totals.peak_live_bytes == null'
	tell_group quit
}

@test "per-process sums equal single attaches" {
	local alone=()

	for i in 0 1 2 3 4 5; do
		start_workload deep --depth 5 --pairs 2000 --size $((16 * (i + 1))) --truth "$TRUTH.$i"
		attach
		trace_to_the_end
		alone+=("$(tail -n 1 "$HT_OUT" | jq -c '.totals | [.alloc_count, .alloc_bytes, .free_count, .live_count]')")
		quit_workload
	done
	# Six: one link for all processes.
	start_deep_group 6
	trace_processes -p "$(IFS=,; echo "${PIDS[*]}")"
	grep -q 'probes reach all processes' "$HT_ERR"
	tell_group go
	wait_group_done
	detach
	for i in 0 1 2 3 4 5; do
		report_of "${PIDS[i]}" >"$BATS_TEST_TMPDIR/of.json"
		[[ $(jq -c '.totals | [.alloc_count, .alloc_bytes, .free_count, .live_count]' "$BATS_TEST_TMPDIR/of.json") == "${alone[i]}" ]]
		jq -e '.mode.reach == "all"' "$BATS_TEST_TMPDIR/of.json"
	done
	adds_up
	tell_group quit
}

@test "forked children are counted from their first allocation, and frees of inherited blocks told apart" {
	start_workload family --children 3 --truth "$TRUTH"
	trace_processes -p "$WL_PID" --reach all
	say go
	wait_line "$WL_OUT" '^done' "$WL_PID"
	wait_children 3
	detach
	compare_process "$WL_PID" "$TRUTH"
	for i in 1 2 3; do
		compare_process "$(child_pid $i)" "$TRUTH.$i"
		report_of "$(child_pid $i)" | jq -e '.totals.untracked_inherited == 10'
	done
	adds_up
	end_family
}

@test "forked children get links of their own while there are few" {
	start_workload family --children 3 --wait 2000 --truth "$TRUTH"
	trace_processes -p "$WL_PID"
	say go
	wait_children 3
	detach
	each '.mode.reach == "targets"'
	compare_process "$WL_PID" "$TRUTH"
	# What a child allocates before the loader has attached to it would not be seen.
	for i in 1 2 3; do
		compare_process "$(child_pid $i)" "$TRUTH.$i"
	done
	end_family
}

@test "links for single processes give way to one for all while events run" {
	start_workload family --children 7 --pause 60 --rounds 3000 --truth "$TRUTH"
	trace_processes -p "$WL_PID"
	say go
	wait_children 7
	detach
	grep -q 'probes reach all processes' "$HT_ERR"
	compare_process "$WL_PID" "$TRUTH"
	# From the change on nothing is missed.
	for i in 6 7; do
		compare_process "$(child_pid $i)" "$TRUTH.$i"
	done
	end_family
}

@test "--no-follow: children count nothing" {
	start_workload family --children 2 --truth "$TRUTH"
	trace_processes -p "$WL_PID" --no-follow
	say go
	wait_children 2
	detach
	compare_process "$WL_PID" "$TRUTH"
	jq -se 'map(.target.pid) | unique | length == 1' "$HT_OUT"
	end_family
}

@test "vfork and CLONE_VM children count as their parent" {
	for via in vfork vm; do
		start_workload family --via $via --children 3 --truth "$TRUTH"
		trace_processes -p "$WL_PID" --reach all
		say go
		wait_line "$WL_OUT" '^done' "$WL_PID"
		detach
		compare_process "$WL_PID" "$TRUTH"
		jq -se 'map(.target.pid) | unique | length == 1' "$HT_OUT"
		end_family
	done
}

@test "posix_spawn: the new program is a target from its first instruction" {
	start_workload family --via spawn --children 2 --truth "$TRUTH"
	trace_processes -p "$WL_PID" --reach all
	say go
	wait_children 2
	detach
	compare_process "$WL_PID" "$TRUTH"
	for i in 1 2; do
		compare_sites "$(child_pid $i)" "$TRUTH.$i"
	done
	end_family
}

@test "exec: the old program's last report, and the new one from its first instruction" {
	start_workload family --via exec --truth "$TRUTH"
	trace_processes -p "$WL_PID"
	say go
	wait_children 1
	detach
	jq -se 'map(select(.ended == "target_exec")) | length == 1 and .[0].totals.alloc_count == 1000' "$HT_OUT"
	compare_sites "$WL_PID" "$TRUTH.1"
	kill -TERM "$WL_PID"
}

@test "-- COMMAND is counted from its first instruction, and its exit code is passed on" {
	start_heaptap leaks --mode exact --json --every 1h -- "$WORKLOADS/family" --child 1 --truth "$TRUTH"
	wait_armed
	wait_line "$HT_OUT" '^child 1 ' "$HT_PID"
	kill -TERM "$(child_pid 1 "$HT_OUT")"
	expect_exit "$HT_PID" $((128 + 15))
	grep '^{' "$HT_OUT" >"$BATS_TEST_TMPDIR/json"
	HT_OUT=$BATS_TEST_TMPDIR/json
	TRUTH=$TRUTH.1
	compare --sites
	last '.ended == "target_exit" and .totals.alloc_count >= 1000'
	# Also without probes in place for long: what a shell runs.
	run -37 "$HEAPTAP" leaks -q --json -- sh -c 'exit 37'
	run -0 "$HEAPTAP" leaks -q --json -- true
}

@test "-- COMMAND that cannot be executed, or has no allocator" {
	run -4 "$HEAPTAP" leaks -- /nonexistent/program
	[[ $output == *"cannot execute '/nonexistent/program'"* ]]
	run -4 "$HEAPTAP" leaks -- no-such-program-anywhere
	echo not a program >"$BATS_TEST_TMPDIR/text"
	run -4 "$HEAPTAP" leaks -- "$BATS_TEST_TMPDIR/text"
	chmod +x "$BATS_TEST_TMPDIR/text"
	run -4 "$HEAPTAP" leaks -- "$BATS_TEST_TMPDIR/text"
	run -4 "$HEAPTAP" leaks -- "$WORKLOADS/exact-stripped"
	run -2 "$HEAPTAP" leaks --
}

@test "--comm: those that are there, and one that comes later" {
	local name=ht$$comm

	cp "$WORKLOADS/exact" "$BATS_TEST_TMPDIR/$name"
	WORKLOADS=$BATS_TEST_TMPDIR start_group_of "$name" 2 --threads 1 --rounds 50
	trace_processes --comm "$name"
	WORKLOADS=$BATS_TEST_TMPDIR start_group_of "$name" 1 --threads 1 --rounds 50
	tell_targets 3
	tell_group go
	wait_group_done
	detach
	for i in 0 1 2; do
		compare_process "${PIDS[i]}" "$TRUTH.$i"
	done
	tell_group quit
	run -4 "$HEAPTAP" leaks --comm no-such-name
}

@test "a process that exits is reported once more" {
	start_group 2 --threads 1 --rounds 50
	trace_processes -p "${PIDS[0]},${PIDS[1]}" --every 100ms
	tell_group go
	wait_group_done
	(echo quit >&"${INS[0]}")
	wait_report '.ended == "target_exit"'
	detach
	jq -se --argjson pid "${PIDS[0]}" 'map(select(.target.pid == $pid and .ended == "target_exit")) | length == 1' "$HT_OUT"
	report_of "${PIDS[0]}" | jq -e '.ended == "target_exit"'
	compare_process "${PIDS[0]}" "$TRUTH.0"
	compare_process "${PIDS[1]}" "$TRUTH.1"
	together '.targets | length == 1'
}

@test "a thousand short children leave nothing behind" {
	start_heaptap leaks --mode exact --json --every 500ms --reach all -- bash -c \
		'for i in {1..1000}; do (:); done; exit 3'
	expect_exit "$HT_PID" 3
	last '.scope == "all" and .health.missed_processes == 0'
	jq -se 'map(select(.scope == "all")) | length > 0' "$HT_OUT"
	# A process is reported once after its end.
	jq -se 'map(select(.ended == "target_exit" and .scope == "process") | .target | [.pid, .start_time])
		| length == (unique | length)' "$HT_OUT"
}

@test "a cgroup: its processes, those below, and one that moves in" {
	local group

	group=$(make_cgroup) || skip "no cgroup can be made here"
	start_group 2 --threads 1 --rounds 50
	echo "${PIDS[0]}" >"$group/cgroup.procs"
	trace_processes --cgroup "$group"
	echo "${PIDS[1]}" >"$group/cgroup.procs"
	tell_targets 2
	tell_group go
	wait_group_done
	detach
	compare_process "${PIDS[0]}" "$TRUTH.0"
	compare_process "${PIDS[1]}" "$TRUTH.1"
	tell_group quit
	remove_cgroup "$group"
	run -4 "$HEAPTAP" leaks --cgroup /no/such/group
	[[ $output == *"no cgroup '/no/such/group'"* ]]
}

@test "one of several that exits before the attach does not stop the others" {
	run -4 "$HEAPTAP" leaks -p "$$,4194303"
	start_workload exact --threads 1 --rounds 50 --truth "$TRUTH"
	start_heaptap leaks --mode exact --json --all --every 1h
	wait_armed_any
	say go
	wait_done
	detach
	compare_process "$WL_PID" "$TRUTH"
	quit_workload
}

# Bytes of the kernel's tables that a process holds.
table_bytes() {
	cat /proc/"$1"/fdinfo/* 2>/dev/null | awk '/^map_type:/{map = 1} /^pos:/{map = 0}
		/^memlock:/ && map {bytes += $2} END {print bytes + 0}'
}

@test "--all with 200 processes: none is missed, and the tables take no more than 150 MiB" {
	local i

	start_group_of deep 200 --depth 3 --pairs 40
	trace_processes --all
	tell_group go
	wait_group_done
	(($(table_bytes "$HT_PID") > 1 << 20))
	(($(table_bytes "$HT_PID") <= 150 << 20))
	detach
	[[ $(jq -s --argjson pids "[$(IFS=,; echo "${PIDS[*]}")]" 'map(select(.scope == "process")
		| select([.target.pid] | inside($pids)) | select(.totals.alloc_count == 40 and .totals.live_count == 0))
		| length' "$HT_OUT") == 200 ]]
	adds_up
	tell_group quit
}

@test "usage: kinds of target do not go together" {
	run -2 "$HEAPTAP" leaks
	run -2 "$HEAPTAP" leaks -p 1 --all
	run -2 "$HEAPTAP" leaks -p 1,
	run -2 "$HEAPTAP" leaks -p 1,x
	run -2 "$HEAPTAP" leaks --comm x -- true
}

@test "nginx: workers that the master forks are targets" {
	need nginx curl
	serve_nginx
	trace_processes -p "$PROGRAM_PID" --every 200ms
	kill -HUP "$PROGRAM_PID"
	wait_report '.scope == "process" and .target.pid != '"$PROGRAM_PID"
	for _ in {1..300}; do
		curl -sf -H 'Accept-Encoding: gzip' "http://127.0.0.1:$PORT/" >/dev/null
	done
	detach
	jq -se --argjson master "$PROGRAM_PID" 'map(select(.scope == "process" and .target.pid != $master
		and .totals.alloc_count > 300)) | length > 0' "$HT_OUT"
	each '.totals.lost_count == 0'
	kill -QUIT "$PROGRAM_PID"
}

@test "redis: the child that BGSAVE forks" {
	need redis-server redis-cli
	serve_redis
	# Its few allocations are the first things that it does.
	trace_processes -p "$PROGRAM_PID" --every 100ms --reach all
	redis debug populate 200000 k 100 >/dev/null
	redis bgsave >/dev/null
	wait_report '.ended == "target_exit" and .scope == "process"'
	detach
	jq -se --argjson redis "$PROGRAM_PID" 'map(select(.ended == "target_exit" and .scope == "process"))
		| length == 1 and .[0].target.pid != $redis and .[0].target.comm == "redis-server"' "$HT_OUT"
	each '.totals.lost_count == 0'
	redis shutdown nosave || true
}

@test "postgres: a backend a connection" {
	start_postgres
	trace_processes -p "$PROGRAM_PID" --every 300ms --reach all
	for _ in 1 2 3 4 5 6 7 8; do
		[[ $(sql -c "select count(*) from (select md5(i::text) from generate_series(1, 20000) i) x") == 20000 ]]
	done
	wait_report '.ended == "target_exit" and .scope == "process" and .totals.alloc_count > 100'
	detach
	each '.totals.lost_count == 0'
	stop_postgres
}
