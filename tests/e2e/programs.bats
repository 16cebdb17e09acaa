#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Programs of other people, as the distribution ships them, under load: attach, report and detach
# twenty times. No request fails, the program lives, its results are right, every block is
# accounted for, and nothing of heaptap stays. That the old speed is back is measured by
# tests/bench/programs.sh: no test asserts a time.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers
load programs

@test "redis-server" {
	need redis-server redis-cli redis-benchmark
	start_redis
	cycles "$PROGRAM_PID"
	stop_load
	[ "$(redis config get maxmemory-policy | tail -n 1)" = noeviction ]
	# Of each command: "calls=N,...,rejected_calls=0,failed_calls=0".
	redis info commandstats >"$BATS_TEST_TMPDIR/stats"
	grep -q '^cmdstat_set:calls=[1-9]' "$BATS_TEST_TMPDIR/stats"
	refute grep -E 'rejected_calls=[1-9]|failed_calls=[1-9]' "$BATS_TEST_TMPDIR/stats"
	[ "$(redis get marker)" = "still here" ]
	redis shutdown nosave || true
	expect_exit "$PROGRAM_PID" 0
	refute grep -iE 'crash|fatal|bug' "$BATS_TEST_TMPDIR/redis.err" "$BATS_TEST_TMPDIR/redis.out"
}

@test "nginx" {
	need nginx wrk
	start_nginx
	cycles "$(pgrep -P "$PROGRAM_PID")"
	stop_load
	# Each run prints these two lines only if there was one.
	grep -q 'requests in' "$BATS_TEST_TMPDIR/load.out"
	refute grep -E 'Socket errors|Non-2xx' "$BATS_TEST_TMPDIR/load.out"
	refute grep -vE '^200$' "$BATS_TEST_TMPDIR/access.log"
	kill -QUIT "$PROGRAM_PID"
	expect_exit "$PROGRAM_PID" 0
	refute grep -E '\[(alert|crit|emerg)\]|exited on signal' "$BATS_TEST_TMPDIR/nginx.err"
}

@test "sqlite3 on a large import" {
	need sqlite3
	start_sqlite
	cycles "$PROGRAM_PID"
	stop_load
	expect_exit "$PROGRAM_PID" 0
	read -r rows sum <"$BATS_TEST_TMPDIR/load.out"
	echo "imported $rows rows"
	((rows > 10000))
	[ "$(sqlite3 "$BATS_TEST_TMPDIR/db" 'select count(*), sum(a) from t')" = "$rows|$sum" ]
	[ "$(sqlite3 "$BATS_TEST_TMPDIR/db" 'pragma integrity_check')" = ok ]
	refute test -s "$BATS_TEST_TMPDIR/sqlite.err"
}

@test "python3" {
	[ -x /usr/bin/python3 ] || skip "/usr/bin/python3 is not installed"
	start_worker /usr/bin/python3 "$E2E/programs/json_work.py"
	cycles "$PROGRAM_PID"
	finish_worker
}

@test "postgres: a backend under load" {
	need psql pgbench setpriv
	start_postgres
	start_backend
	cycles "$BACKEND_PID"
	stop_backend
	stop_postgres
}

@test "postgres: the postmaster, while clients come and go" {
	need psql pgbench setpriv
	start_postgres
	start_pgbench
	cycles "$PROGRAM_PID"
	stop_load
	grep -q '^number of failed transactions: 0 ' "$BATS_TEST_TMPDIR/load.out"
	refute grep -E '^number of failed transactions: [1-9]|aborted' "$BATS_TEST_TMPDIR/load.out" \
		"$BATS_TEST_TMPDIR/load.err"
	stop_postgres
}

@test "java: native memory of zip streams and direct buffers" {
	need java
	java --list-modules 2>/dev/null | grep -q '^jdk.compiler' || skip "java here is not a JDK: it cannot run a source file"
	start_worker java -Xmx128m "$E2E/programs/Native.java"
	cycles "$PROGRAM_PID"
	finish_worker
}

@test "node: an HTTP server that compresses" {
	need node wrk
	start_node
	cycles "$PROGRAM_PID"
	stop_load
	grep -q 'requests in' "$BATS_TEST_TMPDIR/load.out"
	refute grep -E 'Socket errors|Non-2xx' "$BATS_TEST_TMPDIR/load.out"
	kill -TERM "$PROGRAM_PID"
	expect_exit "$PROGRAM_PID" 0
	grep -qx 'wrong answers: 0' "$PROGRAM_OUT"
}

@test "git gc" {
	need git
	make_repository
	start_gc
	cycles_of git_pack_objects
	stop_load
	grep -qx 'gc failures: 0' "$BATS_TEST_TMPDIR/load.out"
	git -C "$REPOSITORY" fsck --full --strict
	[ "$(git -C "$REPOSITORY" rev-list --all --objects | sort | sha256sum)" = "$OBJECTS" ]
}
