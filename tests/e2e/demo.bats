#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# README's first command: it has to show the leak of its own server, and of a process of the user's.

load helpers

@test "the demo finds the leak of its server" {
	run -0 "$ROOT/scripts/demo.sh"
	[[ $output == *"session_create+0x"*"leaky-server.c:"*"(leaky-server)"* ]]
	[[ $output == *"nothing lost"* ]]
	[[ $output == *"sudo make demo PID="* ]]
	! pgrep -f build/workloads/leaky-server
}

@test "the demo attaches to a process of the user's" {
	start_workload exact
	run -0 "$ROOT/scripts/demo.sh" "$WL_PID"
	[[ $output == *"leaks of pid $WL_PID (exact)"* ]]
	kill -0 "$WL_PID"
}

@test "the demo says what is wrong with a PID that is none" {
	run -4 "$ROOT/scripts/demo.sh" 4194305
	[[ $output == *"no process has the pid 4194305"* ]]
}
