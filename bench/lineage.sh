#!/bin/sh
# bench/lineage.sh [RUNS]: an index of 200,000 executions and a million files, made from its records, and what questions cost.
# Needs about 3 GB below TMPDIR and some minutes.  Targets: index in minutes, ancestors of a checkpoint of 100 generations 0.4 s,
# a withdrawn subject 0.1 s, a cache probe 0.1 ms.
set -eu
cd "$(dirname "$0")/.."
B=${B:-build/release}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
"$B/bench/lineage" make "$dir/st" "${1:-200000}"
rm -f "$dir"/st/lineage.db*
start=$(date +%s)
("$B/bin/voxtrail" rebuild --store "$dir/st"; times | tail -1 | sed 's/^/processor time (user, system): /')
echo "index from records in $(($(date +%s) - start)) s, $(du -m "$dir/st/lineage.db" | cut -f1) MiB"
/usr/bin/python3 - "$dir/st/lineage.db" >"$dir/list" <<'P'
import sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print("%d files, %d executions, %d edges" % tuple(db.execute("SELECT (SELECT count(*) FROM artifact), (SELECT count(*) FROM record), (SELECT count(*) FROM edge)").fetchone()), file=sys.stderr)
ends = "SELECT lower(hex(id)) FROM record r WHERE stage = 'train' AND %s (SELECT 1 FROM edge e JOIN record o ON o.n = e.%s WHERE e.%s = r.n AND o.stage = 'train') LIMIT 20"
for letter, sql in (("l", ends % ("NOT EXISTS", "child", "parent")), ("f", ends % ("NOT EXISTS", "parent", "child")),
                    ("d", "SELECT lower(hex(derivation)) FROM record WHERE n % 9973 = 1 LIMIT 20")):
    for row in db.execute(sql):
        print(letter, row[0])
P
"$B/bench/lineage" ask "$dir/st" "$dir/list"
