#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs what is needed and the machine lacks. Debian and its relatives.
#
#   setup.sh           for the build and the demo
#   setup.sh --tests   also for the tests, and the programs that they trace
set -eu

# What make needs.
packages="gcc g++ make clang llvm libc6-dev linux-libc-dev libbpf-dev bpftool libelf-dev libdw-dev
libiberty-dev libzydis-dev zlib1g-dev liblzma-dev libdebuginfod-dev libsqlite3-dev procps util-linux"
commands=""
if [ "${1:-}" = --tests ]; then
	packages="$packages libclang-rt-dev libcmocka-dev bats jq python3 binutils debuginfod dwz xz-utils
		clang-format clang-tidy shellcheck postgresql"
	# Programs that the tests trace or use, and that may have come from elsewhere: a package only where the
	# command is missing.
	commands="redis-server:redis-server redis-benchmark:redis-tools nginx:nginx-light wrk:wrk
		sqlite3:sqlite3 go:golang-go git:git gdb:gdb strace:strace java:default-jdk-headless node:nodejs
		busybox:busybox-static musl-gcc:musl-tools curl:curl"
fi

missing=""
for package in $packages; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
for command in $commands; do
	command -v "${command%%:*}" >/dev/null || missing="$missing ${command#*:}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "setup: these packages are missing; run as root: apt-get install$missing" >&2
	exit 3
fi
echo "setup: installing$missing" >&2
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
own_policy=""
trap 'rm -f "$log"; [ -z "$own_policy" ] || rm -f "$policy"' EXIT
trap 'exit 130' INT TERM
# Packages of servers start them: the tests want the programs only. 101 is "no" to invoke-rc.d.
if [ ! -e "$policy" ]; then
	own_policy=1
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
install_missing() {
	# shellcheck disable=SC2086 # a list of words
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing </dev/null >"$log" 2>&1
}
# A fresh machine has no package lists, an old one stale ones.
install_missing || {
	apt-get update </dev/null >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
	install_missing || { cat "$log" >&2; exit 1; }
}
