# Commits are objects and refs are files: history is what its digests say, survives the database, and is named without ambiguity.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; [ -f said ] && sed 's/^/    /' said; fi; }
export VOXTRAIL_STORE=$T/st
id() { voxtrail log "$1" -n 1 --json | "$PYTHON" -c 'import json,sys; print(json.load(sys.stdin)[0]["commit"])'; }
mkdir d && echo one >d/a && echo two >d/b
SOURCE_DATE_EPOCH=1767225600 voxtrail commit scans d -m "erste Aufnahme: ä \"q\"" --author "A. Nurse <a@example.org>" >said; ok $? "first commit"
voxtrail commit scans d -m again >said; grep -q 'nothing changed' said && [ "$(voxtrail log scans | wc -l)" = 1 ]
ok $? "nothing changed: no commit, and the dropped message is mentioned"
rm -f d/a; echo three >d/c; voxtrail commit scans d -m second >/dev/null
voxtrail commit scans d -m "on purpose" --allow-empty >/dev/null
voxtrail log scans >said; [ "$(wc -l <said)" = 3 ] && sed -n 1p said | grep -q 'on purpose' && sed -n 3p said | grep -q '2026-01-01 00:00:00Z.*erste Aufnahme: ä "q"  -- A. Nurse <a@example.org>'
ok $? "log prints times, messages and authors, newest first"

"$PYTHON" - "$T/st" >said 2>&1 <<'PY'
import hashlib, json, os, subprocess, sys
store = sys.argv[1]
head = open(f"{store}/refs/scans/heads/master").read()
assert len(head) == 65 and head[64] == "\n"
seen, at = [], head.strip()
while at:
    raw = open(f"{store}/commits/{at[:2]}/{at[2:]}", "rb").read()
    assert hashlib.sha256(raw).hexdigest() == at
    c = json.loads(raw)
    assert json.dumps(c, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == raw
    assert os.path.exists(f"{store}/trees/{c['tree'][:2]}/{c['tree'][2:]}")
    seen.append(c)
    at = c["parents"][0] if c["parents"] else ""
assert [c["message"] for c in seen] == ["on purpose", "second", 'erste Aufnahme: ä "q"']
assert seen[2]["time"] == 1767225600 and seen[2]["author"].startswith("A. Nurse") and "author" not in seen[0]
log = json.loads(subprocess.check_output(["voxtrail", "log", "scans", "--json"]))
assert [(c["commit"], c["tree"]) for c in log] == [(i, c["tree"]) for i, c in zip([head.strip()] + [p for c in seen for p in c["parents"]], seen)]
assert log[0]["refs"] == ["heads/master"] and log[1]["refs"] == []
PY
ok $? "an independent reader finds the same chain, each object named by the SHA-256 of canonical JSON"

voxtrail log scans >before; voxtrail log >repos
rm -f st/lineage.db*; mkdir e && echo x >e/x
voxtrail commit other e >/dev/null; voxtrail log scans >said; cmp -s said before && voxtrail checkout scans~2 old >/dev/null && [ "$(cat old/a)" = one ]
ok $? "history and files survive the loss of the database"
voxtrail verify >/dev/null; ok $? "verify"
cp -r st twin; c=$(id scans@master~1); f=twin/commits/$(echo $c | cut -c1-2)/$(echo $c | cut -c3-)
chmod u+w "$f"; sed -i s/second/socond/ "$f"
voxtrail verify --store twin >said 2>&1; [ $? = 76 ] && grep -q "$(basename "$f")" said; ok $? "a changed commit is found and named"
voxtrail log scans --store twin >said 2>&1; [ $? = 76 ]; ok $? "log refuses it"
rm -f "$f"; voxtrail verify --store twin >said 2>&1; [ $? = 76 ] && grep -q "parent $c is missing" said; ok $? "a missing commit is named"
echo nonsense >twin/refs/scans/heads/master; voxtrail log scans --store twin >said 2>&1; [ $? = 76 ] && grep -q refs/scans/heads/master said
ok $? "a ref of nonsense is refused with its path"

no() { voxtrail log "$1" >said 2>&1; [ $? = "$2" ] && grep -q -- "$3" said; ok $? "log $1: exit $2, \"$3\""; }
no nothing 66 'no such repo'
no scans@nobranch 66 'it has master'
no scans~9 66 'only 2 commits before'
no scans@ 64 'write REPO'
no scans~x 64 'write REPO'
no ../scans 64 'write REPO'
no "$(printf 'scans@%.12s' "$(id other)")" 66 'no branch, tag or commit'
p=$(id scans~1 | cut -c1-10); voxtrail log "scans@$p" >said && [ "$(wc -l <said)" = 2 ]; ok $? "a commit by the first digits of its id"
voxtrail commit scans@../x e >said 2>&1; [ $? = 64 ]; ok $? "a branch name that is a path is refused"
SOURCE_DATE_EPOCH=soon voxtrail commit other d >said 2>&1; [ $? = 64 ] && grep -q soon said; ok $? "SOURCE_DATE_EPOCH must be a number"
voxtrail commit other d -m "$(printf 'bad \377')" >said 2>&1; [ $? = 64 ]; ok $? "a message that is no UTF-8 is refused"
i=0; while [ $i -lt 6 ]; do mkdir p$i; echo $i >p$i/f; voxtrail commit race p$i -m "p$i" >/dev/null 2>&1 & i=$((i + 1)); done; wait
[ "$(voxtrail log race | wc -l)" = 6 ]; ok $? "six writers at once: six commits in one chain"
