# Results of runs go by age, but never what a head, a tag or a pin lists, and never under a run; a kill in between harms nothing.
. "$ROOT/tests/cli/run/_stubs.sh"
cd "$T" || exit 1
export VOXTRAIL_STORE=$T/store
for i in 001 002 003; do subject sub-$i; done
results() { find store/results -type f | wc -l; }
old() { find store/results -type f -exec touch -d '100 days ago' {} +; }
again() { run --view prefix; echo "$?:$(ran)"; }
run --view prefix && n=$(results)
cp scans/sub-002/t1.nii.gz was; echo new >>scans/sub-002/t1.nii.gz; run --view prefix && both=$(results)
same "nine datums, and five of them again" "$n:$both" "9:14"
voxtrail gc --sweep --results-older-than 90 >said; same "young ones stay" "$(results):$(grep -c '^removed: 0 results' said)" "14:1"
old; voxtrail gc --results-older-than 90 >said; same "without --sweep it is said" "$(results):$(grep -c '^would go with --sweep: 5 results of runs older than 90 days' said)" "14:1"
voxtrail gc --sweep >said; same "without --results-older-than none goes" "$(results)" 14
voxtrail tag train first master~1 >/dev/null; voxtrail gc --results-older-than 90 >said; same "what a tag lists stays" "$(grep -c ': 4 results' said)" 1
voxtrail tag --delete train first >/dev/null
voxtrail pin evaluate~1 >/dev/null; voxtrail gc --results-older-than 90 >said; same "what a pinned commit lists stays" "$(grep -c ': 4 results' said)" 1
voxtrail pin --remove evaluate~1 >/dev/null
VOXTRAIL_FAULT=gc.result:kill:3 voxtrail gc --sweep --results-older-than 90 >said 2>&1; voxtrail verify >said 2>&1; same "killed half way: the store is sound" "$?:$(results)" "0:12"
voxtrail gc --sweep --results-older-than 90 >said; same "and the next one goes on" "$(results):$(grep -c ': 3 results' said)" "9:1"
voxtrail verify >said 2>&1; same "sound" "$?" 0
voxtrail history --json | grep -c '"results": *3' >said; same "the history says so" "$(cat said)" 1
same "a run over what the heads hold computes nothing" "$(again)" "0:"
cp was scans/sub-002/t1.nii.gz; same "of the older state what went is computed again" "$(again)" "0:crop=1 evaluate=1 export=1 skull=1 train=1"
voxtrail gc --results-older-than 0 2>said; same "0 days is a slip" "$?" 64

printf '{"pipeline":{"name":"slow"},"input":%s,"transform":{"image":"%s","cmd":["/bin/sh"],"stdin":["echo $$ >%s/begun; while [ ! -e %s/end ]; do sleep 0.05; done; echo x >/pfs/out/x"]}}' "$(pfs scans scans /)" "$image" "$T" "$T" >slow.json
voxtrail run slow.json --view prefix --repo scans=scans 2>err & p=$!
while [ ! -e begun ]; do sleep 0.05; done
old; voxtrail gc --sweep --results-older-than 90 --wait 0 2>said; same "under a run nothing goes" "$?:$(grep -c 'another process' said)" "75:1"
: >end; wait $p; same "and the run ends" "$?" 0
