#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# heaptap report and diff, of a recording made by the code that records: each form as it is kept in tests/golden, and as
# its own consumer reads it. GOLDEN=write writes the files anew.

# Every test is a subshell of its own.
# shellcheck disable=SC2030,SC2031

load helpers

GOLDEN_DIR=$ROOT/tests/golden

setup() {
	if [[ ! -x $HEAPTAP || ! -x $ROOT/build/golden/recording ]]; then
		echo "run make all workloads first"
		return 1
	fi
	cd "$BATS_TEST_TMPDIR" || return 1
	"$ROOT/build/golden/recording" golden other
	STARTED=()
}

report() {
	"$HEAPTAP" report "$@"
}

# golden FILE COMMAND...: its output is what the file holds.
golden() {
	local file=$GOLDEN_DIR/$1

	shift
	"$@" >output
	[[ ${GOLDEN:-} != write ]] || cp output "$file"
	diff -u "$file" output
}

# The profile as go prints it, without what differs from one go to another.
raw() {
	go tool pprof -raw "$1" 2>/dev/null | sed '/^PeriodType/,/^Samples/{/^Time\|^Duration/d}'
}

LIVE=2050000

@test "text" {
	golden report.txt report golden --top 0
	golden report-function.txt report golden --by function
	golden report-line.txt report golden --by line --view alloc
	golden report-file.txt report golden --by file
	golden report-module.txt report golden --by module --view temporary
	golden report-thread.txt report golden --by thread
	golden report-leaks.txt report golden@warm --view leaks --top 2
	golden report-timeline.txt report golden --view timeline
	golden report-sizes.txt report golden --view sizes
	golden report-growth.txt report golden --view growth --top 3
	golden report-top-down.txt report golden --tree top-down --top 0
	golden report-bottom-up.txt report golden --tree bottom-up --top 0
	golden report-source.txt report golden --source
	golden diff.txt "$HEAPTAP" diff golden@warm golden@last
	golden report-two.txt report other --top 1
	golden diff-function.txt "$HEAPTAP" diff golden@last other -p 815 --by function
}

@test "JSON, with jq" {
	golden report.json report golden --format json
	jq -e --argjson live $LIVE '.schema == "heaptap/1" and .kind == "report" and .totals.live_bytes == $live
		and ([.stacks[].live_bytes] | add) == $live and .shown.bytes == $live
		and ([.stacks[].alloc_bytes] | add) == .totals.alloc_bytes and ([.stacks[].free_bytes] | add) == .totals.free_bytes
		and .process.pss_bytes == null and .process.limit_bytes == 536870912
		and .process.overhead_bytes == .process.rss_anon_bytes - .process.before_attach_bytes - .totals.live_bytes
		and any(.stacks[]; .frames == []) and ([.stacks[0].frames[].inlined] == [true, true, false, false, false])' output
	golden diff.json "$HEAPTAP" diff golden@warm golden@last --format json
	jq -e '.kind == "diff" and .between_s == 10 and .difference.bytes == ([.stacks[].diff_bytes] | add)
		and .difference.bytes == .new.totals.live_bytes - .old.totals.live_bytes
		and ([.stacks[].change] | sort | unique) == ["gone", "grown", "new", "same", "shrunk"]
		and all(.stacks[]; .diff_bytes == .new_bytes - .old_bytes and .diff_count == .new_count - .old_count)' output
	report golden --tree top-down --format json >output
	jq -e --argjson live $LIVE '.tree.total_bytes == $live and ([.. | .self_bytes? // empty] | add) == $live' output
	report golden --tree bottom-up --format json >output
	jq -e --argjson live $LIVE '.tree.total_bytes == $live and ([.. | .self_bytes? // empty] | add) == $live' output
	for by in function line file module thread; do
		report golden --by $by --format json >output
		jq -e --argjson live $LIVE '([.groups[].live_bytes] | add) == $live' output
	done
	report golden --view timeline --format json >output
	jq -e --argjson live $LIVE '[.snapshots[].live_bytes][-1] == $live and .snapshots[1].label == "warm"' output
	report golden --view sizes --format json >output
	jq -e --argjson live $LIVE '([.sizes[].live_bytes] | add) == $live' output
}

