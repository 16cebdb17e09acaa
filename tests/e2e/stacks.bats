#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Whole stacks of code without frame pointers: equal to what another unwinder sees, from code that came
# late, from code that nothing describes, and the same ids in every run. tests/full compares more.

# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers
load stacks

EVENTS=${EVENTS:-400}
EVERY=${EVERY:-17}

@test "C, sixty frames" {
	start_bare bare deep
	walk_truth "$WL_PID"
}

@test "C, variable and realigned frames, called back by the C library" {
	start_bare bare variable
	walk_truth "$WL_PID"
}

@test "C, in a signal handler on a stack of its own, in a thread" {
	start_bare bare signal
	walk_truth "$WL_PID"
}

@test "C++, below the standard library" {
	start_bare bare-cxx
	walk_truth "$WL_PID"
}

@test "Rust" {
	start_bare bare-rust
	walk_truth "$WL_PID"
}

@test "python3.11" {
	python_stacks
	walk_truth "$PROGRAM_PID"
}

# report_late ARG: what is reported of code that comes after the attach.
report_late() {
	start_bare bare-late "$1"
	attach
	say go
	wait_done
	detach
}

@test "a library opened after the attach has rows, and its wait for them is told" {
	report_late library
	last '[.stacks[] | select(.frames[0].function == "site_late" and (.truncated | not))
		| .frames[].function] | index("call_back") and index("site_outer") and index("main")'
	last '.health.unwind_tables.mapping_to_rows_s > 0'
}

@test "code that a program makes is followed by its frame pointer, and that is counted" {
	report_late jit
	last '[.stacks[] | select(.frames[0].function == "site_late" and (.truncated | not))
		| .frames[].function] | index("site_outer") and index("main")'
	last '.health.unwind.frame_pointer > 0 and .health.unwind.no_rows == 0'
}

@test "where nothing describes a frame the stack is truncated, with its reason" {
	report_late bare-jit
	last '.health.unwind.no_rows > 0 and .health.truncated_share > 0.9'
	last '([.health.unwind | to_entries[] | select(.key != "frame_pointer") | .value] | add)
		== ([.stacks[] | select(.truncated) | .alloc_count] | add)'
}

@test "the same workload has the same stack ids in every run" {
	local run

	for run in 1 2; do
		start_workload exact --rounds 50 --truth "$TRUTH"
		attach
		trace_to_the_end
		last '[.stacks[] | select(.alloc_count > 0)] | all(.truncated | not)'
		tail -n 1 "$HT_OUT" | jq -c '[.stacks[] | select(.alloc_count > 0)
			| [.id, .alloc_count, .frames[0].function]] | sort' >"$BATS_TEST_TMPDIR/ids$run"
		quit_workload
	done
	cmp "$BATS_TEST_TMPDIR/ids1" "$BATS_TEST_TMPDIR/ids2"
	(($(jq length "$BATS_TEST_TMPDIR/ids1") > 10))
}

@test "the second attach finds its tables in the cache; a broken file there is made anew" {
	local file

	export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
	mkdir -p "$XDG_CACHE_HOME"
	start_workload deep --depth 20 --truth "$TRUTH"
	attach
	detach
	last '.health.unwind_tables | .cached == 0 and .modules >= 3 and .rows > 1000'
	attach
	detach
	last '.health.unwind_tables | .cached >= 2 and .modules >= 3'
	for file in "$XDG_CACHE_HOME"/heaptap/*; do
		printf 'nonsense' | dd of="$file" bs=1 seek=60 conv=notrunc status=none
	done
	attach
	trace_to_the_end
	last '.health.unwind_tables.modules >= 3'
	last '[.stacks[] | select(.alloc_count > 0) | .frames[].function] | index("main")'
	quit_workload
}

@test "without a cache, and without tables, it works all the same" {
	export XDG_CACHE_HOME=/proc
	start_workload deep --depth 20 --truth "$TRUTH"
	attach --max-unwind 0
	trace_to_the_end
	compare
	last '.health.unwind_tables.modules == 0 and .health.unwind.frame_pointer > 0'
	quit_workload
}
