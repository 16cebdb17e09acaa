// SPDX-License-Identifier: GPL-2.0-or-later
#include "schema.h"

#include "../base/cleanup.h"

/* clang-format off */
const struct schema_table schema_tables[] = {
{ "meta", "CREATE TABLE meta(                   -- about the recording\n"
"  key TEXT PRIMARY KEY, value) WITHOUT ROWID" },
{ "target", "CREATE TABLE target(               -- a program image of one process: exec begins another\n"
"  id INTEGER PRIMARY KEY,\n"
"  pid INTEGER, comm TEXT, exe TEXT, cgroup TEXT,\n"
"  start_ns INTEGER,                           -- when the process began, ns since 1970\n"
"  armed_ns INTEGER,                           -- when counting began\n"
"  mode TEXT, mode_why TEXT, link TEXT,\n"
"  label TEXT,                                 -- record --label\n"
"  ended TEXT,                                 -- why the recording of it ended; NULL: it goes on, or was killed\n"
"  ended_ns INTEGER)" },
{ "module", "CREATE TABLE module(               -- a mapped file\n"
"  id INTEGER PRIMARY KEY, path TEXT, build_id TEXT,\n"
"  allocator TEXT                              -- NULL: defines none that is traced\n)" },
{ "target_module", "CREATE TABLE target_module(\n"
"  target INTEGER, module INTEGER, PRIMARY KEY(target, module)) WITHOUT ROWID" },
{ "string", "CREATE TABLE string(id INTEGER PRIMARY KEY, text TEXT)" },
{ "frame", "CREATE TABLE frame(                 -- a place in code\n"
"  id INTEGER PRIMARY KEY,\n"
"  module INTEGER,                             -- NULL: in no file\n"
"  kind TEXT,                                  -- native, python, jit, kernel, unknown\n"
"  address INTEGER,                            -- in the module; of the call instruction's last byte\n"
"  instruction INTEGER,                        -- its first byte; NULL: not looked up yet\n"
"  function_offset INTEGER                     -- of that, from the start of the outermost function\n)" },
{ "name", "CREATE TABLE name(                   -- of a frame: level 0 is inlined into 1, and so on\n"
"  frame INTEGER, level INTEGER,\n"
"  function INTEGER, file INTEGER,             -- strings; NULL: unknown\n"
"  line INTEGER, PRIMARY KEY(frame, level)) WITHOUT ROWID" },
{ "stack", "CREATE TABLE stack(\n"
"  id INTEGER PRIMARY KEY,\n"
"  hash INTEGER,                               -- of build ids and addresses: the same in every recording\n"
"  flags INTEGER                               -- 1: truncated, 2: at the greatest depth\n)" },
{ "stack_frame", "CREATE TABLE stack_frame(     -- depth 0 is the allocator's caller\n"
"  stack INTEGER, depth INTEGER, frame INTEGER, PRIMARY KEY(stack, depth)) WITHOUT ROWID" },
{ "site", "CREATE TABLE site(                   -- what figures are about\n"
"  id INTEGER PRIMARY KEY, target INTEGER, stack INTEGER,\n"
"  domain TEXT,                                -- heap, mmap, python\n"
"  thread INTEGER                              -- 0: all of them\n)" },
{ "snapshot", "CREATE TABLE snapshot(           -- NULL: not known\n"
"  id INTEGER PRIMARY KEY, target INTEGER,\n"
"  keyframe INTEGER,                           -- the snapshot that its changes add up from; itself: from zero\n"
"  kind TEXT,                                  -- start, interval, mark, signal, peak, end\n"
"  label TEXT,\n"
"  time_ns INTEGER, elapsed_ns INTEGER,        -- since 1970; since counting began\n"
"  min_age_ns INTEGER,                         -- what \"aged\" means\n"
"  sampled INTEGER, sample_bytes INTEGER,      -- 1: figures are estimates\n"
"  filtered INTEGER,                           -- 1: some requests were not followed\n"
"  alloc_count INTEGER, alloc_bytes INTEGER, free_count INTEGER, free_bytes INTEGER,\n"
"  live_count INTEGER, live_bytes INTEGER, aged_count INTEGER, aged_bytes INTEGER,\n"
"  lost_count INTEGER, lost_bytes INTEGER,\n"
"  peak_live_bytes INTEGER,                    -- so far\n"
"  failed_count INTEGER, untracked_frees INTEGER, in_flight INTEGER, truncated_count INTEGER,\n"
"  events INTEGER, skew INTEGER, missed_events INTEGER, removed_probes INTEGER, abandoned_calls INTEGER,\n"
"  rss INTEGER, rss_anon INTEGER, rss_file INTEGER, rss_shmem INTEGER, pss INTEGER, swap INTEGER,\n"
"  cgroup_usage INTEGER, cgroup_limit INTEGER, -- bytes\n"
"  minor_faults INTEGER, major_faults INTEGER, cpu_ms INTEGER, threads INTEGER,\n"
"  mem_total INTEGER, mem_available INTEGER, host_cpu REAL)" },
{ "loss", "CREATE TABLE loss(                   -- totals so far\n"
"  snapshot INTEGER,\n"
"  kind TEXT,                                  -- lost: blocks; unattributed: of no stack; unwind: truncated stacks\n"
"  reason TEXT, count INTEGER, PRIMARY KEY(snapshot, kind, reason)) WITHOUT ROWID" },
{ "change", "CREATE TABLE change(               -- added to a site's figures since the snapshot before of its target\n"
"  id INTEGER PRIMARY KEY,                     -- snapshot << 24 | site: look for a range of it\n"
"  snapshot INTEGER AS (id >> 24), site INTEGER AS (id & 16777215),\n"
"  alloc_count INTEGER, alloc_bytes INTEGER, live_count INTEGER, live_bytes INTEGER,\n"
"  aged_count INTEGER, aged_bytes INTEGER,     -- live blocks of the minimum age\n"
"  temporary_count INTEGER, temporary_bytes INTEGER,\n"
"  oldest_ms INTEGER                           -- adds up to when the oldest live block was born, since counting began\n)" },
{ "change_detail", "CREATE TABLE change_detail( -- the same for what few sites have\n"
"  id INTEGER PRIMARY KEY, snapshot INTEGER AS (id >> 24), site INTEGER AS (id & 16777215),\n"
"  failed_count INTEGER,\n"
"  missing_count INTEGER, missing_bytes INTEGER, -- allocated - freed - live: lost, or under way\n"
"  alloc_count_variance REAL, alloc_bytes_variance REAL, free_count_variance REAL, free_bytes_variance REAL,\n"
"  live_count_variance REAL, live_bytes_variance REAL, aged_count_variance REAL, aged_bytes_variance REAL)" },
};
const size_t schema_table_count = ARRAY_SIZE(schema_tables);

