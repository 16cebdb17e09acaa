#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# heaptap record, mark and report on live processes: what is recorded is what leaks reports, whatever happens to the
# process, the recorder, or the disk.

# Every test is a subshell of its own.
# shellcheck disable=SC2030,SC2031

load helpers

eval "$(declare -f teardown | sed '1s/teardown/end_processes/')"

# What a test that failed has mounted must not stay.
teardown() {
	end_processes
	for mounted in small copy; do
		! mountpoint -q "$BATS_TEST_TMPDIR/$mounted" || umount -l "$BATS_TEST_TMPDIR/$mounted"
	done
}

# record [ARG...]: of the workload, into $RECORDING. The workload's truth compares with what report says.
record() {
	local every=(--every 1h)

	[[ $* != *--every* ]] || every=()
	RECORDING=$BATS_TEST_TMPDIR/recording$((++SERIAL))
	start_heaptap record -p "$WL_PID" -o "$RECORDING" "${every[@]}" "$@"
	wait_armed
}

# A small server that allocates, leaks and frees, without end.
start_server() {
	SERIAL=$((SERIAL + 1))
	"$WORKLOADS/leaky-server" >"$BATS_TEST_TMPDIR/server$SERIAL.out" 2>&1 </dev/null 3>&- &
	WL_PID=$!
	started "$WL_PID"
	wait_line "$BATS_TEST_TMPDIR/server$SERIAL.out" listening "$WL_PID"
}

# report ARG...: one line of JSON a process, as if it were a leak report.
report() {
	"$HEAPTAP" report "$@" --format json | sed 's/"kind":"report"/"kind":"leaks"/' >"$BATS_TEST_TMPDIR/report"
	HT_OUT=$BATS_TEST_TMPDIR/report
}

# recorded EXPRESSION: holds for the rows of this query, one object each.
recorded() {
	sqlite3 -json "$RECORDING" "$1" | jq -e "$2" >/dev/null || {
		echo "does not hold: $2"
		sqlite3 -json "$RECORDING" "$1"
		return 1
	}
}

sound() {
	[[ $(sqlite3 "$RECORDING" 'pragma integrity_check') == ok ]]
}

@test "a recording holds to the byte what happened, in its last snapshot" {
	start_workload exact --truth "$TRUTH"
	record
	trace_to_the_end
	report "$RECORDING"
	compare
	last '.snapshot.kind == "end" and .ended == "signal" and .process.rss_bytes > 0 and .process.pss_bytes != 0
	      and .process.rss_bytes == .process.rss_anon_bytes + .process.rss_file_bytes + .process.rss_shmem_bytes'
	sound
	[[ ! -e $RECORDING-wal && ! -e $RECORDING-shm ]]
	quit_workload
}

@test "a sampled recording says so, and with what errors" {
	start_workload oracle --threads 2 --events 400000 --live 20000 --truth "$TRUTH"
	record --mode sample --sample 4K
	trace_to_the_end
	report "$RECORDING"
	last '.mode.name == "sample" and .mode.sample_bytes == 4096 and .totals.live_bytes_stderr > 0
	      and .totals.failed_count == null and ([.stacks[].live_bytes] | add) == .totals.live_bytes
	      and any(.stacks[]; .live_bytes_stderr > 0)'
	"$HEAPTAP" report "$RECORDING" | grep -q '±'
	quit_workload
}

