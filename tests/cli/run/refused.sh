# Exit status 65: a datum is quarantined only if somebody is in quarantine; else it failed. A run that leaves nothing but refused subjects is no success.
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: got '$2', want '$3'"; tail -n 6 "$T/err" | sed 's/^/#    /'; fi; }
cd "$T" || exit 2
states() { grep '"event":"datum"' err | sed 's/.*"pipeline":"\([^"]*\)".*"state":"\([^"]*\)".*/\1=\2/' | LC_ALL=C sort | uniq -c | awk '{printf "%s%s*%s", (NR > 1 ? " " : ""), $1, $2}'; }

files() { rm -rf co; voxtrail checkout "$1" co --store "$2" >/dev/null 2>>err; (cd co && find . -type f ! -path '*/.lineage/*' | cut -c3- | LC_ALL=C sort | tr '\n' ' '); }

# Programs of others.
image=stub@sha256:0000000000000000000000000000000000000000000000000000000000000000
step() { printf '{"pipeline":{"name":"%s"},"input":{"pfs":{"name":"in","repo":"%s","glob":"%s"}},"datumTries":3%s,"transform":{"image":"%s","cmd":["/bin/sh"],"stdin":["%s"],"acceptReturnCode":[65]}}' "$1" "$2" "$3" "$5" $image "$4"; }
go() { voxtrail run spec.json --repo raw=raw --store "s-$1" --log json 2>err; }
mkdir -p raw/good raw/bad; echo scan >raw/good/x; echo BAD >raw/bad/x
each='s=$(basename $in); echo try >>'$T'/tries; if grep -q BAD $in/x; then mkdir -p /pfs/out/quarantine; echo {} >/pfs/out/quarantine/$s.json; exit 65; fi; mkdir /pfs/out/$s; cp $in/x /pfs/out/$s/y'
step a raw '/*' "$each" >spec.json; go one
same "one good subject, one in quarantine: done" "$?:$(states)" "0:1*a=quarantined 1*a=success"
same "and the output has both" "$(files a s-one)" "good/y quarantine/bad.json "
go one; same "again: the refused one is tried again, the run is done" "$?:$(states):$(grep -c '"skipped":1,"quarantined":1' err)" "0:1*a=quarantined:1"
: >tries; step a raw '/*' 'echo try >>'"$T"'/tries; exit 65' >spec.json; go two
same "exit 65 and nobody in quarantine: failed, tried once" "$?:$(states):$(wc -l <tries)" "1:2*a=failed:2"
same "and the report says why" "$(grep -c 'failed: .* of a ended with 65: exit status 65, but nothing is in /pfs/out/quarantine' err)" 2
step a raw '/*' 'echo half >/pfs/out/$(basename $in); exit 65' >spec.json; go three; same "files, and nobody in quarantine: failed too" "$?:$(states)" "1:2*a=failed"
mkdir -p view/in out/fold-1/quarantine; echo 1 >view/in/x; echo {} >out/fold-1/quarantine/x.json
voxtrail record spec.json --pipeline a --in view --out out --code 65 2>err; same "record takes quarantine in a directory of the output" $? 0
rm -r out; mkdir out; voxtrail record spec.json --pipeline a --in view --out out --code 65 2>err; same "and ends with 65 where there is none" "$?:$(grep -c 'nothing is in /pfs/out/quarantine' err)" "65:1"

# Everybody is refused.
echo BAD >raw/good/x; step a raw '/*' "$each" >spec.json; go four
same "everybody is refused and nobody records it: a failed job" "$?:$(states):$(grep -c 'failed: a, because every subject was refused' err)" "1:2*a=quarantined:1"
go four; same "and again" $? 1
step a raw '/*' "$each" ',"metadata":{"annotations":{"voxtrail/may-be-empty":"true"}}' >spec.json; go five; same "may-be-empty: done" $? 0
(printf '['; step a raw '/*' "$each"; printf ','; step b a / 'ls $in/quarantine >/pfs/out/list'; printf ']') >spec.json; go six
same "a pipeline that records them: done" "$?:$(states)" "0:2*a=quarantined 1*b=success"
(printf '['; step a raw '/*' "$each"; printf ','; step b a / 'cp -r $in/quarantine /pfs/out/quarantine'; printf ']') >spec.json; go seven
same "one that only passes them on: failed" "$?:$(grep -c 'failed: b, because every subject was refused' err)" "1:1"
go seven; same "in the next run too" "$?:$(states):$(grep -c '"pipeline":"b","state":"failed","datums":1,"success":0,"skipped":1' err)" "1:2*a=quarantined:1"

