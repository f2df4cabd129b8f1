# The five stages on a small cohort: everything runs, one more subject re-runs only what depends on it, the same bytes with one
# thread and after a fresh start, and the checkpoint answers for every raw file.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; [ -f log ] && tail -n 5 log; fi; }
mkdir recipe
for s in crop-patch export; do echo '{"params":{}}' >recipe/$s.json; done
echo '{"params":{"spacing":4}}' >recipe/skullstrip-normalize.json
echo '{"params":{"subjects":"all","overlap":0}}' >recipe/evaluate.json
echo '{"params":{"network": {"init_filters": 8},"patch":16,"steps":6,"validate-every":3,"max-validation":1,"fold":1}}' >recipe/train.json
make-cohort --out cohort --subjects 6 --seed 7 --coarse >/dev/null || { echo "not ok - make-cohort"; exit 1; }
mkdir more && cp -r cohort/scans cohort/labels more && rm -r more/scans/sub-006 more/labels/sub-006

go() {          # store scans-and-labels extra
	voxtrail run "$ROOT/pipelines/glioma.json" --store "$1" --repo scans="$2/scans" --repo labels="$2/labels" --repo recipe=recipe $3 >log 2>&1
}
tree() { voxtrail log "$2" --store "$1" | sed -n '1s/.*tree \([0-9a-f]*\).*/\1/p'; }

go st more "--jobs 2"; ok $? "five stages on five subjects"
voxtrail checkout train first --store st >/dev/null
go st more "--jobs 2"; grep -q '"state":"success"' log; [ $? != 0 ]; ok $? "nothing runs when nothing changed"
go st cohort "--jobs 2"; ok $? "one more subject"
ran=$(grep '"event":"datum"' log | grep '"state":"success"' | sed 's/.*"pipeline":"\([^"]*\)","datum":"\([^"]*\)".*/\1 \2/' | sort | tr '\n' ';')
[ "$ran" = "crop-patch /sub-006/;evaluate /;export /;skullstrip-normalize /sub-006/;train /;" ]
ok $? "exactly its two preparations, then train, evaluate and export ran ($ran)"
VOXTRAIL_THREADS=1 go other cohort "--jobs 1"; ok $? "a fresh store, one thread"
same=0
for r in skullstrip-normalize crop-patch train evaluate export; do [ "$(tree st $r)" = "$(tree other $r)" ] || same=1; done
ok $same "every stage's tree is the same"
voxtrail checkout train out --store st >/dev/null && voxtrail checkout evaluate ev --store st >/dev/null
ok $? "results are checked out"
voxtrail audit out --store st >audit; ok $? "audit of the checkpoint"
missing=0
for f in cohort/scans/*/*.nii.gz cohort/labels/*/seg.nii.gz; do
	grep -q "$(sha256sum <"$f" | cut -c1-64)" audit || missing=1
done
ok $missing "it names every scan and label map by digest"
grep -q '6 subjects: sub-001 sub-002 sub-003 sub-004 sub-005 sub-006' audit; ok $? "and every subject"
rm -rf lone && cp -r out lone && rm -rf moved && mkdir moved && voxtrail import lone --store moved/st >/dev/null; ok $? "a copied checkpoint is taken into another store"
grep -q 'data:image/png;base64' ev/report.html && grep -q '<svg' ev/report.html && ! grep -q '<script\|https\?://\|src="[^d]' ev/report.html
ok $? "the report holds its pictures and curve and refers to nothing outside"
voxtrail rerun export --store st | grep -q '^same'; ok $? "the export done again from the store is the same"
voxtrail leakage evaluate --store st >log; [ $? = 1 ] && grep -q '^5 subjects\|: 5 subjects' log; ok $? "scores on all subjects share those that were trained on"
[ "$(voxtrail subjects train --store st | grep -c train)" = 5 ] && voxtrail descendants --subject sub-006 --store st | grep -q ' train '
ok $? "subjects and descendants know the training"
voxtrail verify --store st >/dev/null; ok $? "verify"
voxtrail run --argo "$ROOT/pipelines/argo/glioma.yaml" --store argo --repo scans=cohort/scans --repo labels=cohort/labels --repo recipe=recipe \
	--repo manifest="$ROOT/manifests/embedded.json" --checkout byargo >log 2>&1
ok $? "the emitted Argo workflow runs"
same=0
for r in skullstrip-normalize crop-patch train evaluate export; do rm -rf ours; voxtrail checkout $r ours --store other >/dev/null; diff -r -x .lineage ours byargo/$r >>log || same=1; done
ok $same "and leaves the trees of the runner"