@test "marks, SIGUSR1 and the interval each take a snapshot" {
	start_server
	record --every 200ms --label "the server"
	run -0 "$HEAPTAP" mark -p "$WL_PID" "by pid"
	[[ $output == 'snapshot '*' is "by pid"' ]]
	run -0 "$HEAPTAP" mark "$RECORDING" 'by "file"'
	kill -USR1 "$HT_PID"
	until recorded 'select kind from snapshot' 'map(.kind) | index("signal") and index("interval")'; do
		sleep 0.1
	done
	detach
	recorded 'select id, kind, label from snapshot order by id' \
		'.[0].kind == "start" and .[-1].kind == "end" and ([.[] | select(.kind == "mark") | .label] == ["by pid", "by \"file\""])'
	report "$RECORDING@by pid"
	last '.snapshot.label == "by pid" and .target.label == "the server"'
	report "$RECORDING@by \"file\""
	marked=$(tail -n 1 "$HT_OUT" | jq .totals.alloc_count)
	report "$RECORDING@first"
	# Hardly anything yet: tracing has just begun.
	last '.snapshot.kind == "start" and .totals.alloc_count < $marked' --argjson marked "$marked"
	run -0 "$HEAPTAP" diff "$RECORDING@first" "$RECORDING@by \"file\"" --format json
	jq -e '.difference.bytes == .new.totals.live_bytes - .old.totals.live_bytes and ([.stacks[].diff_bytes] | add) == .difference.bytes' <<<"$output"
}

@test "two runs of a program compare by stack, wherever it was loaded" {
	for run in 1 2; do
		start_server
		record --for 1s
		expect_exit "$HT_PID" 0
		mv "$RECORDING" "$BATS_TEST_TMPDIR/run$run"
	done
	cd "$BATS_TEST_TMPDIR"
	"$HEAPTAP" diff run1 run2 --format json >diff
	jq -e '.old.target.pid != .new.target.pid and .between_s == null
		and any(.stacks[]; .frames[0].function == "cache_put" and .old_bytes > 0 and .new_bytes > 0)
		and .difference.bytes == .new.totals.live_bytes - .old.totals.live_bytes' diff
}

@test "mark says who is not there, or how many are" {
	start_server
	run -4 "$HEAPTAP" mark -p "$WL_PID" x
	[[ $output == *"nothing records pid $WL_PID"* ]]
	record
	first=$HT_PID file=$RECORDING
	record
	run -2 "$HEAPTAP" mark -p "$WL_PID" x
	[[ $output == *"$file"* && $output == *"$RECORDING"* ]]
	run -0 "$HEAPTAP" mark "$RECORDING" x
	detach
	run -4 "$HEAPTAP" mark "$RECORDING" x
	[[ $output == *'nothing writes to'* ]]
	run -0 "$HEAPTAP" mark -p "$WL_PID" y
	kill -INT "$first"
	expect_exit "$first" 0
	run -2 "$HEAPTAP" mark -p "$WL_PID"
	run -2 "$HEAPTAP" mark
	run -2 "$HEAPTAP" mark -p "$WL_PID" "$(printf 'x%.0s' {1..300})"
}

@test "the control socket answers whatever is said to it" {
	start_server
	record
	python3 - "/run/heaptap/$HT_PID.sock" <<-'END'
		import json, os, socket, stat, struct, sys
		path = sys.argv[1]
		assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
		def ask(raw):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(path)
		    s.settimeout(10)
		    s.sendall(raw)
		    head = s.recv(4, socket.MSG_WAITALL)
		    if not head:
		        return None
		    return json.loads(s.recv(struct.unpack("<I", head)[0], socket.MSG_WAITALL))
		def message(value):
		    text = json.dumps(value).encode() if not isinstance(value, bytes) else value
		    return struct.pack("<I", len(text)) + text
		assert ask(message({"command": "status"}))["ok"]
		assert ask(message({"command": "snapshot"}))["snapshot"] > 1
		assert ask(message({"command": "set", "every": "100ms"}))["ok"]
		assert ask(message({"command": "status"}))["every_s"] == 0.1
		for bad in ({"command": "set", "every": "never"}, {"command": "mark"}, {"command": "x"}, {}, [], 1, None, "x",
		            {"command": "mark", "label": "x" * 300}, b"\xff\xfe", b"", b"{"):
		    answer = ask(message(bad))
		    assert answer["ok"] is False and answer["error"], (bad, answer)
		assert ask(struct.pack("<I", 1 << 30)) is None
		half = socket.socket(socket.AF_UNIX)
		half.connect(path)
		half.sendall(b"\x10\x00\x00\x00{")
		# More at once than are served: none of them hangs the recorder.
		crowd = [socket.socket(socket.AF_UNIX) for _ in range(30)]
		for s in crowd:
		    s.connect(path)
		for s in crowd:
		    s.close()
		half.close()
		assert ask(message({"command": "status"}))["ok"], "after the crowd"
	END
	detach
	[[ ! -e /run/heaptap/$HT_PID.sock ]]
}