@test "JSON lines, with jq" {
	golden report.jsonl report golden --format jsonl
	jq -se --argjson live $LIVE '.[0].kind == "report" and .[0].stacks == null and ([.[1:][].live_bytes] | add) == $live' output
	golden diff.jsonl "$HEAPTAP" diff golden@warm golden@last --format jsonl
	jq -se '.[0].difference.bytes == ([.[1:][].diff_bytes] | add)' output
}

@test "CSV, with python's csv" {
	golden report.csv report golden --format csv
	golden diff.csv "$HEAPTAP" diff golden@warm golden@last --format csv
	report golden --by line --format csv >lines.csv
	report golden --view timeline --format csv >timeline.csv
	run -0 python3 - <<-'END'
		import csv
		def rows(name):
		    with open(name, newline="", encoding="utf-8") as file:
		        return list(csv.DictReader(file, strict=True))
		lines = rows("lines.csv")
		assert sum(int(row["live_bytes"]) for row in lines) == 2050000
		assert any(row["function"] == "Cache<std::map<int, char>, 8>::put(int; char)" for row in lines)
		assert [row["label"] for row in rows("timeline.csv")] == ["", "warm", ""]
		assert all(None not in row and None not in row.values() for row in lines)
		diff = rows("output")
		assert sum(int(row["diff_bytes"]) for row in diff) == 2050000 - 92227
	END
}

@test "folded stacks" {
	golden report.folded report golden --format folded
	[[ $(awk '{ sum += $NF } END { print sum }' output) == "$LIVE" ]]
	refute grep -vE '^[^ ;].* [0-9]+$' output
	golden diff.folded "$HEAPTAP" diff golden@warm golden@last --format folded
	[[ $(awk '{ old += $(NF - 1); new += $NF } END { print old, new }' output) == "92227 $LIVE" ]]
}

@test "pprof, with go tool pprof" {
	need go
	for snap in warm last; do
		report "golden@$snap" --format pprof -o $snap.pb.gz
	done
	golden report.pprof.txt raw last.pb.gz
	run -0 go tool pprof -top -sample_index=inuse_space -unit=b last.pb.gz
	[[ $output == *"${LIVE}B total"* && $output == *'Buffer::grow'* ]]
	run -0 go tool pprof -lines -top -sample_index=alloc_objects last.pb.gz
	[[ $output == *'buffer.h:17 (inline)'* ]]
	run -0 go tool pprof -traces -sample_index=inuse_space -unit=b last.pb.gz
	[[ $output == *'Parser::push'* ]]
	# The difference of two profiles is the profile of the difference.
	run -0 go tool pprof -top -sample_index=inuse_space -unit=b -diff_base=warm.pb.gz last.pb.gz
	[[ $output == *"$((LIVE - 92227))B"* ]]
	theirs=$(grep -A 50 'flat%' <<<"$output" | awk '{ print $1, $NF }' | sort)
	"$HEAPTAP" diff golden@warm golden@last --format pprof -o diff.pb.gz
	golden diff.pprof.txt raw diff.pb.gz
	run -0 go tool pprof -top -sample_index=inuse_space -unit=b diff.pb.gz
	[[ $(grep -A 50 'flat%' <<<"$output" | awk '{ print $1, $NF }' | sort) == "$theirs" ]]
}

@test "sqlite3: the schema explains itself, and views answer the common questions" {
	need sqlite3
	run -0 sqlite3 golden .schema
	[[ $output == *'-- added to a site'* && $output == *'CREATE VIEW newest'* ]]
	[[ $(sqlite3 golden 'select sum(live_bytes) from newest') == "$LIVE" ]]
	[[ $(sqlite3 golden 'select sum(live_bytes) from figures where snapshot = 2') == 92227 ]]
	[[ $(sqlite3 golden "select live_bytes, rss from timeline where label = 'warm'") == '92227|8388608' ]]
	[[ $(sqlite3 golden "select calls from stacks where stack = 3") == 'Cache<std::map<int, char>, 8>::put(int; char) < main < __libc_start_main' ]]
}

