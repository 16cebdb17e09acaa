#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# heaptap doctor: what it says is what tracing then does.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers

NOBODY=(setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all)

# doctor CODE ARG...: JSON in LIST; fails unless it exits with that code, silently.
doctor() {
	local code=$1

	shift
	LIST=$BATS_TEST_TMPDIR/doctor.json
	run --separate-stderr timeout "$LIMIT" "${PREFIX[@]}" "$HEAPTAP" doctor --json "$@"
	echo "$output" >"$LIST"
	if ((status != code)) || [[ -n $stderr ]]; then
		echo "exit code $status, expected $code; stderr: $stderr"
		jq -c '.checks[] | select(.state != "ok")' "$LIST"
		return 1
	fi
}

# check NAME-REGEX EXPRESSION: holds for every check of that name, and there is one.
check() {
	if ! jq -e --arg name "$1" "[.checks[] | select(.name | test(\$name))] | length > 0 and all(.[]; $2)" \
		"$LIST" >/dev/null; then
		echo "does not hold for '$1': $2"
		jq -c --arg name "$1" '.checks[] | select(.name | test($name))' "$LIST"
		return 1
	fi
}

# A copy that others may run: the build directory may be closed to them.
share() {
	SHARED=$(mktemp -d)
	chmod 755 "$SHARED"
	cp "$HEAPTAP" "$SHARED/heaptap"
	HEAPTAP=$SHARED/heaptap
}

@test "doctor: one JSON object; tracing works for root" {
	doctor 0
	[[ $(wc -l <"$LIST") == 1 ]]
	jq -e '.schema == "heaptap/1" and .kind == "doctor" and .pid == null and .ok and .exit_code == 0' "$LIST"
	jq -e '[.checks[] | has("group", "name", "state", "value", "number", "unit", "why", "remedy")] | all' "$LIST"
	jq -e '[.checks[].state] | all(IN("ok", "degraded", "missing", "unknown"))' "$LIST"
	for group in kernel privileges limits memory cost; do
		jq -e --arg group "$group" 'any(.checks[]; .group == $group)' "$LIST"
	done
	check "BTF" '.state == "ok"'
	check "^CAP_BPF$" '.state == "ok"'
	check "not traced" '.unit == "ns" and .number > 0'
	check "^pair, exact mode" '.unit == "ns" and .number > 0'
	check "^pairs that fit" '.unit == "1/s" and .number > 0'
}

@test "doctor: the text says the same, a remedy a line" {
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" doctor
	((status == 0))
	[[ -z $stderr ]]
	[[ ${lines[0]} =~ GROUP.*CHECK.*STATE.*VALUE ]]
	[[ ${lines[-1]} == "tracing works here" ]]
	refute grep -q $'\033' <<<"$output"
	refute grep -qE ' +$' <<<"$output"
	# Every check of the JSON, by name, on a line of its own.
	doctor 0
	while read -r name; do
		grep -qF "$name" <<<"$output" || [[ $name == *pair* ]]
	done < <(jq -r '.checks[].name' "$LIST")
}

@test "doctor: usage" {
	for arguments in --no-such-option stray "-p x" -p; do
		# shellcheck disable=SC2086
		run --separate-stderr timeout "$LIMIT" "$HEAPTAP" doctor $arguments
		((status == 2))
		[[ -z $output && $stderr == "heaptap: "* ]]
	done
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" doctor --help
	((status == 0))
	[[ $output == *--pid* && $output == *--json* ]]
	run timeout "$LIMIT" bash -c '"$0" doctor >/dev/full' "$HEAPTAP"
	((status == 1))
}

