# Another program holds lineage.db locked: a commit says that it waits, ends with 75, and nothing is half done.
set -u
cd "$T" || exit 1
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; fi; }
export VOXTRAIL_STORE=$T/st VOXTRAIL_LOCK_WAIT=3
mkdir d && echo one >d/f && voxtrail commit r d >/dev/null && echo two >d/g || exit 1
mkfifo go
"$PYTHON" - <<'P' &
import sqlite3
c = sqlite3.connect("st/lineage.db", isolation_level=None); c.execute("PRAGMA locking_mode = EXCLUSIVE"); c.execute("BEGIN EXCLUSIVE")
c.execute("CREATE TABLE other (x)"); open("held", "w").close(); open("go").read(); c.execute("ROLLBACK"); c.close()
P
p=$!
while [ ! -e held ]; do sleep 0.05; done
voxtrail commit r d >out 2>err; rc=$?
[ $rc = 75 ] && grep -q 'another program has held it locked for 3 s; try again' err; ok $? "commit ends with 75 and says why (got $rc: $(tail -n 1 err))"
grep -q 'waiting.*lineage.db' err; ok $? "and said meanwhile that it waits"
[ "$(find st/commits -type f | wc -l)" = 1 ]; ok $? "no commit was made"
(sleep 0.6; echo >go) & 
VOXTRAIL_LOCK_WAIT=60 voxtrail commit r d >out 2>err; rc=$?
wait $p
[ $rc = 0 ] && [ "$(find st/commits -type f | wc -l)" = 2 ] && voxtrail verify >/dev/null; ok $? "given time, it commits when the other is done"
