#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Ten thousand stacks a program, of every thousandth event where there are that many, against another
# unwinder.

# shellcheck disable=SC2030,SC2031,SC2034

load ../e2e/helpers
load ../e2e/stacks

EVENTS=${EVENTS:-10000}
EVERY=${EVERY:-1000}
LIMIT=900
export BATS_TEST_TIMEOUT=1000

@test "C, sixty frames" {
	start_bare bare deep --pause-us 0
	walk_truth "$WL_PID"
}

@test "C, variable and realigned frames, called back by the C library" {
	start_bare bare variable --pause-us 0
	walk_truth "$WL_PID"
}

@test "C, in a signal handler on a stack of its own, in a thread" {
	start_bare bare signal --pause-us 0
	walk_truth "$WL_PID"
}

@test "C++, below the standard library" {
	start_bare bare-cxx
	walk_truth "$WL_PID" 100
}

@test "Rust" {
	start_bare bare-rust
	walk_truth "$WL_PID" 100
}

@test "python3.11" {
	python_stacks
	walk_truth "$PROGRAM_PID" 100
}

@test "redis-server under load" {
	redis_stacks
	walk_truth "$PROGRAM_PID" 100
}

@test "nginx under load" {
	nginx_stacks
	walk_truth "$PROGRAM_PID" 20
}

@test "sqlite3 under load" {
	sqlite_stacks
	walk_truth "$PROGRAM_PID" 100
}
