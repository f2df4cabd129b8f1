# Results of datums go along with push and pull where they are asked for.  They are claims: once their records are believed a run at
# the other end computes nothing again; what it does not have or believe it computes.
. "$ROOT/tests/cli/run/_stubs.sh"
cd "$T" || exit 1
mkdir -p far bin
cat >"bin/ssh" <<'S'
#!/bin/sh
shift; cd "$FAR" && exec sh -c "$*"
S
chmod +x bin/ssh; export VOXTRAIL_SSH=$T/bin/ssh FAR=$T/far
for i in 001 002 003; do subject sub-$i; done
run; same "the runs here" "$?:$(ran)" "0:crop=3 evaluate=1 export=1 skull=3 train=1"
there() { rm -f "$T/ran"; : >"$T/ran"; voxtrail run "$T/spec.json" --store "$1" 2>"$T/err"; echo "$?:$(ran)"; }
voxtrail push --all plain --store store >out; same "a push without results: all is computed there" "$(there plain)" "0:crop=3 evaluate=1 export=1 skull=3 train=1"
believe() { voxtrail trust vouch --all --reason "our own cluster" --store "$1" >/dev/null 2>&1; }
all="0:crop=3 evaluate=1 export=1 skull=3 train=1"
voxtrail push --all --results claims --store store >out; same "pushed with results, which are claims: all is computed there" "$(grep -c '^9 results of datums' out):$(there claims)" "1:$all"
same "and it is said why" "$(grep -c 'not-reused.*claims' err)" 5
same "what was executed there with the same result is a claim no longer" "$(voxtrail trust list --store claims | tail -n 1)" "9 records, of which nobody vouches for 0"
same "and done" "$(there claims)" "0:"
voxtrail push --all --results dir --store store >out; believe dir; same "pushed with results that somebody vouches for: nothing is" "$(grep -c '^9 results of datums' out):$(there dir)" "1:0:"
cp -a dir picky; id=$(find picky/records -type f | xargs grep -l '"stage":"evaluate"' | sed 's|.*/\(..\)/|\1|')
voxtrail trust reject "$id" --reason wrong --store picky >/dev/null; same "rejected, its result is not used" "$(there picky | grep -c '=1')" 1
cp -a dir strict; voxtrail trust demand made reuse --store strict; same "unless the policy takes only what was executed there" "$(there strict)" "$all"
# A result under another datum's key, with records that are believed: they do not tell of that datum's files.
cp -a dir swapped; a=$(find swapped/results -type f | xargs grep -l '"pipeline":"skull"' | sed -n 1p); b=$(find swapped/results -type f | xargs grep -l '"pipeline":"skull"' | sed -n 2p)
chmod u+w "$b"; cp -f "$a" "$b"; same "a believed result in another's place is not used" "$(there swapped | grep -c 'skull=1')" 1
# One whose tree holds a file that its records do not list.
cp -a dir forged; a=$(find forged/results -type f | xargs grep -l '"pipeline":"evaluate"'); t=$(find forged/results -type f | xargs grep -l '"pipeline":"export"' | xargs grep -o '"tree":"[0-9a-f]*"' | grep -o '[0-9a-f]\{64\}')
chmod u+w "$a"; sed -i 's/"tree":"[0-9a-f]*"/"tree":"'"$t"'"/' "$a"; same "nor one whose records do not list its files" "$(there forged | grep -c 'evaluate=1')" 1
same "and the heads are those here" "$(heads "$T/dir")" "$(heads "$T/store")"
voxtrail push --all --results there:over --store store >out 2>err; believe far/over; same "over ssh too" "$?:$(there far/over)" "0:0:"
voxtrail pull --all --results there:over --store back >out; believe back; same "and pulled back" "$?:$(there back)" "0:0:"
voxtrail push --all --results dir --store store >out; same "pushed again: nothing to do" "$(cat out)" "nothing to do"
voxtrail push --all late --store store >out; voxtrail push --all --results late --store store >out; believe late
same "results can follow later" "$(grep -c '^9 results' out):$(there late)" "1:0:"
voxtrail explain crop sub-002/all.txt --store back >out; same "explain knows the datum there" "$?:$(grep -c '^datum  ' out)" "0:1"
voxtrail verify --store back >out; same "the other store is sound" "$?" 0
voxtrail gc --sweep --keep-days 0 --store back >out; same "gc keeps what came" "$?:$(there back)" "0:0:"
echo edited >>"$T/scans/sub-002/t1.nii.gz"; voxtrail commit scans "$T/scans" --copy --store back >out
same "one file edited there: five datums" "$(there back)" "0:crop=1 evaluate=1 export=1 skull=1 train=1"
# A claim that does not hold together is refused.
key=$(find back/results -type f | head -n 1); k=$(echo "$key" | sed 's|.*/\(..\)/|\1|')
{ printf 'put results %s 9\n{"bad":1}flush\n' "$k"; } | voxtrail serve --write --store fresh >out 2>err; same "what is no result is refused" "$(grep -c 'is not a result' out):$(find fresh/results -type f | wc -l)" "1:0"
text=$(cat "$key"); { printf 'put results %s %s\n%sflush\n' "$k" "${#text}" "$text"; } | voxtrail serve --write --store fresh >out 2>err; same "so is one whose tree is not there" "$(grep -c 'did not come' out):$(find fresh/results -type f | wc -l)" "1:0"
exit 0