# An emitted workflow obeys the same rule, and so does the merge that every emitted file ends in.
argo() { voxtrail emit argo spec.json >w.yaml 2>>err && voxtrail run --argo w.yaml --repo raw=raw --store "s-argo-$1" --log json 2>err; }
step a raw '/*' "$each" >spec.json; argo one
same "argo: everybody is refused: failed, and merge says why" "$?:$(cat s-argo-one/argo/work.*/merge-a.0.*/log | grep -c 'every subject was refused')" 1:1
echo scan >raw/good/x; argo two; same "argo: one good subject: done" $? 0
echo BAD >raw/good/x; step a raw '/*' "$each" ',"metadata":{"annotations":{"voxtrail/may-be-empty":"true"}}' >spec.json; argo three; same "argo: may-be-empty: done" $? 0
(printf '['; step a raw '/*' "$each"; printf ','; step b a / 'ls $in/quarantine >/pfs/out/list'; printf ']') >spec.json; argo four; same "argo: a pipeline that records them: done" $? 0
mkdir -p parts/one/quarantine parts/two/fold/quarantine; : >parts/one/quarantine/a.json; : >parts/two/fold/quarantine/b.json
voxtrail merge --from parts --out m1 --not-only-quarantine 2>err; same "merge: nothing but quarantine" "$?:$(grep -c 'm1: every subject was refused' err)" 1:1
voxtrail merge --from parts --out m2 2>err; same "merge: it may be" $? 0
: >parts/two/kept; voxtrail merge --from parts --out m3 --not-only-quarantine 2>err; same "merge: one file besides" $? 0

# Our own stages.
make-cohort --out cohort --subjects 2 --seed 3 --coarse >/dev/null 2>&1 || { echo "not ok - make-cohort"; exit 1; }
"$PYTHON" -c 'import json, sys; json.dump(json.load(open(sys.argv[1]))[:2], open("two.json", "w"))' "$ROOT/pipelines/glioma.json"
mkdir recipe; echo '{"params":{}}' >recipe/crop-patch.json
ours() { voxtrail run two.json --store "o-$1" --repo scans=cohort/scans --repo labels=cohort/labels --repo recipe=recipe --repo manifest="$ROOT/manifests/embedded.json" --log json 2>err; }
echo '{"parms":{}}' >recipe/skullstrip-normalize.json; ours a
same "a wrong recipe: every datum failed, what follows does not run" "$?:$(states):$(grep -c 'not run: crop-patch' err)" "1:2*skullstrip-normalize=failed:1"
same "and the reason says that nobody is in quarantine" "$(grep -c 'failed: .*skullstrip-normalize put no subject into quarantine' err)" 2
echo '{"params":{}}' >recipe/skullstrip-normalize.json; first=$(ls -d cohort/scans/* | head -n 1)
for f in "$first"/*; do echo broken >"$f"; done; echo id >cohort/scans/survival_info.csv; echo id >cohort/labels/survival_info.csv; ours b
same "a good subject, a damaged one and a table: done" "$?:$(states)" "0:2*crop-patch=success 2*skullstrip-normalize=quarantined 1*skullstrip-normalize=success"
same "the table is no subject" "$(files crop-patch o-b)" "quarantine/sub-001.json sub-002/subject.vtp "
table=$(sed -n 's/.*"datum":"[^"]*survival_info.csv","id":"\([0-9a-f]*\)".*/\1/p' err | head -n 1)
voxtrail logs --store o-b skullstrip-normalize "$table" >said; same "and its log says so" "$(grep -c 'no subject matches' said)" 1
for d in cohort/scans/*/; do for f in "$d"*; do echo broken >"$f"; done; done; ours b
same "everybody damaged: crop-patch, the last, says so" "$?:$(grep -c 'failed: crop-patch, because every subject was refused' err)" "1:1"
rm -r out; ( voxtrail emit argo two.json >w.yaml; voxtrail run --argo w.yaml --store o-argo --repo scans=cohort/scans --repo labels=cohort/labels --repo recipe=recipe --repo manifest="$ROOT/manifests/embedded.json" >/dev/null 2>err )
same "argo: the same" "$?:$(cat o-argo/argo/work.*/merge-crop-patch.0.*/log | grep -c 'every subject was refused')" "1:1"
rm -r cohort/scans/*/; ours c; same "nothing but a table: failed" "$?:$(grep -c 'failed: skullstrip-normalize, because every subject was refused' err)" "1:1"
exit 0
