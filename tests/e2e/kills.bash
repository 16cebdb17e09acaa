# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# kill -9 of heaptap at random moments of its life, while its target works. Needs helpers.bash.

# jq has its own dollars.
# shellcheck disable=SC2016

# Ids of the programs that heaptap's links run, and of the links, a JSON array each. While others come
# and go bpftool may fail: then there is none to compare.
our_programs() {
	bpftool -j prog list 2>/dev/null | jq -c '[.[]
		| select(.name | IN("allocate", "release", "enter", "leave")) | .id]'
}

our_links() {
	local programs

	programs=$(our_programs)
	bpftool -j link list 2>/dev/null | jq -c --argjson programs "${programs:-null}" \
		'[.[] | select(.prog_id | IN($programs[])) | .id]'
}

# news_of BEFORE NOW: holds when the second array has an element that the first lacks.
news_of() {
	[[ $1 && $2 ]] && jq -ne --argjson before "$1" --argjson now "$2" '$now - $before != []' \
		>/dev/null
}

# text_of PID: a digest of the C library's code in its memory.
text_of() {
	local range

	read -r range _ < <(grep -m1 'r-xp.*libc' "/proc/$1/maps")
	python3 - "$1" "$range" <<-'END_OF_SCRIPT'
		import hashlib, sys
		low, high = (int(x, 16) for x in sys.argv[2].split("-"))
		with open(f"/proc/{sys.argv[1]}/mem", "rb") as memory:
		    memory.seek(low)
		    print(hashlib.sha256(memory.read(high - low)).hexdigest())
	END_OF_SCRIPT
}

# progress N: waits for the workload's N-th answer to "count"; WORK is how much it has done.
progress() {
	local deadline=$((SECONDS + LIMIT))

	say count
	until (($(grep -c '^count ' "$WL_OUT") >= $1)); do
		if ! kill -0 "$WL_PID" || ((SECONDS >= deadline)); then
			echo "the workload does not answer"
			return 1
		fi
		sleep 0.02
	done
	WORK=$(awk '/^count /{n = $2} END {print n}' "$WL_OUT")
}

# random_ms N: sleeps below N ms.
random_ms() {
	sleep "$(printf '0.%03d' $((RANDOM % $1)))"
}

# One life of heaptap: starting, attaching, counting, and in one of three also ending.
kill_once() {
	start_heaptap leaks -p "$WL_PID" --json --link "$1"
	random_ms 500
	if ((RANDOM % 3 == 0)); then
		kill -INT "$HT_PID" 2>/dev/null || true
		random_ms 80
	fi
	kill -KILL "$HT_PID" 2>/dev/null || true
	wait_exit "$HT_PID"
}

# What must hold between two lives of heaptap; BEFORE_* are of the time before the first one. The
# kernel frees programs and links a moment after the process is gone.
nothing_is_left() {
	local deadline=$((SECONDS + LIMIT)) programs links

	while programs=$(our_programs) links=$(our_links) &&
		{ news_of "$BEFORE_PROGRAMS" "$programs" || news_of "$BEFORE_LINKS" "$links"; }; do
		if ((SECONDS >= deadline)); then
			echo "left: programs $programs, links $links"
			return 1
		fi
		sleep 0.05
	done
	[[ $programs && $links ]] || return 1
	[[ $(text_of "$WL_PID") == "$BEFORE_TEXT" ]] || {
		echo "the text of the target has changed"
		return 1
	}
}

# kill_rounds N: N kills, the kinds of link in turn; after each the target works on.
kill_rounds() {
	local kinds=(session multi perf) kind round before=0

	RANDOM=$1
	start_workload oracle --events 0 --threads 2 --truth "$TRUTH"
	say go
	BEFORE_TEXT=$(text_of "$WL_PID")
	BEFORE_PROGRAMS=$(our_programs)
	BEFORE_LINKS=$(our_links)
	for ((round = 1; round <= $1; round++)); do
		kind=${kinds[round % ${#kinds[@]}]}
		kill_once "$kind"
		nothing_is_left || {
			echo "after kill $round, $kind links"
			return 1
		}
		progress "$round"
		((WORK > before))
		before=$WORK
	done
	for kind in "${kinds[@]}"; do
		HEAPTAP_LINK=$kind attach
		detach
		last '.totals.alloc_count > 0 and .mode.link == $kind' --arg kind "$kind"
		compare --identity-only
	done
	nothing_is_left
	say stop
	wait_done
	quit_workload
}
