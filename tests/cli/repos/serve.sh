# serve with less than every right: append-only, and one repo of several. The stand-in for ssh runs a forced command, as authorized_keys has it.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; sed 's/^/    /' said; fi; }
cat >ssh <<'SH'
exec voxtrail serve --store "$T/far" $RIGHTS
SH
export VOXTRAIL_SSH="sh $T/ssh" VOXTRAIL_STORE=$T/st
id() { voxtrail log "$1" -n 1 --json --store "$2" 2>/dev/null | "$PYTHON" -c 'import json,sys; print(json.load(sys.stdin)[0]["commit"])'; }
mkdir a b && echo open >a/x && echo hidden >b/y
voxtrail commit a a --copy --store far >/dev/null 2>said && voxtrail commit b b --copy --store far >/dev/null 2>said && voxtrail tag a v1 --store far >/dev/null; ok $? "a store with two repos"

# --- append-only
export RIGHTS=--append-only
voxtrail pull a far:x >said 2>&1; ok $? "append-only: pull"
echo more >a/x2 && voxtrail commit a a --copy >/dev/null 2>said && voxtrail push a far:x >said 2>&1 && [ "$(id a st)" = "$(id a far)" ]; ok $? "append-only: a push that goes forward"
voxtrail branch a master master~1 --force >/dev/null 2>said; echo other >a/x3; voxtrail commit a a --copy >/dev/null 2>said; before=$(id a far)
voxtrail push a far:x >said 2>&1; [ $? = 1 ] && [ "$(id a far)" = "$before" ]; ok $? "append-only: not one that goes elsewhere"
voxtrail push a far:x --force >said 2>&1; [ $? = 64 ] && grep -q 'forward only' said && [ "$(id a far)" = "$before" ]; ok $? "append-only: not with --force either"
voxtrail tag a v1 master --force >/dev/null 2>said; voxtrail push a@v1 far:x --force >said 2>&1; [ $? = 64 ] && [ "$(id a@v1 far)" != "$(id a st)" ]; ok $? "append-only: no tag moves"
mkdir -p e/sub-1 e/sub-2 && echo one >e/sub-1/f && echo two >e/sub-2/f && voxtrail commit e e --copy >/dev/null 2>said && voxtrail erase sub-1 --yes --reason r >/dev/null 2>said
voxtrail push e far:x >said 2>&1; [ $? = 64 ] && grep -q 'no erasures' said && [ ! -e far/proposed ]; ok $? "append-only: no erasure is proposed"
"$PYTHON" - "$before" <<'P' >said 2>&1
# a client of its own that tries what ours does not
import os, subprocess, sys
def session(*lines):
    p = subprocess.run(["voxtrail", "serve", "--store", os.environ["T"] + "/far", *os.environ["RIGHTS"].split()], input="".join(l + "\n" for l in lines), capture_output=True, text=True)
    return p.stdout.split("\n")[1:]
h = sys.argv[1]
assert session(f"move a heads/master {h} {h} force")[0].startswith("no 64"), "a forced move"
assert session("bury " + 64 * "0" + " 3 court order")[0].startswith("no 64"), "a burial"
assert session("put results " + 64 * "1" + " 2", "{}", "flush")[0].startswith("no 64"), "a result"
P
ok $? "append-only: a client of its own neither forces nor buries nor replaces"
voxtrail verify --store far >said 2>&1; ok $? "the store is as it should be"
serve() { voxtrail serve --store far >said 2>&1; }
: | serve; [ $? = 0 ]; ok $? "no request is the end of a session"
head -c 5000000 /dev/zero | tr '\0' x | serve; [ $? = 65 ] && grep -aq '^no 65 .*line of more than' said; ok $? "a line without an end is a refused request, status 65"
printf flu | serve; [ $? = 74 ] && grep -q '^no 74 .*ended too early' said; ok $? "half a request: status 74"
echo nonsense here | serve; [ $? = 65 ] && grep -q '^no 65 "nonsense" is not a request' said; ok $? "what is not a request: status 65"

# --- one repo
export RIGHTS="--repo a"
rm -rf st; voxtrail pull --all far:x >said 2>&1 && [ "$(voxtrail log 2>/dev/null | grep -c .)" -ge 1 ] && ! voxtrail log b >/dev/null 2>&1; ok $? "--repo: pull --all gives the shown repo alone"
voxtrail pull b far:x >said 2>&1; [ $? = 66 ]; ok $? "--repo: the other is not there"
voxtrail verify >said 2>&1 && voxtrail checkout a co >said 2>&1; ok $? "--repo: what was pulled is whole"
secret=$(sha256sum <b/y | cut -c1-64) commit=$(id b far)
"$PYTHON" - "$secret" "$commit" "$(id a far)" <<'P' >said 2>&1
import os, subprocess, sys
def session(*lines, rights=os.environ["RIGHTS"]):
    p = subprocess.run(["voxtrail", "serve", "--store", os.environ["T"] + "/far", *rights.split()], input="".join(l + "\n" for l in lines), capture_output=True, text=True)
    return p.stdout.split("\n")[1:]
secret, commit, own = sys.argv[1:]
assert "hidden" in "".join(session("get 1", f"objects {secret}", rights="")), "the object is there"
assert session("get 1", f"objects {secret}")[0].startswith("no 66"), "whoever knows its digest"
assert session("get 1", f"commits {commit}")[0].startswith("no 66")
assert session("missing 2", f"objects {secret}", "objects " + 64 * "7")[:3] == ["ok 2", *sorted([f"objects {secret}", "objects " + 64 * "7"], key=lambda n: n != f"objects {secret}")], "no word of what is there"
assert session("history 1", commit)[0] == "ok 0" and session("history 1", own)[0] != "ok 0"
assert session("refs *")[0] in ("ok 1", "ok 2", "ok 3") and not any(l.startswith("b ") for l in session("refs *"))
assert session("vouchers 1", commit)[0] == "ok 0" and session("erased 1", f"objects {secret}")[0] == "ok 0" and session("unsound 1", f"commits {commit}")[0] == "ok 0"
w = os.environ["RIGHTS"] + " --write"
assert session(f"move b heads/master {commit} {own} force", rights=w)[0].startswith("no 64"), "another repo is not moved"
assert session(f"move a heads/stolen - {commit} force", rights=w)[0].startswith("no 66"), "a commit of another repo gets no name here"
P
ok $? "--repo: no digest opens what the repo does not reach"
export RIGHTS="--repo a --write"; echo again >a/x4; voxtrail commit a a --copy >/dev/null 2>said; cp b/y a/same; voxtrail commit a a --copy >/dev/null 2>said
voxtrail push a far:x >said 2>&1 && [ "$(id a st)" = "$(id a far)" ] && voxtrail verify --store far >said 2>&1; ok $? "--repo --write: a push, also of bytes that another repo has"
voxtrail push e far:x --store st >said 2>&1; voxtrail commit c b --copy >/dev/null 2>said; voxtrail push c far:x >said 2>&1; [ $? = 64 ] && grep -q 'other repos' said; ok $? "--repo --write: no other repo is made"
