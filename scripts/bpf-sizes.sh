#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Prints the instructions of each program section of a BPF object: the path inside the target is sacred.
set -eu
llvm-objdump -h "$1" | while read -r _ name size _ type; do
	case "$type:$name" in
	TEXT:*) printf '           %-18s %5d instructions\n' "$name" "$((0x$size / 8))" ;;
	esac
done