@test "filters" {
	bytes() {
		report golden --format json --filter "$1" | jq .shown.bytes
	}
	[[ $(bytes 'function=Buffer::*') == 2048000 ]]
	[[ $(bytes 'function=main') == 2049980 ]]
	[[ $(bytes 'direct.function=main') == 0 ]]
	[[ $(bytes 'direct.function=__strdup') == 620 ]]
	[[ $(bytes '!function=Buffer::*') == 2000 ]]
	[[ $(bytes 'module=libc.so.6,!direct.module=server') == 1980 ]]
	[[ $(bytes 'file=*/cache.cc') == 620 ]]
	[[ $(bytes 'file=cache.cc,file=buffer.h') == 2048620 ]]
	[[ $(bytes 'function=main,file=cache.cc') == 620 ]]
	[[ $(bytes 'size>=1K') == 2049353 ]]
	[[ $(bytes 'size>=20,size<=1K') == 640 ]]
	for bad in x 'function' 'function=' 'size>=x' '!size>=1' 'size>=2,size<=1' 'direct.size=3'; do
		run -2 report golden --filter "$bad"
		[[ $output == *'--filter: '* ]]
	done
}

@test "which snapshot is meant" {
	id() {
		report "golden@$1" --format json | jq .snapshot.id
	}
	[[ $(id first) == 1 && $(id last) == 3 && $(id peak) == 3 && $(id 2) == 2 && $(id warm) == 2 ]]
	[[ $(id 2026-01-01T00:00:15) == 2 && $(id 2026-01-01T00:00:10.000Z) == 2 && $(id 00:00:09) == 1 ]]
	cp golden a@b
	[[ $(report a@b --format json | jq .snapshot.id) == 3 ]]
	for bad in 0 4 99 nothing 2025-01-01T00:00:00 ''; do
		run -2 report "golden@$bad"
		[[ $output == heaptap:* && $output == *'golden has no snapshot'* ]]
	done
	run -2 report golden -p 1
	[[ $output == *'no snapshot of pid 1'* ]]
}

@test "several processes in one recording" {
	report other --format json >output
	jq -se 'map(.scope) == ["process", "process", "all"] and ([.[0, 1].totals.live_bytes] | add) == .[2].totals.live_bytes
		and [.[2].targets[].pid] == [.[0, 1].target.pid]' output
	[[ $(report other -p 816 --format csv | python3 -c \
		'import csv, sys; print(sum(int(row["live_bytes"]) for row in csv.DictReader(sys.stdin)))') == $((3 * LIVE)) ]]
	[[ $(report other@4 --format json | jq -sc 'map(.snapshot.id)') == '[4,3,null]' ]]
	for format in csv folded pprof; do
		run -2 report other --format $format
		[[ $output == *'other has 2 processes: choose one by -p PID'* ]]
	done
	run -2 "$HEAPTAP" diff other@first other@last
	[[ $output == *'choose one by -p PID'* ]]
}

@test "what cannot be shown is said" {
	run -1 report nothing-there
	[[ $output == *'cannot read nothing-there: No such file'* ]]
	run -1 report .
	[[ $output == *'no regular file'* ]]
	printf x >tiny
	run -1 report tiny
	[[ $output == *'not a recording'* ]]
	head -c 20000 golden >cut
	run -1 report cut
	[[ $output == *'is damaged'* ]]
	sqlite3 golden 'pragma user_version = 2'
	run -1 report golden
	[[ $output == *'has schema 2, and this heaptap reads up to 1'* ]]
	run -2 report
	run -2 "$HEAPTAP" diff other
	run -2 report other --format folded --by line
	run -2 report other --view timeline --format pprof
	run -2 report other --tree top-down --format csv
	run -2 report other --format nonsense
	run -2 report other other
	run -1 report other -o no/where
	[[ $output == *'cannot write no/where'* ]]
	run -1 report other -o /dev/full
	[[ $output == *'No space left'* ]]
	# Nothing but one line each time.
	((${#lines[@]} == 1))
}

@test "a recording in a directory that cannot be written is read" {
	mkdir only
	cp other only/
	chmod 555 only
	before=$(ls only)
	report only/other >/dev/null
	[[ $(ls only) == "$before" ]]
}
