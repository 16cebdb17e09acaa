#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# With which capabilities tracing works, and what is said where one is missing. heaptap runs as a user without any
# but those given; targets belong to the same user, to another one, or to root.

# Every test is a subshell of its own, and jq has its own dollars.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034

load helpers

OURS=65534
OTHERS=65533
USUAL="bpf perfmon sys_ptrace dac_read_search checkpoint_restore"

setup_file() {
	((EUID == 0)) || skip "needs root"
	setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all,+bpf --inh-caps=-all,+bpf \
		--ambient-caps=-all,+bpf true 2>/dev/null || skip "setpriv cannot hand capabilities on"
}

# Copies that others may run: the build directory may be closed to them. REAL is heaptap itself, HEAPTAP runs it with
# the capabilities of the last with() call.
share() {
	# Others may not look into the directories above.
	SHARED=$(mktemp -d)
	chmod 755 "$SHARED"
	mkdir -m 777 "$SHARED/truth"
	cp "$HEAPTAP" "$SHARED/real"
	cp "$WORKLOADS/idle" "$WORKLOADS/exact" "$SHARED"
	WORKLOADS=$SHARED
	TRUTH=$SHARED/truth/truth.json
	HEAPTAP=$SHARED/heaptap
	with "$USUAL"
}

teardown() {
	local pid

	[[ ! ${UNMOUNT:-} ]] || umount -l "$UNMOUNT"
	for pid in "${STARTED[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	[[ ! ${SHARED:-} ]] || rm -r "$SHARED"
}

# set_of CAPABILITIES: as setpriv wants them.
set_of() {
	local capability set=-all

	for capability in $1; do
		set+=,+$capability
	done
	echo "$set"
}

# with CAPABILITIES: of heaptap, from here on.
with() {
	local set

	set=$(set_of "$1")
	cat >"$HEAPTAP" <<-END
		#!/bin/sh
		exec setpriv --reuid $OURS --regid $OURS --clear-groups --bounding-set=$set --inh-caps=$set \
			--ambient-caps=$set "$SHARED/real" "\$@"
	END
	chmod 755 "$HEAPTAP"
}

# without CAPABILITY...: all usual ones but these.
without() {
	local left=" $USUAL " capability

	for capability in "$@"; do
		left=${left/ $capability / }
	done
	with "$left"
}

# owned_by UID: workloads from here on belong to that user, and have no capability.
owned_by() {
	WL_PREFIX=(setpriv --reuid "$1" --regid "$1" --clear-groups --bounding-set=-all --inh-caps=-all)
}

# traces: leaks ends well, and says nothing but that it is armed.
traces() {
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" leaks -p "$WL_PID" --count 1 --every 100ms
	if ((status)) || grep -qv '^heaptap: armed ' <<<"$stderr"; then
		echo "exit code $status: $stderr"
		return 1
	fi
}

# lacks NAME...: leaks is refused with one line that names these, no other capability, and what helps.
lacks() {
	local missing named

	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" leaks -p "$WL_PID" --count 1 --every 100ms
	missing=$(printf '%s\n' "$@" | sort)
	named=$(grep -oE 'CAP_[A-Z_]+' <<<"$stderr" | sort -u)
	if ((status != 3)) || [[ $(wc -l <<<"$stderr") != 1 || $named != "$missing" ]] ||
		! grep -q 'run as root, or setcap cap_bpf,.*+ep on heaptap$' <<<"$stderr"; then
		echo "exit code $status, expected 3 and $*: $stderr"
		return 1
	fi
	[[ -z $output ]]
}

# counts: the whole way, to the byte.
counts() {
	attach
	trace_to_the_end
	compare
	quit_workload
}

@test "all capabilities of the design, and not CAP_SYS_ADMIN: exact on the processes of everyone" {
	local owner

	share
	for owner in "$OURS" "$OTHERS" 0; do
		owned_by "$owner"
		start_workload exact --rounds 200 --truth "$TRUTH"
		counts
		rm "$TRUTH"
	done
}

@test "without CAP_BPF" {
	share
	start_workload idle
	without bpf
	lacks CAP_BPF
	quit_workload
}

@test "without CAP_PERFMON" {
	share
	start_workload idle
	without perfmon
	lacks CAP_PERFMON
	quit_workload
}

@test "without both" {
	share
	start_workload idle
	without bpf perfmon
	lacks CAP_BPF CAP_PERFMON
	quit_workload
}