@test "a peak that is held is kept; a shorter one is told" {
	for spike in '' --spike; do
		start_workload peaks $spike
		record
		say go
		wait_done
		detach
		most=$(sed -n 's/^done //p' "$WL_OUT")
		report "$RECORDING@peak"
		last '.totals.peak_live_bytes <= $most' --argjson most "$most"
		report "$RECORDING"
		last '.totals.peak_live_bytes == $most' --argjson most "$most"
		if [[ $spike ]]; then
			"$HEAPTAP" report "$RECORDING" | grep -q 'the peak itself was too short'
		else
			last '.peak.kept_live_bytes >= 0.98 * $most' --argjson most "$most"
			run -0 "$HEAPTAP" report "$RECORDING" --view peak --format json
			jq -e '.snapshot.kind == "peak" and (.stacks[0].frames[0].function == "site_peak")' <<<"$output"
		fi
	done
}

@test "a process that exits ends its recording, with its names" {
	start_workload exiting --ms 300
	record --every 50ms
	say go
	expect_exit "$HT_PID" 0
	report "$RECORDING"
	last '.ended == "target_exit" and any(.stacks[].frames[]; .function == "site_malloc" and .file != null)'
}

@test "exec begins another target in the same recording" {
	start_workload exiting --ms 5000 --again 1
	record --every 100ms
	say go
	expect_exit "$HT_PID" 0
	recorded 'select id, ended from target' '[.[].ended] == ["target_exec", "target_exit"]'
	report "$RECORDING"
	jq -se 'length == 1' "$HT_OUT"
	sound
}

@test "kill -9 of the recorder loses the snapshot in progress and no other" {
	start_server
	record --every 20ms
	until (($(sqlite3 "$RECORDING" 'select count(*) from snapshot' 2>/dev/null) > 30)); do
		sleep 0.1
	done
	"$HEAPTAP" mark "$RECORDING" "before the end"
	kill -KILL "$HT_PID"
	wait_exit "$HT_PID"
	report "$RECORDING@before the end"
	last '.ended == null and ([.stacks[].live_bytes] | add) == .totals.live_bytes and .totals.live_bytes > 0'
	sound
	# Nor is it in the way of the next recorder, which clears up.
	run -4 "$HEAPTAP" mark "$RECORDING" x
	killed=$HT_PID
	[[ -e /run/heaptap/$killed.sock ]]
	record --for 200ms
	expect_exit "$HT_PID" 0
	[[ ! -e /run/heaptap/$killed.sock ]]
}

@test "a copy without the log, where nothing can be written, is read as far as it goes" {
	start_server
	record --every 20ms
	until (($(sqlite3 "$RECORDING" 'select count(*) from snapshot' 2>/dev/null) > 5)); do
		sleep 0.1
	done
	kill -KILL "$HT_PID"
	wait_exit "$HT_PID"
	sqlite3 "$RECORDING" 'pragma wal_checkpoint(truncate)' >/dev/null
	mkdir "$BATS_TEST_TMPDIR/copy"
	cp "$RECORDING" "$BATS_TEST_TMPDIR/copy/recording"
	# As the file came from a recorder that was killed, and on a medium that is read-only.
	printf '\002\002' | dd of="$BATS_TEST_TMPDIR/copy/recording" bs=1 seek=18 conv=notrunc status=none
	mount --bind "$BATS_TEST_TMPDIR/copy" "$BATS_TEST_TMPDIR/copy"
	mount -o remount,bind,ro "$BATS_TEST_TMPDIR/copy"
	run "$HEAPTAP" report "$BATS_TEST_TMPDIR/copy/recording"
	umount "$BATS_TEST_TMPDIR/copy"
	echo "$output"
	((status == 0))
	[[ $output == *'live blocks by stack'* ]]
}

