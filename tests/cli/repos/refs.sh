# Branches and tags: made, moved, removed, listed; names that can mean two things are refused.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; [ -f said ] && sed 's/^/    /' said; fi; }
export VOXTRAIL_STORE=$T/st
id() { voxtrail log "$1" -n 1 --json | "$PYTHON" -c 'import json,sys; print(json.load(sys.stdin)[0]["commit"])'; }
for i in 1 2 3; do mkdir d$i; echo $i >d$i/f; voxtrail commit scans d$i -m "m$i" >/dev/null; done
voxtrail branch scans trial master~1 >said && [ "$(id scans@trial)" = "$(id scans~)" ]; ok $? "a branch at master~1"
voxtrail tag scans v1.0 >said && [ "$(id scans@v1.0)" = "$(id scans)" ] && [ "$(id scans@tags/v1.0)" = "$(id scans)" ]; ok $? "a tag at the head"
voxtrail tag scans first master~2 >/dev/null; ok $? "a tag further back"
mkdir d4; echo 4 >d4/f; voxtrail commit scans@trial d4 -m "on trial" >/dev/null
[ "$(voxtrail log scans@trial | wc -l)" = 3 ] && [ "$(voxtrail log scans | wc -l)" = 3 ] && [ "$(id scans@trial~1)" = "$(id scans@v1.0~1)" ]
ok $? "the branches go their own ways from there"
[ "$(voxtrail log scans -n 2 | wc -l)" = 2 ]; ok $? "log -n"
voxtrail log scans | sed -n 1p | grep -q '(master, v1.0)'; ok $? "log shows the names a commit has"
[ "$(voxtrail log | tr '\n' ' ')" = "scans@master scans@trial " ]; ok $? "log without a repo lists branches"
voxtrail branch scans --json | "$PYTHON" -c 'import json,sys; j=json.load(sys.stdin); assert [r["name"] for r in j]==["master","trial"] and j[1]["message"]=="on trial"'
ok $? "branch --json"
voxtrail tag scans >said; [ "$(cut -d' ' -f1 said | tr '\n' ' ')" = "first v1.0 " ]; ok $? "tag lists tags"
no() { status=$1 text=$2; shift 2; voxtrail "$@" >said 2>&1; [ $? = "$status" ] && grep -q -- "$text" said; ok $? "$*: exit $status"; }
no 64 'already, at' branch scans trial
no 64 'already, at' tag scans v1.0 first
no 64 'is a tag already' branch scans v1.0
no 64 'is a branch already' tag scans trial
no 64 'is a tag already' commit scans@v1.0 d1
no 64 'names of branches' tag scans ../x
no 64 'names of branches' tag scans a..b
no 64 'names of branches' branch scans x.lock
no 66 'no branch, tag or commit' tag scans x nothing
no 66 'has no tag "none"' tag scans none -d
no 66 'no such repo' branch nothing
no 1 'no other branch or tag reaches' branch scans trial -d
c=$(id scans@trial); voxtrail branch scans trial -d --force >/dev/null && ! voxtrail log scans@trial >/dev/null 2>&1; ok $? "--force gives a branch up"
voxtrail branch scans trial "$c" >said 2>&1; [ $? = 66 ]; ok $? "a commit that no ref reaches is no commit of the repo"
voxtrail tag scans v1.0 first --force >/dev/null && [ "$(id scans@v1.0)" = "$(id scans~2)" ]; ok $? "--force moves a tag"
voxtrail tag scans v1.0 -d >/dev/null; ok $? "a tag whose commit is reached otherwise goes without force"
# a tag that could be the digits of another commit
p=$(id scans~1 | cut -c1-7); voxtrail tag scans "$p" first >/dev/null; no 64 'can mean 2 commits; write one of' log "scans@$p"
voxtrail log "scans@tags/$p" >said && [ "$(wc -l <said)" = 1 ]; ok $? "tags/NAME insists"
voxtrail log "scans@$(id scans~1)" >said && [ "$(wc -l <said)" = 2 ]; ok $? "so does the whole id"
