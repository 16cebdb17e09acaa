# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the tests of whole stacks share. A test build of heaptap ships registers and 64 KiB of stack of
# each EVERY-th event, and libdwfl walks exactly those bytes; both through a pipe, for thousands of
# stacks are hundreds of megabytes.
#
#   EVENTS   stacks to compare a program
#   EVERY    of how many events each is one
#   TRUTHFUL the test build; TRUTH_WALK the program that compares

TRUTHFUL=${TRUTHFUL:-$ROOT/build/truth/heaptap}
TRUTH_WALK=${TRUTH_WALK:-$ROOT/build/truth/unwind}

# walk_truth PID [EVERY]: at least 99.5 % equal frame for frame, at least 99 % reach the root.
walk_truth() {
	local pid=$1 every=${2:-$EVERY} pipe=$BATS_TEST_TMPDIR/stacks$((++SERIAL)) walker

	[[ -x $TRUTHFUL && -x $TRUTH_WALK ]] || skip "the test build is not there: make TRUTH=1"
	mkfifo "$pipe"
	"$TRUTH_WALK" "$pid" "$pipe" "$EVENTS" 99.5 99 >"$pipe.out" 2>&1 3>&- &
	walker=$!
	started "$walker"
	HT_OUT=$pipe.json HT_ERR=$pipe.err
	HEAPTAP_TRUTH=$every:$EVENTS:$pipe timeout -s INT "$LIMIT" "$TRUTHFUL" leaks -p "$pid" \
		--mode exact --for 1h --every 1h --json </dev/null >"$HT_OUT" 2>"$HT_ERR" 3>&-
	wait_exit "$walker"
	grep ' events, ' "$pipe.out" | sed 's/^/# /' >&3
	if ((STATUS)); then
		tail -n 60 "$pipe.out"
		return 1
	fi
	last '.health.truncated_share <= 0.01'
}

# start_bare NAME [ARG...]: a workload built without frame pointers, which runs until its input ends.
start_bare() {
	[[ -x $WORKLOADS/$1 ]] || skip "$1 is not built"
	start_workload "$@"
}

# start_program NAME COMMAND...: in the background; PROGRAM_PID.
start_program() {
	local name=$1

	shift
	command -v "$1" >/dev/null || skip "no $1"
	"$@" </dev/null >"$BATS_TEST_TMPDIR/$name.out" 2>"$BATS_TEST_TMPDIR/$name.err" 3>&- &
	PROGRAM_PID=$!
	started "$PROGRAM_PID"
}

# wait_port PORT: until something listens.
wait_port() {
	local deadline=$((SECONDS + LIMIT))

	until (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
		((SECONDS < deadline)) || return 1
		sleep 0.05
	done
}

# free_port: a port that nothing listens on.
free_port() {
	local port

	for port in {21873..21999}; do
		(: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

python_stacks() {
	cat >"$BATS_TEST_TMPDIR/objects.py" <<'PYTHON'
import json, re, time

class Thing:
    def __init__(self, n):
        self.values = {i: str(i) * 20 for i in range(n)}

def down(n):
    return down(n - 1) + [n] if n else [bytearray(2000)]

print("ready", flush=True)
while True:
    json.loads(json.dumps([{"a": "x" * 600, "b": [1.5, 2, "q" * 700]}] * 20))
    re.sub(r"(\w+)x", lambda m: m.group(1) * 200, "abx " * 50)
    Thing(400)
    down(40)
    sorted(str(x) * 100 for x in range(100))
    exec(compile("x = [%s]" % ",".join(map(str, range(300))), "s", "exec"))
    time.sleep(0.0005)
PYTHON
	start_program python /usr/bin/python3.11 "$BATS_TEST_TMPDIR/objects.py"
	wait_line "$BATS_TEST_TMPDIR/python.out" '^ready' "$PROGRAM_PID"
}

redis_stacks() {
	local port

	command -v redis-benchmark >/dev/null || skip "no redis-benchmark"
	port=$(free_port)
	start_program redis redis-server --port "$port" --save '' --appendonly no
	wait_port "$port"
	redis-benchmark -p "$port" -q -l -n 1000000 -r 10000 -d 500 \
		-t set,lpush,hset,zadd,sadd,lrange_100 >/dev/null 2>&1 3>&- &
	started $!
}

nginx_stacks() {
	local dir=$BATS_TEST_TMPDIR/nginx port

	command -v ab >/dev/null || skip "no ab"
	port=$(free_port)
	mkdir -p "$dir"
	head -c 20000 /etc/services >"$dir/page.txt"
	cat >"$dir/nginx.conf" <<-CONF
		worker_processes 1; daemon off; pid $dir/pid; error_log $dir/error.log; user root;
		events { worker_connections 256; }
		http {
			access_log $dir/access.log; gzip on; gzip_min_length 1; gzip_types *;
			client_body_temp_path $dir/body; proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi; uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			server { listen 127.0.0.1:$port; root $dir; }
		}
	CONF
	start_program nginx nginx -c "$dir/nginx.conf" -p "$dir" -e "$dir/error.log"
	wait_port "$port"
	PROGRAM_PID=$(pgrep -P "$PROGRAM_PID" | head -n 1)
	started "$PROGRAM_PID"
	ab -q -r -c 8 -t 600 -n 100000000 -H 'Accept-Encoding: gzip' \
		"http://127.0.0.1:$port/page.txt" >/dev/null 2>&1 3>&- &
	started $!
}

sqlite_stacks() {
	command -v sqlite3 >/dev/null || skip "no sqlite3"
	cat >"$BATS_TEST_TMPDIR/load.sh" <<'SH'
while cat <<'SQL'
create table if not exists t(a integer primary key, b text, c text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000)
	insert into t(b, c) select printf('%d text %d', i, i * 7), hex(randomblob(40)) from n;
select count(*), max(c) from t where b like '%9%' group by substr(c, 1, 3) order by 2 limit 3;
create index x on t(c);
select sum(length(g)) from (select group_concat(b) as g from t group by a % 50);
select json_group_array(json_object('a', a, 'b', b)) from t where a % 17 = 0 limit 1;
drop index x;
delete from t;
SQL
do :; done
SH
	sh "$BATS_TEST_TMPDIR/load.sh" 2>/dev/null 3>&- | exec sqlite3 :memory: >/dev/null 2>&1 3>&- &
	started $!
	PROGRAM_PID=$!
}