@test "without CAP_SYS_PTRACE: one's own processes, and no others" {
	local owner

	share
	without sys_ptrace
	for owner in "$OTHERS" 0; do
		owned_by "$owner"
		start_workload idle
		lacks CAP_SYS_PTRACE
		quit_workload
	done
	owned_by "$OURS"
	start_workload exact --rounds 200 --truth "$TRUTH"
	counts
	# Whoever does not let itself be looked into, such as a program that has given up privileges.
	without sys_ptrace
	owned_by "$OURS"
	printf '%s\n' '#include <stdlib.h>' '#include <sys/prctl.h>' '#include <unistd.h>' \
		'int main(int c, char **v) { (void)v; prctl(PR_SET_DUMPABLE, 0); return !malloc(c) || pause(); }' \
		>"$SHARED/shy.c"
	gcc -o "$SHARED/shy" "$SHARED/shy.c"
	"${WL_PREFIX[@]}" "$SHARED/shy" 3>&- &
	started $!
	WL_PID=$!
	wait_line "/proc/$WL_PID/wchan" . "$WL_PID"
	wait_line "/proc/$WL_PID/status" '^State:.S' "$WL_PID"
	lacks CAP_SYS_PTRACE
}

@test "without CAP_DAC_READ_SEARCH: files that everyone may read, and no others" {
	local owner

	share
	without dac_read_search
	for owner in "$OURS" "$OTHERS" 0; do
		owned_by "$owner"
		start_workload exact --rounds 200 --truth "$TRUTH"
		counts
		rm "$TRUTH"
	done
	mkdir -m 700 "$SHARED/closed"
	printf '%s\n' '#include <stdlib.h>' '#include <unistd.h>' \
		'int main(int c, char **v) { (void)v; return !malloc(c) || pause(); }' >"$SHARED/closed/hidden.c"
	gcc -static -o "$SHARED/closed/hidden" "$SHARED/closed/hidden.c"
	chmod 700 "$SHARED/closed/hidden"
	"$SHARED/closed/hidden" 3>&- &
	started $!
	WL_PID=$!
	wait_line "/proc/$WL_PID/comm" '^hidden$' "$WL_PID"
	lacks CAP_DAC_READ_SEARCH
	with "$USUAL"
	traces
}

@test "without CAP_CHECKPOINT_RESTORE: by paths below the target's root" {
	local owner

	share
	without checkpoint_restore
	for owner in "$OURS" "$OTHERS" 0; do
		owned_by "$owner"
		start_workload exact --rounds 200 --truth "$TRUTH"
		counts
		rm "$TRUTH"
	done
}

@test "without CAP_CHECKPOINT_RESTORE: a program that was deleted" {
	share
	printf '%s\n' '#include <stdlib.h>' '#include <unistd.h>' \
		'int main(int c, char **v) { (void)v; return !malloc(c) || pause(); }' >"$SHARED/gone.c"
	gcc -static -o "$SHARED/gone" "$SHARED/gone.c"
	"$SHARED/gone" 3>&- &
	started $!
	WL_PID=$!
	wait_line "/proc/$WL_PID/comm" '^gone$' "$WL_PID"
	rm "$SHARED/gone"
	# /proc/PID/exe still leads to it.
	without checkpoint_restore
	traces
}

# start_on_own_libc: idle, on a copy of the C library in SHARED/lib.
start_on_own_libc() {
	mkdir -p "$SHARED/lib"
	cp -L "$(ldd "$WORKLOADS/idle" | awk '$1 == "libc.so.6" { print $3 }')" "$SHARED/lib/libc.so.6"
	WL_PREFIX=(env "LD_LIBRARY_PATH=$SHARED/lib")
	start_workload idle
	grep -qF "$SHARED/lib/libc.so.6" "/proc/$WL_PID/maps"
}

@test "without CAP_CHECKPOINT_RESTORE: a library that was deleted, or upgraded" {
	share
	start_on_own_libc
	without checkpoint_restore
	traces
	# An upgrade: another file by the same name.
	cp "$SHARED/lib/libc.so.6" "$SHARED/lib/new"
	mv "$SHARED/lib/new" "$SHARED/lib/libc.so.6"
	lacks CAP_CHECKPOINT_RESTORE
	[[ $stderr == *"$SHARED/lib/libc.so.6"* ]]
	rm "$SHARED/lib/libc.so.6"
	lacks CAP_CHECKPOINT_RESTORE
	# Nothing of heaptap is in the target: the path is back, the file is another.
	cp "$SHARED/real" "$SHARED/lib/libc.so.6"
	lacks CAP_CHECKPOINT_RESTORE
	with "$USUAL"
	traces
	quit_workload
}

