#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Reports equal what the workload knows of its own heap, to the byte and the block; and where a
# table is too small for that, they say what is missing.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers

@test "every entry point from four threads" {
	start_workload exact --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	last '.ended == "signal" and .health.coverage == 1'
	quit_workload
}

@test "every entry point from sixteen threads" {
	start_workload exact --threads 16 --rounds 200 --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	quit_workload
}

@test "a static program" {
	[[ -x $WORKLOADS/exact-static ]] || skip "exact-static is not built"
	start_workload exact-static --rounds 300 --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	quit_workload
}

@test "C++: operator new, strings and maps" {
	start_workload cxx --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	quit_workload
}

@test "oracle: 10,000,000 random events from four threads" {
	LIMIT=120
	start_workload oracle --events 10000000 --seed 7 --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	quit_workload
}

@test "oracle: sixteen threads on shared blocks" {
	start_workload oracle --events 500000 --threads 16 --live 200 --seed 11 --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	quit_workload
}

@test "an idle process has no events" {
	start_workload idle --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	last '.totals.alloc_count == 0 and .health.events == 0 and .stacks == []'
	quit_workload
}

@test "a stack of a hundred frames is whole" {
	start_workload deep --depth 100 --pairs 20000 --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	last '[.stacks[] | select(.alloc_count > 0)] | length == 1'
	last '[.stacks[] | select(.alloc_count > 0) | .frames[] | select(.function == "descend")]
		| length == 101'
	last '[.stacks[] | select(.alloc_count > 0) | .frames[].function] | index("main")'
	quit_workload
}

@test "a stack deeper than can be kept is counted all the same" {
	start_workload deep --depth 400 --pairs 20000 --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	last '.health.truncated_share > 0'
	quit_workload
}

@test "frame 0 is the line of the call" {
	local checked=0 name line text call='(alloc|array|memalign|strdup)\('

	start_workload exact --rounds 50 --truth "$TRUTH"
	attach
	trace_to_the_end
	while read -r name line; do
		text=$(sed -n "${line}p" "$ROOT/tests/workloads/exact.c")
		[[ $text =~ $call ]] || {
			echo "$name is said to call an allocator at line $line: $text"
			return 1
		}
		((++checked))
	done < <(tail -n 1 "$HT_OUT" | jq -r '.stacks[].frames[0]
		| select(.file // "" | endswith("exact.c")) | "\(.function) \(.line)"')
	((checked >= 15))
	quit_workload
}

@test "tables of 100 blocks, 8 stacks and 4 calls keep the identity and name the losses" {
	start_workload exact --threads 16 --rounds 200 --truth "$TRUTH"
	attach --max-live 100 --max-stacks 8 --max-in-flight 4
	trace_to_the_end
	compare --identity-only
	last '.totals.lost_count > 0 and .totals.lost_bytes > 0'
	last '.health.lost.live_full > 0'
	last '.health.unattributed.stacks_full > 0'
	last '.totals.live_count <= 256' # a table may round up to whole buckets
	quit_workload
}

@test "a live table of 100 blocks loses blocks, not allocations" {
	start_workload exact --rounds 300 --truth "$TRUTH"
	attach --max-live 100
	trace_to_the_end
	compare --identity-only
	last '.health.lost.live_full > 0'
	last '.totals.alloc_count == $truth[0].totals.alloc_count
		and .totals.alloc_bytes == $truth[0].totals.alloc_bytes
		and .totals.failed_count == $truth[0].totals.failed_count' --slurpfile truth "$TRUTH"
	quit_workload
}

@test "a table of 8 stacks loses stacks, not blocks" {
	start_workload exact --rounds 300 --truth "$TRUTH"
	attach --max-stacks 8
	trace_to_the_end
	compare --totals
	last '.health.unattributed.stacks_full > 0'
	last '[.stacks[] | select(.frames == []) | .alloc_count] | add > 0'
	quit_workload
}

@test "room for 4 calls in flight of 16 threads keeps the identity" {
	start_workload exact --threads 16 --rounds 200 --truth "$TRUTH"
	attach --max-in-flight 4
	trace_to_the_end
	compare --identity-only
	quit_workload
}

@test "attached in the middle of a run and detached before its end" {
	start_workload oracle --events 0 --truth "$TRUTH"
	say go
	attach --every 300ms --count 3
	expect_exit "$HT_PID" 0
	compare --identity-only
	last '.totals.alloc_count > 1000 and .totals.free_count > 1000'
	last '.totals.lost_count == 0 and .totals.untracked_frees > 0'
	say stop
	wait_done
	quit_workload
}

@test "while the target runs a report is off by no more than it says" {
	start_workload oracle --events 0 --truth "$TRUTH"
	attach --every 200ms --count 6
	say go
	expect_exit "$HT_PID" 0
	each '.totals | has("in_flight")'
	each '(.totals.alloc_count - .totals.live_count - .totals.free_count - .totals.lost_count | fabs)
		<= .totals.in_flight + .health.skew'
	compare --identity-only
	say stop
	wait_done
	quit_workload
}

@test "the peak is the most that was live at once" {
	start_workload deep --depth 3 --pairs 5000 --size 1000 --truth "$TRUTH"
	attach
	trace_to_the_end
	compare
	last '.totals.peak_live_bytes == 1000 and .totals.live_bytes == 0'
	quit_workload
}

@test "a block freed by its thread with nothing allocated between is temporary" {
	start_workload deep --depth 3 --pairs 5000 --size 1000 --truth "$TRUTH"
	attach
	trace_to_the_end
	last '[.stacks[].temporary_count] | add == 5000'
	quit_workload
}