@test "doctor: the kernel charges for the tables what was said" {
	local said charged

	doctor 0
	said=$(jq '.checks[] | select(.name | test("^tables here.*start")) | .number' "$LIST")
	start_workload idle
	attach
	charged=$(cat /proc/"$HT_PID"/fdinfo/* 2>/dev/null |
		awk '/^(map|prog|link)_type/ { map = $1 == "map_type:" } map && /^memlock/ { sum += $2 } END { print sum }')
	detach
	echo "said $said, charged $charged"
	((charged > 0 && said * 100 > charged * 97 && said * 100 < charged * 103))
	quit_workload
	# More CPUs take more, and the live table grows to what it may hold.
	jq -e '[.checks[] | select(.name | test("^tables")) | .number] | .[0] < .[1] and .[0] < .[2] and .[2] < .[3]' "$LIST"
}

@test "doctor -p: a process that can be traced, and is left alone" {
	start_workload idle
	doctor 0 -p "$WL_PID"
	jq -e --argjson pid "$WL_PID" '.pid == $pid and .ok' "$LIST"
	check "^process $WL_PID$" '.state == "ok" and .value == "idle"'
	check "^allocator glibc$" '.state == "ok" and (.value | test("libc")) and (.why | test("build id [0-9a-f]{40}$"))'
	check "^probes$" '.number >= 5 and .unit == "count"'
	check "way to its files" '.state == "ok" and .value == "map_files"'
	check "^runtime$" '.value == "native"'
	check "^(mnt|pid|user) namespace$" '.value == "the same"'
	check "^seccomp$" '.value == "none"'
	check "probes of other tracers" '.value == "none seen"'
	# The kernel maps this page into a process at its first probe hit.
	refute grep -qF '[uprobes]' "/proc/$WL_PID/maps"
	timeout "$LIMIT" "$HEAPTAP" doctor -p "$WL_PID" >"$BATS_TEST_TMPDIR/text"
	[[ $(tail -n 1 "$BATS_TEST_TMPDIR/text") == "this process can be traced" ]]
	quit_workload
}

@test "doctor -p: as many probes as --dry-run prints" {
	start_workload cxx
	doctor 0 -p "$WL_PID"
	[[ $("$HEAPTAP" leaks -p "$WL_PID" --dry-run | grep -cE '^  (session|entry) ') == \
		$(jq '.checks[] | select(.name == "probes") | .number' "$LIST") ]]
	check "^runtime$" '.value == "C++"'
}

@test "doctor -p: other tracers are seen" {
	start_workload exact --rounds 10
	attach
	say go
	wait_done
	doctor 0 -p "$WL_PID"
	check "probes of other tracers" '.value == "seen"'
	detach
	quit_workload
}

@test "doctor -p: not there, a kernel thread, nothing to trace" {
	local pid

	true 3>&- &
	pid=$!
	wait_exit "$pid"
	doctor 4 -p "$pid"
	jq -e '(.ok | not) and .exit_code == 4' "$LIST"
	check "^process $pid$" '.state == "missing" and (.why | test("no process"))'
	if [[ $(</proc/2/comm) == kthreadd ]]; then
		doctor 4 -p 2
		check "^process 2$" '.state == "missing" and (.why | test("kernel thread"))'
	fi
	printf '%s\n' '#include <stdlib.h>' '#include <unistd.h>' \
		'int main(int argc, char **argv) { (void)argv; return !malloc(argc) || pause(); }' \
		>"$BATS_TEST_TMPDIR/stripped.c"
	gcc -static -s -o "$BATS_TEST_TMPDIR/stripped" "$BATS_TEST_TMPDIR/stripped.c"
	"$BATS_TEST_TMPDIR/stripped" 3>&- &
	started $!
	wait_line "/proc/$!/comm" '^stripped$' $!
	doctor 4 -p $!
	check "^process" '.state == "missing" and (.why | test("stripped"))'
	check "^probes$" '.state == "missing" and .number == 0'
}

@test "doctor -p: namespaces and seccomp of the target" {
	unshare --mount --pid --fork true 2>/dev/null || skip "no namespaces can be made"
	unshare --mount --pid --fork sleep 1000 3>&- &
	started $!
	local child
	wait_line "/proc/$!/task/$!/children" '[0-9]' $!
	child=$(tr -d ' ' <"/proc/$!/task/$!/children")
	started "$child"
	wait_line "/proc/$child/comm" '^sleep$' "$child"
	doctor 0 -p "$child"
	check "^mnt namespace$" '.value == "another"'
	check "^pid namespace$" '.value == "another" and .why == "there its id is 1"'
	check "^user namespace$" '.value == "the same"'
}

@test "doctor: without privilege it names what is missing, and what helps" {
	share
	PREFIX=("${NOBODY[@]}")
	doctor 3
	rm -r "$SHARED"
	jq -e '(.ok | not) and .exit_code == 3' "$LIST"
	for name in CAP_BPF CAP_PERFMON; do
		check "^$name$" '.state == "missing"'
	done
	for name in CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_CHECKPOINT_RESTORE; do
		check "^$name$" '.state == "degraded"'
	done
	check "^capabilities$" '.state == "missing" and (.remedy | test("setcap cap_bpf,cap_perfmon,.*[+]ep"))'
	check "^BPF programs" '.state == "missing" and (.why | test("CAP_BPF and CAP_PERFMON are missing"))'
	check "tracing a child" '.state == "missing" and (.remedy | test("root"))'
	check "not traced" '.number > 0'
	check "^tables here" '.number > 0'
}

@test "doctor: the capabilities of the design suffice" {
	local caps=+bpf,+perfmon,+sys_ptrace,+dac_read_search,+checkpoint_restore

	setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all,$caps --inh-caps=-all,$caps \
		--ambient-caps=-all,$caps true 2>/dev/null || skip "setpriv cannot hand these capabilities on"
	share
	start_workload idle
	PREFIX=(setpriv --reuid 65534 --regid 65534 --clear-groups "--bounding-set=-all,$caps"
		"--inh-caps=-all,$caps" "--ambient-caps=-all,$caps")
	doctor 0 -p "$WL_PID"
	rm -r "$SHARED"
	check "^CAP_SYS_ADMIN$" '.state == "ok" and .value == "not needed"'
	check "^pair, exact mode" '.number > 0'
	quit_workload
}

@test "doctor leaves nothing behind" {
	local before after

	before=$(bpftool link list 2>/dev/null | grep -c uprobe || true)
	doctor 0
	after=$(bpftool link list 2>/dev/null | grep -c uprobe || true)
	# Other tests may be tracing at the same time and end: ours adds none.
	((after <= before))
	refute pgrep -P $$ heaptap
}
