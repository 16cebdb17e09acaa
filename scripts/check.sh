#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds everything and runs the tests; the last line is "N passed, N failed, N skipped".
#
#   check.sh          what takes minutes: lint, unit and e2e tests, each also under ASan and UBSan
#   check.sh --full   also what takes longer: soak, many attaches, many kills
set -u
cd "$(dirname "$0")/.." || exit 1

full=
[ "${1:-}" != --full ] || full=1
passed=0 failed=0 skipped=0
log=build/check
jobs=$(nproc)
sanitizers=address,undefined
# Leaks in libraries that live as long as the process are theirs; what we leak ourselves is found all the same.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1

# Counts the TAP in a file. A suite that printed no plan or whose command failed without a failing test is a failure.
count() {
	local name=$1 file=$2 status=$3 took=$4 ok bad skip
	# bats says "ok N # skip", cmocka "not ok N # SKIP".
	skip=$(grep -ciE '^(not )?ok .*# skip' "$file")
	ok=$(grep -E '^ok ' "$file" | grep -cviE '# skip')
	bad=$(grep -E '^not ok ' "$file" | grep -cviE '# skip')
	if [ "$status" != 0 ] && [ "$bad" = 0 ]; then
		bad=1
		tail -n 30 "$file"
	fi
	if [ "$((ok + bad + skip))" = 0 ]; then
		echo "$name ran no test"
		bad=1
	fi
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	printf '%-44s %4d passed %3d failed %3d skipped  %4d s\n' "$name" "$ok" "$bad" "$skip" "$took"
	[ "$bad" = 0 ] || grep -A 25 -E '^not ok ' "$file" | head -n 120
	[ "$skip" = 0 ] || grep -iE '^(not )?ok .*# skip' "$file"
}

file_of() {
	echo "$log/${1//[^a-zA-Z0-9]/-}.tap"
}

# run NAME COMMAND...: a command that prints TAP; what it prints, its status and its time go to files.
run() {
	local file began=$SECONDS

	file=$(file_of "$1")
	shift
	"$@" >"$file" 2>&1 </dev/null
	echo "$? $((SECONDS - began))" >"$file.status"
}

# tell NAME: of a run that has ended.
tell() {
	local file status took

	file=$(file_of "$1")
	read -r status took <"$file.status"
	count "$1" "$file" "$status" "$took"
}

# suite NAME COMMAND...: runs it and tells.
suite() {
	run "$@"
	tell "$1"
}

# step NAME COMMAND...: a command that succeeds or not, one test.
step() {
	suite "$1" as_test "$@"
}

as_test() {
	local name=$1 out

	out=$(file_of "$name").out
	shift
	if "$@" >"$out" 2>&1 </dev/null; then
		echo "ok 1 $name"
	else
		echo "not ok 1 $name"
		tail -n 60 "$out"
	fi
}

# What traces nothing runs beside what does, one after another; BESIDE are the names.
beside() {
	run "format, clang-tidy, include directions, shellcheck" as_test lint make lint
	run "unit tests" unit_tests build/unit
	run "unit tests, sanitized" unit_tests build/sanitized/unit
	run "fuzz: each target" scripts/fuzz.sh "$([ -n "$full" ] && echo 60 || echo 10)"
}
BESIDE=("format, clang-tidy, include directions, shellcheck" "unit tests" "unit tests, sanitized" "fuzz: each target")

unit_tests() {
	local test status=0
	for test in "$1"/test_*; do
		case $test in *.d | *.o) continue ;; esac
		CMOCKA_MESSAGE_OUTPUT=TAP timeout 300 "$test" 2>&1 || status=1
	done
	return $status
}