@test "without CAP_CHECKPOINT_RESTORE: a mount that hides the library" {
	local copy

	unshare --mount true 2>/dev/null || skip "no mount namespace can be made"
	share
	start_on_own_libc
	copy=$SHARED/copy
	cp "$SHARED/lib/libc.so.6" "$copy"
	mount --bind "$copy" "$SHARED/lib/libc.so.6" || skip "nothing can be mounted"
	UNMOUNT=$SHARED/lib/libc.so.6
	# The same build id, and yet another file: probes on it would see nothing.
	without checkpoint_restore
	lacks CAP_CHECKPOINT_RESTORE
	with "$USUAL"
	traces
	quit_workload
}

@test "without CAP_CHECKPOINT_RESTORE: a library on overlayfs, whose inode numbers differ" {
	local mount

	grep -qw overlay /proc/filesystems || skip "the kernel has no overlayfs"
	share
	mount=$SHARED/merged
	mkdir -p "$SHARED/lower" "$SHARED/on-tmpfs" "$mount"
	mount -t tmpfs none "$SHARED/on-tmpfs" || skip "nothing can be mounted"
	UNMOUNT=$SHARED/on-tmpfs
	mkdir "$SHARED/on-tmpfs/upper" "$SHARED/on-tmpfs/work"
	cp "$WORKLOADS/exact-static" "$SHARED/lower" 2>/dev/null || cp "$ROOT/build/workloads/exact-static" "$SHARED/lower"
	mount -t overlay -o "lowerdir=$SHARED/lower,upperdir=$SHARED/on-tmpfs/upper,workdir=$SHARED/on-tmpfs/work" \
		overlay "$mount" || skip "overlayfs cannot be mounted"
	chmod 755 "$SHARED/on-tmpfs/upper"
	WORKLOADS=$mount
	without checkpoint_restore
	start_workload exact-static --rounds 200 --truth "$TRUTH"
	counts
	umount -l "$mount"
}

@test "without CAP_SYS_ADMIN: uprobe_multi links work, perf uprobes name it" {
	share
	start_workload exact --rounds 200 --truth "$TRUTH"
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" leaks -p "$WL_PID" --link multi --count 1 --every 100ms
	[[ $stderr != *"Linux 6.6"* ]] || skip "the kernel has no uprobe_multi links"
	((status == 0))
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" leaks -p "$WL_PID" --link perf --count 1 --every 100ms
	echo "$status: $stderr"
	((status == 3))
	[[ $(wc -l <<<"$stderr") == 1 && $stderr == *"CAP_SYS_ADMIN is missing: run as root"* ]]
	attach --link multi
	trace_to_the_end
	compare
	quit_workload
}

@test "no capability at all" {
	local owner

	share
	with ""
	for owner in "$OTHERS" 0; do
		owned_by "$owner"
		start_workload idle
		lacks CAP_SYS_PTRACE
		quit_workload
	done
	owned_by "$OURS"
	start_workload idle
	lacks CAP_BPF CAP_PERFMON
	quit_workload
}

@test "--dry-run of one's own process needs no capability" {
	share
	with ""
	owned_by "$OURS"
	start_workload idle
	run --separate-stderr timeout "$LIMIT" "$HEAPTAP" leaks -p "$WL_PID" --dry-run
	((status == 0))
	[[ -z $stderr && $output == *malloc* ]]
	quit_workload
}

@test "root in a user namespace of its own is told that it is not the host's" {
	setpriv --reuid "$OURS" --regid "$OURS" --clear-groups unshare --user --map-root-user true 2>/dev/null ||
		skip "no user namespace can be made"
	share
	owned_by "$OURS"
	start_workload idle
	run --separate-stderr timeout "$LIMIT" setpriv --reuid "$OURS" --regid "$OURS" --clear-groups \
		unshare --user --map-root-user "$SHARED/real" leaks -p "$WL_PID" --count 1 --every 100ms
	echo "$status: $stderr"
	((status == 3))
	[[ $(wc -l <<<"$stderr") == 1 && $stderr == *"user namespace"* ]]
	quit_workload
}

@test "doctor says what leaks will do" {
	local missing expected

	share
	owned_by "$OTHERS"
	start_workload idle
	for missing in none bpf perfmon sys_ptrace dac_read_search checkpoint_restore; do
		without "$missing"
		expected=0
		timeout "$LIMIT" "$HEAPTAP" leaks -p "$WL_PID" --count 1 --every 100ms >/dev/null 2>&1 || expected=$?
		run --separate-stderr timeout "$LIMIT" "$HEAPTAP" doctor -p "$WL_PID" --json
		echo "without $missing: leaks $expected, doctor $status"
		((status == expected))
		[[ $missing == none ]] || jq -e --arg name "CAP_${missing^^}" \
			'.checks[] | select(.name == $name) | .state != "ok"' <<<"$output"
	done
	quit_workload
}
