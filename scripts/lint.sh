#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Format, clang-tidy, include directions, shell scripts: each an error. Prints what is wrong and nothing else.
set -eu
cd "$(dirname "$0")/.."
bad=0

sources=$(find bpf include user tests \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) | sort)
# shellcheck disable=SC2086 # a list of names without blanks
clang-format --dry-run --Werror $sources || bad=1
scripts/layers.sh || bad=1

# shellcheck disable=SC2016 # expanded by the inner shell
find user -name '*.c' -print0 | xargs -0 -P "$(nproc)" -n 4 sh -c \
	'clang-tidy --quiet "$@" -- -std=gnu11 -D_GNU_SOURCE -DHEAPTAP_VERSION=\"lint\" -Ibuild 2>/dev/null' sh || bad=1

scripts=$(find scripts .ci tests \( -name '*.sh' -o -name '*.bash' -o -name run \) | sort)
# shellcheck disable=SC2086
shellcheck -x $scripts || bad=1
exit $bad
