# What gc keeps and what goes: refs, history, records, pins, results of runs; leftovers of killed processes; processes at work.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; fi; }
export VOXTRAIL_STORE=$T/st
object() { h=$(printf "$1" | sha256sum | cut -c1-64); echo "st/objects/$(echo "$h" | cut -c1-2)/$(echo "$h" | cut -c3-)"; }
put() { rm -rf d; mkdir -p d/sub && printf "$2" >d/sub/f && printf 'common\n' >d/c; voxtrail commit "$1" d >/dev/null; }
put a 'one\n' && put a 'two\n' && put b 'three\n' && voxtrail branch a old 'a~1' >/dev/null 2>&1
voxtrail gc >said; ok $? "gc of a store where everything is reached"
grep -q '^would go with --sweep: 0 commits, 0 trees, 0 blobs, 0 leftovers' said; ok $? "finds nothing"

# a commit that was killed before its ref moved
rm -rf d; mkdir d; printf 'lost\n' >d/f
VOXTRAIL_FAULT=text.rename:kill voxtrail commit a d >/dev/null 2>&1
[ -e "$(object 'lost\n')" ] && [ -n "$(ls st/tmp)" ]; ok $? "a killed commit leaves a blob and files in tmp/"
n=$(find st -type f ! -name 'lineage.db*' | wc -l)
voxtrail gc --list >said && grep -q "^$(object 'lost\n' | cut -d/ -f2-)" said && grep -q '^tmp/' said && [ "$(find st -type f ! -name 'lineage.db*' | wc -l)" = "$n" ]
ok $? "gc lists them and removes nothing"
voxtrail gc --sweep >said && [ ! -e "$(object 'lost\n')" ] && [ -z "$(ls st/tmp)" ] && voxtrail verify >/dev/null; ok $? "gc --sweep removes them; the store is sound"
voxtrail commit a d >/dev/null && voxtrail verify >/dev/null; ok $? "the commit can be made again"

# a branch that is removed: its commits stay for keep-days, then go, unless pinned
put a 'four\n' && voxtrail branch a topic >/dev/null && rm -rf d && mkdir d && printf 'five\n' >d/f && voxtrail commit a@topic d >/dev/null
id=$(voxtrail log a@topic | grep -oE '\b[0-9a-f]{64}\b' | head -n 1)
[ -n "$id" ] || id=$(basename "$(ls -t st/commits/*/* | head -n 1)")
file=$(cat st/refs/a/heads/topic); voxtrail branch --delete --force a topic >/dev/null
voxtrail gc --sweep >/dev/null && [ -e "$(object 'five\n')" ]; ok $? "a removed branch's commit stays for 14 days"
voxtrail pin "$file" --reason 'device file 7' --until 2999-12-31 >/dev/null; ok $? "pin a commit by id"
voxtrail pin | grep -q "^$file commit 2999-12-31 device file 7\$"; ok $? "pin lists it with date and reason"
voxtrail gc --sweep --keep-days 0 >/dev/null && [ -e "$(object 'five\n')" ] && voxtrail verify >/dev/null; ok $? "a pinned commit stays, with its tree and blobs"
voxtrail pin --remove "$file" 2>said; [ $? = 64 ] && grep -q '2999-12-31 (device file 7)' said; ok $? "a pin does not go before its date"
voxtrail pin "$file" --until 2030-01-01 2>said; [ $? = 64 ]; ok $? "nor is it shortened"
voxtrail pin --remove --force "$file" >/dev/null && voxtrail gc --sweep --keep-days 0 >/dev/null && [ ! -e "$(object 'five\n')" ] && voxtrail verify >/dev/null
ok $? "--remove --force, and it goes"
voxtrail pin "$(printf 'nothing' | sha256sum | cut -c1-64)" 2>said; [ $? = 66 ]; ok $? "what is not there cannot be pinned"
blob=$(printf 'common\n' | sha256sum | cut -c1-64)
voxtrail pin "$blob" >/dev/null && rm -rf st/refs && voxtrail gc --sweep --keep-days 0 >/dev/null && [ -e "$(object 'common\n')" ] && [ "$(find st/objects -type f | wc -l)" = 1 ]
ok $? "with no ref left only the pinned blob stays"


rm -rf st && put a 'six\n'

# a damaged tree that must be followed: nothing goes
tree=$(find st/trees -type f | head -n 1); cp "$tree" keep; chmod u+w "$tree"; printf 'x' >>"$tree"
rm -rf d && mkdir d && printf 'seven\n' >d/f && VOXTRAIL_FAULT=text.rename:kill voxtrail commit a d >/dev/null 2>&1
voxtrail gc --sweep >said 2>&1; [ $? = 76 ] && grep -q 'nothing was removed' said && [ -e "$(object 'seven\n')" ]; ok $? "a damaged tree: gc refuses and removes nothing"
mv -f keep "$tree"

# a process that publishes, and one that works in tmp/ without publishing
mkfifo hold; (flock -s 9; echo ready >ready; cat hold >/dev/null) 9>>st/in-use & p=$!
while [ ! -e ready ]; do sleep 0.05; done
voxtrail gc --sweep --wait 0 2>said; [ $? = 75 ] && grep -q 'another process' said; ok $? "gc waits for who publishes, and says so"
echo >hold; wait $p
mkdir st/tmp/work && (flock -s 9; echo ready >ready2; cat hold >/dev/null) 9<st/tmp/work & p=$!
while [ ! -e ready2 ]; do sleep 0.05; done
voxtrail gc --sweep >/dev/null && [ -d st/tmp/work ]; ok $? "a folder that a living process claims stays"
echo >hold; wait $p
voxtrail gc --sweep >/dev/null && [ ! -d st/tmp/work ]; ok $? "and goes when the process is gone"
