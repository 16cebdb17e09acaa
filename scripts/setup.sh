#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs what the build, the tests and the demo need and the machine lacks. Debian and its relatives.
set -eu

packages="gcc g++ make clang llvm libc6-dev linux-libc-dev libbpf-dev bpftool libelf-dev libdw-dev
libiberty-dev libzydis-dev zlib1g-dev liblzma-dev libdebuginfod-dev debuginfod dwz xz-utils libcmocka-dev bats jq python3 procps util-linux binutils
clang-format clang-tidy shellcheck"

missing=""
for package in $packages; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "setup: these packages are missing; run as root: apt-get install$missing" >&2
	exit 3
fi
echo "setup: installing$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install_missing() {
	# shellcheck disable=SC2086 # a list of words
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing </dev/null >"$log" 2>&1
}
# A fresh machine has no package lists, an old one stale ones.
install_missing || {
	apt-get update </dev/null >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
	install_missing || { cat "$log" >&2; exit 1; }
}
