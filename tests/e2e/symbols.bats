#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Names of live processes: functions that were inlined, programs whose debug information is
# elsewhere or whose files are gone, code that was made at run time.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers

# The line of the source that a comment marks.
line_of() {
	grep -n "/\* the call in $1 \*/" "$ROOT/tests/workloads/inlines.cc" | cut -d : -f 1
}

# The chain of each site, leaf first, "function:line:inlined", of stacks that hold a function.
chain() {
	tail -n 1 "$HT_OUT" | jq -r --arg name "$1" \
		'.stacks[] | select(any(.frames[]; .function == $name)) | .frames[] |
		 "\(.function):\(.line):\(.inlined)"'
}

expect_inlines() {
	local c cxx file

	c=$(chain 'site_c()' | head -n 3)
	[[ $c == "add_entry:$(line_of add_entry):true
fill_table:$(line_of fill_table):true
site_c():$(line_of site_c):false" ]]
	cxx=$(chain 'shop::checkout()' | head -n 3)
	[[ $cxx == "shop::cart<shop::item>::grow(int):$(line_of grow):true
shop::cart<shop::item>::add(int):$(line_of add):true
shop::checkout():$(line_of checkout):false" ]]
	file=$(tail -n 1 "$HT_OUT" | jq -r '[.stacks[].frames[] | select(.function == "fill_table")][0].file')
	[[ $file == "$ROOT/tests/workloads/inlines.cc" ]]
}

# A copy of the workload in a directory of its own, without debug information, and that beside it.
strip_workload() {
	command -v objcopy >/dev/null || skip "no objcopy"
	APP=$BATS_TEST_TMPDIR/app
	mkdir -p "$APP"
	objcopy --only-keep-debug "$WORKLOADS/inlines" "$APP/inlines.debug"
	objcopy --strip-all "$@" "$WORKLOADS/inlines" "$APP/inlines"
	WORKLOADS=$APP
}

trace_inlines() {
	attach
	trace_to_the_end
	quit_workload
}

@test "inlined functions are frames of their own, leaf first" {
	start_workload inlines
	trace_inlines
	expect_inlines
}

@test "inlined functions in the text report" {
	start_workload inlines
	start_heaptap leaks -p "$WL_PID" --mode exact --every 1h --min-age 0s --top 0
	wait_armed
	trace_to_the_end
	quit_workload
	grep -qE "^ +add_entry \(inlined\) inlines.cc:$(line_of add_entry) \(inlines\)$" "$HT_OUT"
	grep -qE "^ +fill_table \(inlined\) inlines.cc:$(line_of fill_table) \(inlines\)$" "$HT_OUT"
	grep -qE "^ +site_c\(\)\+0x[0-9a-f]+ inlines.cc:$(line_of site_c) \(inlines\)$" "$HT_OUT"
}

@test "a stripped program without its debug file has no names, and no wrong ones" {
	strip_workload
	start_workload inlines
	trace_inlines
	last '[.stacks[].frames[] | select(.module | endswith("/inlines")) | .function, .file] | all(. == null)'
}

@test "a stripped program with a debug link" {
	strip_workload
	objcopy --add-gnu-debuglink="$APP/inlines.debug" "$APP/inlines"
	start_workload inlines
	trace_inlines
	expect_inlines
}

@test "a debug link to a file of another build is refused" {
	strip_workload
	objcopy --add-gnu-debuglink="$APP/inlines.debug" "$APP/inlines"
	objcopy --only-keep-debug "$WORKLOADS/inlines" "$APP/inlines.debug"
	start_workload inlines
	trace_inlines
	last '[.stacks[].frames[] | select(.module | endswith("/inlines")) | .function] | all(. == null)'
}

@test "a program that was deleted, with its debug file left" {
	strip_workload
	objcopy --add-gnu-debuglink="$APP/inlines.debug" "$APP/inlines"
	start_workload inlines
	rm "$APP/inlines"
	trace_inlines
	expect_inlines
	last '[.stacks[].frames[].module] | index($path)' --arg path "$APP/inlines"
}

@test "a program that was replaced by another" {
	command -v objcopy >/dev/null || skip "no objcopy"
	mkdir "$BATS_TEST_TMPDIR/app"
	cp "$WORKLOADS/inlines" "$BATS_TEST_TMPDIR/app/inlines"
	WORKLOADS_WERE=$WORKLOADS
	WORKLOADS=$BATS_TEST_TMPDIR/app
	start_workload inlines
	cp "$WORKLOADS_WERE/idle" "$WORKLOADS/new"
	mv "$WORKLOADS/new" "$WORKLOADS/inlines"
	trace_inlines
	expect_inlines
}

# A server of the debug files in a directory; returns when it has the one that is asked for.
start_debuginfod() {
	local id deadline=$((SECONDS + LIMIT)) port

	command -v debuginfod >/dev/null || skip "no debuginfod"
	id=$(readelf -n "$APP/inlines.debug" 2>/dev/null | sed -n 's/.*Build ID: //p')
	[[ $id ]]
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	env -u DEBUGINFOD_URLS debuginfod -F "$1" -p "$port" -d :memory: \
		>"$BATS_TEST_TMPDIR/debuginfod.err" 2>&1 3>&- &
	DEBUGINFOD_PID=$!
	started $DEBUGINFOD_PID
	export DEBUGINFOD_URLS=http://127.0.0.1:$port
	export DEBUGINFOD_CACHE_PATH=$BATS_TEST_TMPDIR/cache
	until python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1])' \
		"$DEBUGINFOD_URLS/buildid/$id/debuginfo" 2>/dev/null; do
		kill -0 $DEBUGINFOD_PID
		((SECONDS < deadline))
		sleep 0.2
	done
}

@test "debuginfod: the debug file comes from a server" {
	strip_workload
	mkdir "$BATS_TEST_TMPDIR/served"
	mv "$APP/inlines.debug" "$BATS_TEST_TMPDIR/served/"
	ln -s "$BATS_TEST_TMPDIR/served/inlines.debug" "$APP/inlines.debug"
	start_debuginfod "$BATS_TEST_TMPDIR/served"
	start_workload inlines
	trace_inlines
	expect_inlines
	# no word of it on stderr
	run -1 grep -v '^heaptap: armed ' "$HT_ERR"
}

@test "debuginfod: without DEBUGINFOD_URLS none is asked" {
	strip_workload
	mkdir "$BATS_TEST_TMPDIR/served"
	mv "$APP/inlines.debug" "$BATS_TEST_TMPDIR/served/"
	ln -s "$BATS_TEST_TMPDIR/served/inlines.debug" "$APP/inlines.debug"
	start_debuginfod "$BATS_TEST_TMPDIR/served"
	unset DEBUGINFOD_URLS
	start_workload inlines
	trace_inlines
	last '[.stacks[].frames[] | select(.module | endswith("/inlines")) | .function] | all(. == null)'
}

@test "debuginfod: a server that is not there costs the names, and says so at most once" {
	strip_workload
	export DEBUGINFOD_URLS="http://127.0.0.1:1 http://127.0.0.1:2" DEBUGINFOD_CACHE_PATH=$BATS_TEST_TMPDIR/cache
	start_workload inlines
	trace_inlines
	last '.totals.alloc_count == 200 and .totals.lost_count == 0'
	(($(grep -c DEBUGINFOD_URLS "$HT_ERR") <= 1))
}

@test "debuginfod: a server that does not answer does not keep heaptap from ending" {
	local port

	strip_workload
	python3 -c 'import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print(s.getsockname()[1], flush=True)
time.sleep(1000)' >"$BATS_TEST_TMPDIR/port" 3>&- &
	started $!
	wait_line "$BATS_TEST_TMPDIR/port" '^[0-9]+$' $!
	port=$(<"$BATS_TEST_TMPDIR/port")
	export DEBUGINFOD_URLS=http://127.0.0.1:$port DEBUGINFOD_CACHE_PATH=$BATS_TEST_TMPDIR/cache
	start_workload inlines
	attach
	trace_to_the_end
	last '.totals.alloc_count == 200 and .totals.lost_count == 0'
	quit_workload
}

@test "JIT: names of the map for perf, also those that come later" {
	start_workload jit
	attach
	say go
	wait_done
	say again
	wait_line "$WL_OUT" '^done again' "$WL_PID"
	detach
	last '[.stacks[] | select(.alloc_bytes == 20000)][0].frames[0] |
		.function == "jit_first /app/a.js:1" and .kind == "jit" and .module == null'
	last '[.stacks[] | select(.alloc_bytes == 30000)][0].frames[0] |
		.function == "jit_second /app/a.js:9" and .kind == "jit"'
	last '[.stacks[].frames[] | select(.kind == "jit")] | all(.inlined == false and .file == null)'
	quit_workload
}

@test "JIT: a map that belongs to someone else is not believed" {
	start_workload jit
	chown 12345 "/tmp/perf-$WL_PID.map"
	attach
	trace_to_the_end
	last '[.stacks[].frames[] | select(.kind == "jit")] == []'
	quit_workload
}

@test "JIT: functions of Node.js with --perf-basic-prof" {
	command -v node >/dev/null || skip "no node"
	cat >"$BATS_TEST_TMPDIR/app.js" <<-'END'
		'use strict';
		const kept = [];
		function allocateBuffers(n) {
			for (let i = 0; i < n; i++)
				kept[i % 100] = Buffer.allocUnsafeSlow(20000 + i % 7);
		}
		let rounds = 0;
		console.log('ready ' + process.pid);
		setInterval(() => { allocateBuffers(200); if (++rounds === 30) console.log('warm'); }, 5);
	END
	(cd "$BATS_TEST_TMPDIR" && exec node --perf-basic-prof app.js) \
		>"$BATS_TEST_TMPDIR/node.out" 2>"$BATS_TEST_TMPDIR/node.err" 3>&- &
	WL_PID=$!
	started $WL_PID
	wait_line "$BATS_TEST_TMPDIR/node.out" '^warm' $WL_PID
	attach --for 2s
	expect_exit "$HT_PID" 0
	last '[.stacks[].frames[] | select(.kind == "jit") | .function | select(test("allocateBuffers"))] | length > 0'
	rm -f "/tmp/perf-$WL_PID.map"
}
