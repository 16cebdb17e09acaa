#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Reports are made beside the tracing: however long names take, counting, new libraries and signals do
# not wait for them.

# Every test is a subshell of its own.
# shellcheck disable=SC2030,SC2031

load helpers

# A debuginfod server that takes every question and never answers.
silent_server() {
	cat >"$BATS_TEST_TMPDIR/server.py" <<-'END'
		import socket
		server = socket.create_server(("127.0.0.1", 0))
		print("port", server.getsockname()[1], flush=True)
		asked = []
		while True:
		    asked.append(server.accept()[0])
		    print("asked", flush=True)
	END
	python3 "$BATS_TEST_TMPDIR/server.py" >"$BATS_TEST_TMPDIR/server.out" 3>&- &
	SERVER=$!
	started "$SERVER"
	wait_line "$BATS_TEST_TMPDIR/server.out" '^port ' "$SERVER"
	DEBUGINFOD_URLS=http://127.0.0.1:$(sed -n 's/^port //p' "$BATS_TEST_TMPDIR/server.out")
	DEBUGINFOD_CACHE_PATH=$BATS_TEST_TMPDIR/cache
	export DEBUGINFOD_URLS DEBUGINFOD_CACHE_PATH
}

# without_debug_info NAME: a copy of a workload that the server has to be asked about.
without_debug_info() {
	strip --strip-debug -o "$BATS_TEST_TMPDIR/$1" "$WORKLOADS/$1"
	WORKLOADS=$BATS_TEST_TMPDIR
}

links() {
	bpftool link list | grep -c 'uprobe_multi\|type 12' || true
}

wait_asked() {
	wait_line "$BATS_TEST_TMPDIR/server.out" '^asked' "$SERVER"
}

@test "while names are waited for the live table grows" {
	silent_server
	without_debug_info oracle
	start_workload oracle --threads 2 --events 4000000 --live 600000 --truth "$TRUTH"
	attach -v
	say go
	# A report of nothing yet has no names to ask for.
	wait_line "$HT_ERR" 'live table: 2 segments' "$HT_PID"
	kill -USR1 "$HT_PID"
	wait_asked
	wait_line "$HT_ERR" 'live table: [3-9] segments' "$HT_PID"
	wait_done
	# Still no report: the names are asked for all the time.
	[[ ! -s $HT_OUT ]]
	until [[ -s $HT_OUT ]] || ! kill -0 "$HT_PID" 2>/dev/null; do
		kill -INT "$HT_PID" 2>/dev/null || true # the run, then the search for names
		sleep 0.1
	done
	expect_exit "$HT_PID" 0
	compare --totals
	last '.totals.lost_count == 0 and .ended == "signal"'
	jq -se 'length == 2' "$HT_OUT"
	quit_workload
}

@test "a signal ends the search for names, and the report comes without them" {
	silent_server
	without_debug_info exact
	start_workload exact --truth "$TRUTH"
	before=$(links)
	attach
	(($(links) > before))
	say go
	wait_done
	kill -INT "$HT_PID"
	wait_asked
	# The probes do not wait for the names.
	until (($(links) == before)); do
		sleep 0.05
	done
	kill -INT "$HT_PID"
	expect_exit "$HT_PID" 0
	compare --totals
	quit_workload
}