@test "a full disk costs snapshots until there is room again" {
	mkdir "$BATS_TEST_TMPDIR/small"
	mount -t tmpfs -o size=512k tmpfs "$BATS_TEST_TMPDIR/small"
	start_server
	RECORDING=$BATS_TEST_TMPDIR/small/recording
	start_heaptap record -p "$WL_PID" -o "$RECORDING" --every 30ms
	wait_armed
	dd if=/dev/zero of="$BATS_TEST_TMPDIR/small/other" bs=1k 2>/dev/null || true
	wait_line "$HT_ERR" 'no space left on its file system' "$HT_PID"
	kept=$(sqlite3 "$RECORDING" 'select max(id) from snapshot' 2>/dev/null || echo 1)
	rm "$BATS_TEST_TMPDIR/small/other"
	"$HEAPTAP" mark "$RECORDING" "room again" || "$HEAPTAP" mark "$RECORDING" "room again"
	kill -INT "$HT_PID"
	expect_exit "$HT_PID" 1
	report "$RECORDING@room again"
	last '([.stacks[].live_bytes] | add) == .totals.live_bytes and .snapshot.id > $kept' --argjson kept "$kept"
	sound
	umount "$BATS_TEST_TMPDIR/small"
}

@test "a disk that stays full leaves what there was, and exit code 1" {
	mkdir "$BATS_TEST_TMPDIR/small"
	mount -t tmpfs -o size=400k tmpfs "$BATS_TEST_TMPDIR/small"
	start_server
	RECORDING=$BATS_TEST_TMPDIR/small/recording
	start_heaptap record -p "$WL_PID" -o "$RECORDING" --every 20ms
	wait_armed
	wait_line "$HT_ERR" 'no space left on its file system' "$HT_PID"
	kill -INT "$HT_PID"
	expect_exit "$HT_PID" 1
	grep -q 'snapshots could not be written' "$HT_ERR"
	cp "$RECORDING"* "$BATS_TEST_TMPDIR/"
	umount "$BATS_TEST_TMPDIR/small"
	RECORDING=$BATS_TEST_TMPDIR/recording
	report "$RECORDING"
	last '([.stacks[].live_bytes] | add) == .totals.live_bytes and .totals.live_bytes > 0'
	sound
	nothing_left
}

@test "report -f follows a recording to its end" {
	start_server
	record --every 200ms
	"$HEAPTAP" report "$RECORDING" -f --format jsonl >"$BATS_TEST_TMPDIR/followed" 2>"$BATS_TEST_TMPDIR/follow.err" 3>&- &
	follower=$!
	started "$follower"
	wait_line "$BATS_TEST_TMPDIR/followed" '"kind":"report".*"kind":"interval"' "$follower"
	detach
	expect_exit "$follower" 0
	tail -n +1 "$BATS_TEST_TMPDIR/followed" | jq -se 'map(select(.kind == "report")) | .[-1].snapshot.kind == "end" and length > 1'
}

@test "what cannot be recorded is said before anything is traced" {
	start_server
	run -2 "$HEAPTAP" record -p "$WL_PID"
	[[ $output == *'-o FILE'* ]]
	run -2 "$HEAPTAP" record -o "$BATS_TEST_TMPDIR/x"
	[[ $output == *'-p PID'* ]]
	echo mine >"$BATS_TEST_TMPDIR/mine"
	run -1 "$HEAPTAP" record -p "$WL_PID" -o "$BATS_TEST_TMPDIR/mine"
	[[ $output == *'is there already'* && $(<"$BATS_TEST_TMPDIR/mine") == mine ]]
	run -1 "$HEAPTAP" record -p "$WL_PID" -o "$BATS_TEST_TMPDIR/no/where"
	[[ $output == *'cannot create'*'No such file'* ]]
	run -4 "$HEAPTAP" record -p 4194304 -o "$BATS_TEST_TMPDIR/none"
	[[ ! -e $BATS_TEST_TMPDIR/none ]]
	nothing_left
}