mkdir -p "$log"
step "build" make -j"$jobs" all workloads unit
step "build with $sanitizers" make -j"$jobs" SANITIZER=$sanitizers all unit
step "build with clang" make -j"$jobs" CC=clang BUILD=build/clang all
step "build of the fuzz targets" make -j"$jobs" fuzz
step "build of the benches" make -j"$jobs" build/bench/bench build/bench/recordings
step "build that ships stacks" make -j"$jobs" TRUTH=1 all build/truth/unwind
if [ "$failed" != 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
	exit 1
fi
beside &
beside_pid=$!
step "install" make install DESTDIR="$PWD/$log/root" PREFIX=/usr
suite "links on this kernel" unit_tests build/kernel
suite "links on this kernel, sanitized" unit_tests build/sanitized/kernel
suite "e2e: command line" bats tests/e2e/cli.bats
suite "e2e: command line, sanitized" env HEAPTAP="$PWD/build/sanitized/heaptap" bats tests/e2e/cli.bats
suite "e2e: ps" bats tests/e2e/ps.bats
suite "e2e: ps, sanitized" env HEAPTAP="$PWD/build/sanitized/heaptap" bats tests/e2e/ps.bats
suite "e2e: doctor" bats tests/e2e/doctor.bats
suite "e2e: privileges" bats tests/e2e/privileges.bats
suite "e2e: exactness" bats tests/e2e/exact.bats
suite "e2e: sampling and filters" bats tests/e2e/sample.bats
suite "e2e: the budget" bats tests/e2e/auto.bats
suite "e2e: hazards" bats tests/e2e/hazards.bats
suite "e2e: growth" bats tests/e2e/growth.bats
suite "e2e: reports beside the tracing" bats tests/e2e/reporter.bats
suite "e2e: reports of recordings" bats tests/e2e/report.bats
suite "e2e: reports of recordings, sanitized" env HEAPTAP="$PWD/build/sanitized/heaptap" bats tests/e2e/report.bats
suite "e2e: recordings" bats tests/e2e/record.bats
suite "e2e: recordings, sanitized" env HEAPTAP="$PWD/build/sanitized/heaptap" bats tests/e2e/record.bats
suite "e2e: sandbox" bats tests/e2e/sandbox.bats
suite "e2e: symbols" bats tests/e2e/symbols.bats
suite "e2e: neighbours" bats tests/e2e/neighbours.bats
suite "e2e: many targets" bats tests/e2e/targets.bats
suite "e2e: many targets under a budget" bats tests/e2e/targets_auto.bats
suite "e2e: containers" bats tests/e2e/containers.bats
suite "e2e: real programs" env CYCLES="$([ -n "$full" ] && echo 20 || echo 5)" bats tests/e2e/programs.bats
suite "e2e: whole stacks" bats tests/e2e/stacks.bats
suite "e2e: exactness, multi links" env HEAPTAP_LINK=multi bats tests/e2e/exact.bats
suite "e2e: exactness, perf links" env HEAPTAP_LINK=perf bats -f "entry point|static|operator new|oracle" tests/e2e/exact.bats
suite "e2e: hazards, multi links" env HEAPTAP_LINK=multi bats tests/e2e/hazards.bats
suite "e2e: kill -9 of heaptap" bats tests/e2e/kill.bats
suite "e2e: demo" bats tests/e2e/demo.bats
suite "e2e: sandbox, sanitized" env HEAPTAP="$PWD/build/sanitized/heaptap" bats tests/e2e/sandbox.bats
suite "e2e: exactness, sanitized" env HEAPTAP="$PWD/build/sanitized/heaptap" bats tests/e2e/exact.bats
suite "e2e: many targets, sanitized" env HEAPTAP="$PWD/build/sanitized/heaptap" bats -f "pids|child|exec|COMMAND|--comm|exits|cgroup|usage" tests/e2e/targets.bats
suite "e2e: growth, sanitized" env HEAPTAP="$PWD/build/sanitized/heaptap" bats tests/e2e/growth.bats
suite "e2e: hazards, sanitized" env HEAPTAP="$PWD/build/sanitized/heaptap" bats tests/e2e/hazards.bats
wait "$beside_pid"
for name in "${BESIDE[@]}"; do
	tell "$name"
done
if [ -n "$full" ]; then
	suite "full: 20,000 simulated processes" env CMOCKA_MESSAGE_OUTPUT=TAP build/unit/test_sampling 20000
	suite "full: estimates of 20 live runs" env SAMPLE_RUNS=20 bats -f estimates tests/e2e/sample.bats
	suite "full: exactness, perf links" env HEAPTAP_LINK=perf bats tests/e2e/exact.bats
	suite "full: many targets, sanitized" env HEAPTAP="$PWD/build/sanitized/heaptap" bats tests/e2e/targets.bats
	for kind in multi perf; do
		suite "full: hazards, $kind links" env HEAPTAP_LINK=$kind bats tests/e2e/hazards.bats
		suite "full: many targets, $kind links" env HEAPTAP_LINK=$kind bats tests/e2e/targets.bats
	done
	suite "full: doctor, sanitized" env HEAPTAP="$PWD/build/sanitized/heaptap" bats tests/e2e/doctor.bats
	suite "full: soak and many attaches" bats tests/full
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
