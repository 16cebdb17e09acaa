#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One session of PostgreSQL, in the directory given, that asks the same until the file $STOP is there.
set -eu
{
	echo "select 'backend ' || pg_backend_pid();"
	until [ -e "$STOP" ]; do
		echo "select count(*), md5(string_agg(t, '' order by t)) from (select md5(i::text) t from generate_series(1, 20000) i) x;"
	done
} | psql -h "$1" -U postgres -qAtX -v ON_ERROR_STOP=1
