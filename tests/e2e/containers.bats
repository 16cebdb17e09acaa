#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What containers are made of: other roots, other C libraries, overlay mounts, pid namespaces.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2153

load helpers
load targets

can_unshare() {
	unshare "$@" true 2>/dev/null || skip "cannot unshare $*"
}

# put_program ROOT NAME: a workload and the libraries that it maps.
put_program() {
	local file

	mkdir -p "$1/bin" "$1/proc"
	cp "$WORKLOADS/$2" "$1/bin/$2"
	ldd "$WORKLOADS/$2" | grep -oE '/[^ ]+' | while read -r file; do
		mkdir -p "$1/${file%/*}"
		cp -L "$file" "$1/$file"
	done
}

# Containers of one image: overlay mounts over one lower directory, each a root of its own.
overlay_roots() {
	local base=$BATS_TEST_TMPDIR/overlays i

	mkdir -p "$base"
	# An upper directory cannot lie on an overlay itself.
	mount -t tmpfs none "$base" || skip "no tmpfs can be mounted"
	mkdir "$base/lower"
	put_program "$base/lower" exact
	for ((i = 0; i < $1; i++)); do
		mkdir -p "$base/upper$i" "$base/work$i" "$base/root$i"
		mount -t overlay overlay -o "lowerdir=$base/lower,upperdir=$base/upper$i,workdir=$base/work$i" \
			"$base/root$i" || skip "no overlay can be mounted"
	done
	ROOTS=$base
}

drop_overlays() {
	local i

	for i in "$ROOTS"/root*; do
		umount -l "$i"
	done
	umount -l "$ROOTS"
}

# start_in_root I ARG...: the workload in root I.
start_in_root() {
	local i=$1

	shift
	WL_PREFIX=(chroot "$ROOTS/root$i")
	WORKLOADS=/bin start_workload exact --truth "/truth" "$@"
	PIDS+=("$WL_PID")
	INS+=("$WL_IN")
	OUTS+=("$WL_OUT")
}

@test "two overlay mounts over one lower directory: each event once, for the right process" {
	overlay_roots 2
	PIDS=() INS=() OUTS=()
	start_in_root 0 --rounds 100
	start_in_root 1 --rounds 150
	trace_processes -p "${PIDS[0]},${PIDS[1]}"
	tell_group go
	wait_group_done
	detach
	compare_process "${PIDS[0]}" "$ROOTS/root0/truth"
	compare_process "${PIDS[1]}" "$ROOTS/root1/truth"
	adds_up
	tell_group quit
	drop_overlays
}

@test "ten containers of one image, with links for all processes" {
	local i

	overlay_roots 10
	PIDS=() INS=() OUTS=()
	for ((i = 0; i < 10; i++)); do
		start_in_root $i --threads 2 --rounds $((20 + 10 * i))
	done
	trace_processes -p "$(IFS=,; echo "${PIDS[*]}")" --reach all
	tell_group go
	wait_group_done
	detach
	for ((i = 0; i < 10; i++)); do
		compare_process "${PIDS[i]}" "$ROOTS/root$i/truth"
	done
	adds_up
	tell_group quit
	drop_overlays
}

@test "a container with musl beside the host's glibc" {
	local root=$BATS_TEST_TMPDIR/musl

	need busybox
	[[ -e /lib/ld-musl-x86_64.so.1 ]] || skip "musl is not installed"
	command -v musl-gcc >/dev/null || skip "musl-gcc is not installed"
	can_unshare -m
	mkdir -p "$root/lib" "$root/bin"
	cp -L /lib/ld-musl-x86_64.so.1 "$root/lib/"
	musl-gcc -O1 -g -fno-omit-frame-pointer -fno-optimize-sibling-calls -o "$root/bin/deep" \
		"$ROOT/tests/workloads/deep.c"
	cp "$(command -v busybox)" "$root/bin/busybox"
	WL_PREFIX=(chroot "$root" /bin/busybox env)
	WORKLOADS=/bin start_workload deep --depth 5 --pairs 3000 --truth /truth
	PIDS=("$WL_PID") INS=("$WL_IN") OUTS=("$WL_OUT")
	WL_PREFIX=()
	start_group 1 --threads 1 --rounds 50
	trace_processes -p "${PIDS[0]},${PIDS[1]}"
	tell_group go
	wait_group_done
	detach
	report_of "${PIDS[0]}" | jq -e '(.target.allocators | length == 1)
		and (.target.allocators[0].module | endswith("/lib/ld-musl-x86_64.so.1"))'
	report_of "${PIDS[1]}" | jq -e '[.target.allocators[].name] == ["glibc"]'
	compare_process "${PIDS[0]}" "$root/truth"
	compare_process "${PIDS[1]}" "$TRUTH.1"
	tell_group quit
}

@test "children in another pid namespace have the pids of heaptap's own" {
	can_unshare -pf --mount-proc
	WL_PREFIX=(unshare -pf --mount-proc)
	start_workload family --children 2 --truth "$TRUTH"
	grep -q '^ready 1$' "$WL_OUT"
	local outer=$WL_PID init
	init=$(pgrep -P "$outer")
	trace_processes -p "$init" --reach all
	say go
	wait_children 2
	detach
	compare_process "$init" "$TRUTH"
	jq -se --argjson init "$init" 'map(select(.scope == "process" and .target.pid != $init))
		| length == 2 and all(.[]; .totals.alloc_count == 1000)' "$HT_OUT"
	for pid in $(jq -r 'select(.scope == "process") | .target.pid' "$HT_OUT"); do
		grep -q 'NSpid:.*[[:space:]][0-9][0-9]*$' "/proc/$pid/status"
	done
	kill -KILL "$init"
}

@test "heaptap inside a pid namespace follows children by the ids of that namespace" {
	can_unshare -pf --mount-proc
	WL_PREFIX=(unshare -pf --mount-proc)
	start_workload family --children 2 --truth "$TRUTH"
	local outer=$WL_PID init
	init=$(pgrep -P "$outer")
	printf '#!/bin/sh\nexec nsenter -t %d -m -p "%s" "$@"\n' "$init" "$HEAPTAP" >"$BATS_TEST_TMPDIR/inside"
	chmod +x "$BATS_TEST_TMPDIR/inside"
	HEAPTAP=$BATS_TEST_TMPDIR/inside
	trace_processes -p 1 --reach all
	say go
	wait_children 2
	# nsenter waits for heaptap, which has the signal from nobody but us.
	kill -INT "$(pgrep -P "$HT_PID" || echo "$HT_PID")"
	expect_exit "$HT_PID" 0
	compare_process 1 "$TRUTH"
	for i in 1 2; do
		compare_process "$(child_pid $i)" "$TRUTH.$i"
	done
	kill -KILL "$init"
}
