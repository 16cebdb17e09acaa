# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by the tests
#
# Programs of other people and load on them. Also sourced by tests/bench/programs.sh. A start_NAME
# returns once the program serves, with load on it until stop_load; PROGRAM_PID is the process.

PROGRAM_DIR=${PROGRAM_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/programs}
CYCLES=${CYCLES:-20}

# until_true COMMAND...: polls; fails when PROGRAM_PID ends before.
until_true() {
	local deadline=$((SECONDS + LIMIT))

	until "$@" >/dev/null 2>&1; do
		if ! kill -0 "$PROGRAM_PID" 2>/dev/null || ((SECONDS >= deadline)); then
			echo "never true: $*"
			return 1
		fi
		sleep 0.05
	done
}

# Servers have children, which outlive them when they are killed.
descendants() {
	local child

	for child in $(pgrep -P "$1"); do
		descendants "$child"
		echo "$child"
	done
}

eval "plain_$(declare -f teardown)"
teardown() {
	local pid all=()

	for pid in "${STARTED[@]}"; do
		# shellcheck disable=SC2207 # numbers
		all+=($(descendants "$pid"))
	done
	plain_teardown
	((${#all[@]} == 0)) || kill -KILL "${all[@]}" 2>/dev/null || true
	[[ -z ${POSTGRES_DIR:-} ]] || rm -rf "$POSTGRES_DIR"
}

# background NAME COMMAND...: BACKGROUND_PID; output and errors in NAME.out and NAME.err.
background() {
	local base=$BATS_TEST_TMPDIR/$1

	shift
	"$@" <"${INPUT:-/dev/null}" >"$base.out" 2>"$base.err" 3>&- &
	BACKGROUND_PID=$!
	started "$BACKGROUND_PID"
}

# program NAME COMMAND...: the one that is to be traced.
program() {
	background "$@"
	PROGRAM_PID=$BACKGROUND_PID
	PROGRAM_OUT=$BATS_TEST_TMPDIR/$1.out
}

# load_with COMMAND...: goes on until stop_load. The command ends when $STOP is there; it could not
# see that in bats' directory under another user.
load_with() {
	export STOP=${STOP:-$BATS_TEST_TMPDIR/stop}
	background load "$@"
	LOAD_PID=$BACKGROUND_PID
}

# again_and_again COMMAND...: what load_with may run; ends with the first failure.
again_and_again() {
	while [[ ! -e $STOP ]]; do
		"$@" || return 1
	done
}

stop_load() {
	kill -0 "$LOAD_PID" || echo "the load has ended by itself"
	touch "$STOP"
	expect_exit "$LOAD_PID" 0
}

# --- attach, report, detach -----------------------------------------------------------------------

# sound PID: what holds for every report of a program that nobody here wrote. In one jq, for there are many.
sound() {
	# shellcheck disable=SC2016 # jq's own dollars
	last '.totals as $t | .health as $h | .ended == "duration" and .target.pid == $pid and $t.alloc_count > 0
		and $t.alloc_count == $t.live_count + $t.free_count + $t.lost_count
		and $t.alloc_bytes == $t.live_bytes + $t.free_bytes + $t.lost_bytes
		and $t.lost_count == 0 and ([$h.lost[]] | add) == 0 and $h.missed_events == 0
		and $h.removed_probes == 0 and $t.in_flight == 0
		and ([.stacks[].live_count] | add) == $t.live_count' --argjson pid "$1"
}

# cycle PID
cycle() {
	start_heaptap leaks -p "$1" --no-follow --mode exact --json --for 200ms --every 1h
	expect_exit "$HT_PID" 0
	sound "$1"
	kill -0 "$1"
	nothing_left "$1"
}

cycles() {
	local i

	for ((i = 0; i < CYCLES; i++)); do
		cycle "$1"
	done
}

# cycles_of COMMAND: of processes that come and go, whose newest the command prints. One that ends
# before heaptap counts, or while it does, is no cycle.
cycles_of() {
	local i=0 tries=0 pid deadline=$((SECONDS + 2 * LIMIT))

	while ((i < CYCLES)); do
		((SECONDS < deadline))
		kill -0 "$LOAD_PID"
		pid=$("$1") || {
			sleep 0.02
			continue
		}
		tries=$((tries + 1))
		start_heaptap leaks -p "$pid" --no-follow --mode exact --json --for 200ms --every 1h
		wait_exit "$HT_PID"
		if ((STATUS)); then
			((STATUS == 4))
			continue
		fi
		# It may end while tracing does: its last report is sound too, but for what its threads
		# were in the middle of.
		last '.ended == "duration" and .totals.in_flight == 0 and .totals.alloc_count > 0' >/dev/null || continue
		sound "$pid"
		i=$((i + 1))
	done
	echo "$CYCLES cycles of $tries attaches"
}

# --- redis ----------------------------------------------------------------------------------------

redis() {
	redis-cli -s "$BATS_TEST_TMPDIR/redis.sock" "$@"
}

serve_redis() {
	program redis redis-server --port 0 --unixsocket "$BATS_TEST_TMPDIR/redis.sock" --save '' --appendonly no \
		--dir "$BATS_TEST_TMPDIR"
	until_true redis ping
}

start_redis() {
	serve_redis
	redis set marker "still here" >/dev/null
	load_with again_and_again redis-benchmark -s "$BATS_TEST_TMPDIR/redis.sock" -q -n 20000 -c 20 -r 10000 \
		-d 300 -t set,get,incr,lpush,lpop,sadd,hset,zadd,lrange_100
}

# --- nginx ----------------------------------------------------------------------------------------

serve_nginx() {
	local dir=$BATS_TEST_TMPDIR

	PORT=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	mkdir -p "$dir/www"
	seq 5000 >"$dir/www/index.html"
	cat >"$dir/nginx.conf" <<-END
		daemon off;
		user root;
		worker_processes 1;
		pid $dir/nginx.pid;
		error_log stderr notice;
		events { worker_connections 256; }
		http {
			log_format status \$status;
			access_log $dir/access.log status;
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			gzip on;
			gzip_types *;
			server {
				listen 127.0.0.1:$PORT;
				root $dir/www;
			}
		}
	END
	program nginx nginx -c "$dir/nginx.conf" -e stderr
	until_true bash -c "exec 9<>/dev/tcp/127.0.0.1/$PORT"
}

start_nginx() {
	serve_nginx
	load_with again_and_again wrk -t 1 -c 8 -d 2s -H 'Accept-Encoding: gzip' "http://127.0.0.1:$PORT/"
}

# --- sqlite3 --------------------------------------------------------------------------------------

# One import that lasts as long as the load: its file is a pipe.
start_sqlite() {
	local rows=$BATS_TEST_TMPDIR/rows

	mkfifo "$rows"
	printf '%s\n' 'create table t(a integer, b text, c real); create index i on t(b);' '.mode csv' \
		".import $rows t" >"$BATS_TEST_TMPDIR/commands"
	INPUT=$BATS_TEST_TMPDIR/commands program sqlite sqlite3 "$BATS_TEST_TMPDIR/db"
	load_with /usr/bin/python3 "$PROGRAM_DIR/rows.py" "$rows"
}

# --- programs that work until they are told ------------------------------------------------------------

# start_worker COMMAND...: ends when $STOP is there, says "ROUNDS rounds, 0 wrong", and exits with 0.
start_worker() {
	export STOP=${STOP:-$BATS_TEST_TMPDIR/stop}
	program worker "$@"
	wait_line "$PROGRAM_OUT" '^ready' "$PROGRAM_PID"
}

finish_worker() {
	touch "$STOP"
	expect_exit "$PROGRAM_PID" 0
	grep -E '^[1-9][0-9]* rounds, 0 wrong$' "$PROGRAM_OUT"
}

# --- postgres -------------------------------------------------------------------------------------

sql() {
	"${AS_POSTGRES[@]}" psql -h "$POSTGRES_DIR" -U postgres -qAtX -v ON_ERROR_STOP=1 "$@"
}

start_postgres() {
	local bin

	# shellcheck disable=SC2012 # version numbers
	bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
	[[ -x $bin/initdb ]] || skip "postgresql is not installed"
	# It refuses to run as root, and only root may look into bats' directory.
	POSTGRES_DIR=$(mktemp -d /tmp/heaptap-postgres.XXXXXX)
	chown nobody:nogroup "$POSTGRES_DIR"
	AS_POSTGRES=(setpriv --reuid nobody --regid nogroup --clear-groups env "HOME=$POSTGRES_DIR")
	STOP=$POSTGRES_DIR/stop
	"${AS_POSTGRES[@]}" "$bin/initdb" -D "$POSTGRES_DIR/data" -U postgres -A trust --no-sync >"$BATS_TEST_TMPDIR/initdb.out"
	program postgres "${AS_POSTGRES[@]}" "$bin/postgres" -D "$POSTGRES_DIR/data" -k "$POSTGRES_DIR" -c listen_addresses= \
		-c fsync=off
	until_true sql -c 'select 1'
}

stop_postgres() {
	kill -INT "$PROGRAM_PID"
	expect_exit "$PROGRAM_PID" 0
	refute grep -E 'PANIC|FATAL|terminated by signal' "$BATS_TEST_TMPDIR/postgres.err"
}

start_backend() {
	load_with "${AS_POSTGRES[@]}" bash "$PROGRAM_DIR/queries.sh" "$POSTGRES_DIR"
	wait_line "$BATS_TEST_TMPDIR/load.out" '^backend [0-9]+$' "$LOAD_PID"
	BACKEND_PID=$(awk '/^backend/{print $2; exit}' "$BATS_TEST_TMPDIR/load.out")
}

# Every query has the same answer: the md5 of the sorted md5s of 1 to 20000.
stop_backend() {
	stop_load
	grep -v '^backend' "$BATS_TEST_TMPDIR/load.out" | sort -u >"$BATS_TEST_TMPDIR/answers"
	[ "$(cat "$BATS_TEST_TMPDIR/answers")" = '20000|451aa099d7b99ee33c1c5ed1fd2dcd92' ]
	[ ! -s "$BATS_TEST_TMPDIR/load.err" ]
}

start_pgbench() {
	"${AS_POSTGRES[@]}" pgbench -h "$POSTGRES_DIR" -U postgres -i -q -s 1 postgres 2>"$BATS_TEST_TMPDIR/pgbench.err"
	load_with again_and_again "${AS_POSTGRES[@]}" pgbench -h "$POSTGRES_DIR" -U postgres -C -c 2 -t 50 postgres
}

# --- node -----------------------------------------------------------------------------------------

serve_node() {
	program node node "$PROGRAM_DIR/server.js"
	wait_line "$PROGRAM_OUT" '^listening [0-9]+$' "$PROGRAM_PID"
	PORT=$(awk '/^listening/{print $2}' "$PROGRAM_OUT")
}

start_node() {
	serve_node
	load_with again_and_again wrk -t 1 -c 8 -d 2s "http://127.0.0.1:$PORT/"
}

# --- git ------------------------------------------------------------------------------------------

# Generated, and the same each time: 300 commits on 60 files of text.
make_repository() {
	REPOSITORY=$BATS_TEST_TMPDIR/repository
	git init -q -b main "$REPOSITORY"
	/usr/bin/python3 "$PROGRAM_DIR/history.py" | git -C "$REPOSITORY" fast-import --quiet
	OBJECTS=$(git -C "$REPOSITORY" rev-list --all --objects | sort | sha256sum)
}

collect_garbage() {
	local failures=0

	until [[ -e $STOP ]]; do
		git -C "$REPOSITORY" -c pack.threads=2 gc --quiet --aggressive --prune=now ||
			failures=$((failures + 1))
	done
	echo "gc failures: $failures"
}

start_gc() {
	load_with collect_garbage
}

# The process that a gc spends its time in.
git_pack_objects() {
	local pid

	for pid in $(descendants "$LOAD_PID"); do
		if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q ' pack-objects '; then
			echo "$pid"
			return 0
		fi
	done
	return 1
}
