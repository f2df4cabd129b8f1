# What a run binds to its repos: a spec's default only where nobody committed anything of their own, --repo always, everything checked before
# the first commit; plan, explain, lint and datum list write nothing.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; sed 's/^/    /' said; fi; }
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: got '$2', want '$3'"; fi; }
image=x@sha256:0000000000000000000000000000000000000000000000000000000000000000
spec() { cat <<-S
	{"pipeline":{"name":"p"},"metadata":{"annotations":{"voxtrail/repo.recipe":"default","voxtrail/repo.table":"table.json"}},
	"transform":{"image":"$image","cmd":["sh"],"stdin":["cat /pfs/recipe/* /pfs/table/manifest.json >/pfs/out/all"]},
	"input":{"cross":[{"pfs":{"name":"recipe","repo":"recipe","glob":"/"}},{"pfs":{"name":"table","repo":"table","glob":"/"}}$1]},"datumTries":1}
	S
}
spec "" >p.json
spec ',{"pfs":{"name":"zz","repo":"zz","glob":"/"}}' >lacks.json
spec ',{"pfs":{"name":"late","repo":"late","glob":"/"}}' | sed 's/"default"/"default","voxtrail\/repo.late":"gone"/' >gone.json
mkdir default mine && echo one >default/a && echo mine >mine/a && echo '{"labels": 1}' >table.json
head() { voxtrail log "$1" -n 1 --json --store st | sed -n 's/.*"commit": *"\([0-9a-f]*\)".*/\1/p'; }
out() { rm -rf co; voxtrail checkout p co --store st >/dev/null 2>&1; tr '\n' ' ' <co/all; }
state() { find st -path st/runner -prune -o -type f ! -name 'lineage.db*' ! -name stat-cache -printf '%P\n' | LC_ALL=C sort; }
# --- nothing is committed by a run that cannot start, nor by who looks
voxtrail run lacks.json --store st >said 2>&1; same "an input that nobody has is 66" $? 66
grep -q 'repo zz has no commit' said; ok $? "and named"
voxtrail log recipe --store st >said 2>&1; same "before the defaults are committed" $? 66
voxtrail run gone.json --store st >said 2>&1; same "a default that is not there is 66" $? 66
voxtrail log recipe --store st >said 2>&1; same "before the others are committed" $? 66
state >before
voxtrail plan p.json --all --json --store st >plan.out 2>said; ok $? "a plan over what defaults would commit"
voxtrail explain --spec p.json p --store st >said 2>&1; ok $? "and the reasons"
voxtrail datum list p.json p --store st >said 2>&1; ok $? "and the datums"
voxtrail plan p.json --repo recipe=mine --store st >said 2>&1; ok $? "and with a directory bound"
state >after; diff before after >said 2>&1; ok $? "they leave the store as it was"
# --- a default follows itself
voxtrail run p.json --store st >said 2>&1; ok $? "a run on defaults"
same "has the default's files" "$(out)" 'one {"labels": 1} '
voxtrail logs p --store st >said 2>&1
grep -q "$(voxtrail plan p.json --all --json --store st 2>/dev/null | sed -n 's/.*"hash":"\([0-9a-f]*\)".*/\1/p')" plan.out; ok $? "the plan before it had its key"
state >before; echo two >default/a
voxtrail plan p.json --store st >plan.out 2>said; grep -q '1 to run' plan.out; ok $? "a plan sees what the default would be"
state >after; diff before after >said 2>&1; ok $? "and moves no head"
voxtrail run p.json --store st >said 2>&1; same "a default that changed is followed" "$(out)" 'two {"labels": 1} '
# --- somebody's own commit stays
voxtrail commit recipe mine --copy --store st >said 2>&1; own=$(head recipe)
voxtrail plan p.json --store st >said 2>&1; same "a plan leaves somebody's own commit" "$(head recipe)" "$own"
voxtrail run p.json --store st >said 2>&1; same "and so does a run" "$(out)" 'mine {"labels": 1} '
grep -q '"kept".*--repo recipe=PATH binds' said; ok $? "which says so and how to bind another"
same "its head is where it was" "$(head recipe)" "$own"
voxtrail push recipe other --store st >said 2>&1 && voxtrail run p.json --store other >said 2>&1
same "and in a store it was pushed to" "$(voxtrail log recipe -n 1 --json --store other | sed -n 's/.*"commit": *"\([0-9a-f]*\)".*/\1/p')" "$own"
mv default default.off; voxtrail run p.json --store st >said 2>&1; ok $? "a default that is not needed need not be there"; mv default.off default
voxtrail run p.json --repo recipe=default --store st >said 2>&1; same "--repo binds it all the same" "$(out)" 'two {"labels": 1} '
echo three >default/a; voxtrail run p.json --store st >said 2>&1; same "and is somebody's own commit" "$(out)" 'two {"labels": 1} '
# --- the same bytes as the default's, committed on purpose, are one's own
echo '{"labels": 1}' >own.json; mkdir tab && cp own.json tab/manifest.json; at=$(head table)
voxtrail commit table tab --copy --store st >said 2>&1; [ "$(head table)" != "$at" ]; ok $? "who commits a default's bytes makes a commit"
echo '{"labels": 2}' >table.json; voxtrail run p.json --store st >said 2>&1; same "that stays" "$(out)" 'two {"labels": 1} '
# --- lint --store looks at what a run would see
mkdir -p sub/x; echo b >sub/x/b; sed 's,"name":"recipe"\,"repo":"recipe"\,"glob":"/","name":"recipe"\,"repo":"recipe"\,"glob":"/b*",; s,"repo":"recipe"\,"glob":"/",&b,' p.json >b.json
echo b >default/b
voxtrail lint b.json --store st >said 2>&1; grep -q 'matches nothing' said; ok $? "lint --store holds a glob against the commit that stays"
voxtrail lint b.json >said 2>&1; ! grep -q 'matches nothing' said; ok $? "and without a store against the default"
# --- a trigger, planned over what is not committed
sed 's,"repo":"recipe"\,"glob":"/",&\,"trigger":{"commits":"1"},' p.json >t.json
voxtrail plan t.json --repo recipe=default --store st >said 2>&1; ok $? "a trigger is planned over what is not committed"