const char schema_extras[] =
"CREATE INDEX snapshot_of_target ON snapshot(target, id);\n"
"CREATE VIEW places AS                         -- frames with names, a row a level\n"
"  SELECT f.id AS frame, coalesce(n.level, 0) AS level, fn.text AS function, fi.text AS file, n.line,\n"
"    m.path AS module, m.build_id, f.address, f.kind\n"
"  FROM frame f LEFT JOIN name n ON n.frame = f.id LEFT JOIN string fn ON fn.id = n.function\n"
"    LEFT JOIN string fi ON fi.id = n.file LEFT JOIN module m ON m.id = f.module;\n"
"CREATE VIEW stacks AS                         -- a stack in one line, the allocating call first\n"
"  SELECT s.id AS stack, printf('0x%016x', s.hash) AS hash, (s.flags & 1) AS truncated,\n"
"    (SELECT group_concat(text, ' < ') FROM (SELECT coalesce(p.function, printf('0x%x', p.address)) AS text\n"
"      FROM stack_frame sf JOIN places p ON p.frame = sf.frame WHERE sf.stack = s.id\n"
"      ORDER BY sf.depth, p.level)) AS calls\n"
"  FROM stack s;\n"
"CREATE VIEW figures AS                        -- WHERE snapshot = N: all sites at a snapshot\n"
"  SELECT s.id AS snapshot, c.site, sum(c.alloc_count) AS alloc_count, sum(c.alloc_bytes) AS alloc_bytes,\n"
"    sum(c.live_count) AS live_count, sum(c.live_bytes) AS live_bytes,\n"
"    sum(c.aged_count) AS aged_count, sum(c.aged_bytes) AS aged_bytes,\n"
"    sum(c.temporary_count) AS temporary_count, sum(c.temporary_bytes) AS temporary_bytes\n"
"  FROM snapshot s JOIN snapshot b ON b.target = s.target AND b.id BETWEEN s.keyframe AND s.id\n"
"    JOIN change c ON c.id BETWEEN b.id << 24 AND (b.id << 24) + 16777215\n"
"  GROUP BY s.id, c.site;\n"
"CREATE VIEW newest AS                         -- ORDER BY live_bytes DESC LIMIT 10: who holds the memory\n"
"  SELECT t.pid, t.comm, f.*, k.calls FROM (SELECT target, max(id) AS id FROM snapshot GROUP BY target) s\n"
"    JOIN target t ON t.id = s.target JOIN figures f ON f.snapshot = s.id\n"
"    JOIN site i ON i.id = f.site JOIN stacks k ON k.stack = i.stack;\n"
"CREATE VIEW timeline AS                       -- traced bytes and RSS side by side\n"
"  SELECT s.id AS snapshot, t.pid, strftime('%Y-%m-%dT%H:%M:%S', s.time_ns / 1000000000, 'unixepoch') AS time,\n"
"    s.kind, s.label, s.live_bytes, s.peak_live_bytes, s.rss, s.pss, s.swap, s.rss_anon, s.rss_file,\n"
"    s.cgroup_usage, s.cgroup_limit, s.mem_available\n"
"  FROM snapshot s JOIN target t ON t.id = s.target;\n";
/* clang-format on */
