#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The include-direction check: a floor of user/ includes only itself, floors below it, and include/. Only trace/
# may know libbpf. The kernel half includes nothing of the user half, and the contract includes neither.
set -eu
cd "$(dirname "$0")/.."

bad=0
complain() {
	echo "layers: $1" >&2
	bad=1
}

floor() {
	case $1 in
	base) echo 0 ;; target) echo 1 ;; model) echo 2 ;; store) echo 3 ;; symbol) echo 4 ;;
	trace) echo 5 ;; render) echo 6 ;; ui) echo 7 ;; agent) echo 8 ;; cli) echo 9 ;;
	*) echo none ;;
	esac
}

for file in user/*/*.[ch]; do
	own=$(basename "$(dirname "$file")")
	own_floor=$(floor "$own")
	[ "$own_floor" != none ] || complain "$file: user/$own is not a floor of the house"
	# shellcheck disable=SC2013 # one word a line
	for other in $(sed -n 's|^#include "\.\./\([a-z]*\)/.*|\1|p' "$file"); do
		[ "$other" != .. ] || continue
		other_floor=$(floor "$other")
		if [ "$other_floor" = none ] || [ "$other_floor" -ge "$own_floor" ]; then
			complain "$file: user/$own includes user/$other"
		fi
	done
	if grep -q '^#include "\.\./\.\./' "$file" && grep '^#include "\.\./\.\./' "$file" | grep -qv '"\.\./\.\./include/'; then
		complain "$file: includes something outside of user/ and include/"
	fi
	case $own in
	trace) ;;
	*) ! grep -qE '#include <bpf/|\.skel\.h' "$file" || complain "$file: only user/trace may know libbpf" ;;
	esac
done
# Each renderer reads a model, none another renderer's inside.
for file in bpf/*.[ch]; do
	! grep -qE '#include "(\.\./)?user/' "$file" || complain "$file: the kernel half includes the user half"
done
for file in include/*.h; do
	! grep -qE '#include "(\.\./|.*/)' "$file" || complain "$file: the contract includes only itself"
done
exit $bad
