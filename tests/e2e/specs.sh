# Committed specs at a tiny size (brats2020, search, hpe and multiprecision have tests of their own): linted, planned, run, run again with nothing to do.  Small
# nets of the kinds that they are for; what is tested is the graphs.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; grep -v '"level":"info"' log | tail -n 8; fi; }
mkdir recipe folds
recipe() { printf '{"params":{%s}}\n' "$2" >"$1"; }
small='"patch":"16","steps":2,"validate-every":2,"max-validation":1'
net='"network":{"init_filters":8}'
for s in crop-patch crop-fine export normalize-liver; do recipe recipe/$s.json ''; done
recipe recipe/evaluate.json '"subjects":"validation","trained":true,"overlap":0,"bootstrap":0'
recipe recipe/evaluate-fold.json '"subjects":"validation","overlap":0,"bootstrap":0'
recipe recipe/evaluate-folds.json '"subjects":"folds","overlap":0,"bootstrap":0'
recipe recipe/tune-folds.json '"subjects":"folds","overlap":0,"thresholds":[0.3],"sizes":[50]'
recipe recipe/predict-coarse.json '"overlap":0'
recipe recipe/train.json "$net,$small,\"fold\":1"
recipe recipe/cohort-spacing.json '"of":"mean"'
recipe recipe/skullstrip-normalize.json '"spacing":4'
recipe recipe/normalize-coarse.json '"spacing":8'
recipe recipe/spacing-med3d.json '"of":"median"'
recipe recipe/normalize-med3d.json '"strip":"never","normalize":"clip-zscore"'
recipe recipe/predict-fine.json '"overlap":0'
box='"augment":[{"name":"rotate","range":[-10,10]},{"name":"zoom","range":[0.8,1]},{"name":"translate","range":[-10,10]}]'
recipe recipe/train-coarse.json "\"model\":\"med3d-resnet\",\"network\":{\"depth\":\"10\",\"width\":8,\"head\":\"coarse\"},$small,\"pad\":true,\"fold\":1"
recipe recipe/train-fine.json "\"model\":\"denseaspp\",\"network\":{\"depth\":\"10\",\"width\":8,\"hidden\":16,\"growth\":8,\"dilations\":[1,2]},$box,$small,\"pad\":true,\"fold\":1"
net3='"model":"med3d-resnet","network":{"depth":"10","width":8}'
tissue='"model":"meshnet"'
recipe recipe/train-med3d.json "$net3,$small,\"pad\":true,\"fold\":-1"
recipe recipe/train-med3d-fine.json "$net3,$small,\"pad\":true,\"fold\":1,\"learning-rate\":0.0001,\"reinitialize\":\"branch,conv_seg\",\"allow\":\"regions,subjects\""
recipe recipe/train-meshnet.json "$tissue,$small,\"fold\":1"
for f in 1 2; do recipe folds/fold-$f.json "$net,$small,\"fold\":$f"; done
make-cohort --out cohort --subjects 4 --seed 7 --coarse >/dev/null 2>&1 || { echo "not ok - make-cohort"; exit 1; }
embedded=$ROOT/manifests/embedded.json
run() { # SPEC REPOS...
	spec=$1; shift
	voxtrail run "$ROOT/pipelines/$spec.json" --store store --repo scans=cohort/scans --repo labels=cohort/labels --repo recipe=recipe --repo manifest="$embedded" --log json "$@" >log 2>&1
}
ran() { grep '"event":"datum"' log | grep '"state":"success"' | sed 's/.*"pipeline":"\([^"]*\)".*/\1/' | sort | uniq -c | awk '{printf "%s%s=%s", (NR > 1 ? " " : ""), $2, $1}'; }
says() { got=$(ran); [ "$got" = "$2" ]; ok $? "$1 ($got)"; }
both() { # SPEC WANT REPOS...: runs what is wanted, then nothing
	spec=$1 want=$2; shift 2
	voxtrail plan "$ROOT/pipelines/$spec.json" --store store --repo scans=cohort/scans --repo labels=cohort/labels --repo recipe=recipe --repo manifest="$embedded" "$@" >log 2>&1; ok $? "$spec is planned"
	run "$spec" "$@"; ok $? "$spec runs"; says "$spec: every datum once" "$want"
	run "$spec" "$@"; says "$spec: then nothing" ""
}
voxtrail lint "$ROOT"/pipelines/*.json >log 2>&1; [ $? = 0 ] && ! grep -q : log; ok $? "all specs pass lint without a warning"
both glioma "crop-patch=4 evaluate=1 export=1 skullstrip-normalize=4 train=1"
both cross-validation "ensemble=1 ensemble-tuned=1 evaluate-fold=2 score-folds=1 train-fold=2 tune=1" --repo folds=folds
voxtrail datum verify "$ROOT/pipelines/cross-validation.json" train-fold --store store --repo scans=cohort/scans --repo labels=cohort/labels --repo recipe=recipe --repo manifest="$embedded" --repo folds=folds -n 1 >log 2>&1
ok $? "a fold trained again, elsewhere, has the same bytes"
# An ensemble of one network with itself is that network; of two, something between them.
voxtrail checkout train-fold tf --store store >/dev/null 2>&1
voxtrail checkout crop-patch patches --store store >/dev/null 2>&1
mkdir same mixed; cp -r tf/fold-1 same/a; cp -r tf/fold-1 same/b; cp -r tf/fold-1 mixed/a; cp -r folds mixed/no-checkpoint
score() { rm -rf out; evaluate --model "$1" --patches patches --recipe recipe/evaluate.json --out out >log 2>&1 && cut -d, -f1-6 out/subjects.csv; }
one=$(score tf/fold-1); [ -n "$one" ] && [ "$(score same)" = "$one" ]; ok $? "an ensemble of a network with itself scores as the network"
[ "$(score mixed)" = "$one" ]; ok $? "directories without a checkpoint are no members"
mkdir bad; cp -r tf/fold-1 bad/a; cp -r tf/fold-1 bad/b; sed -i 's/"ET"/"XX"/; /"WT",/d' bad/b/checkpoint.json; score bad >/dev/null; [ $? != 0 ]; ok $? "members with other regions are refused"
sed 's/"name": *"embedded"/"name": "second"/; s/"TC"/"core"/' "$embedded" >second.json
both med3d-transfer "crop-patch=4 evaluate=1 export=1 pretrain=1 skullstrip-normalize=4 source-2-crop=4 source-2-normalize=4 source-2-spacing=1 source-crop=4 source-normalize=4 source-spacing=1 spacing=1 train=1" --repo source-scans=cohort/scans --repo source-labels=cohort/labels --repo source-manifest="$embedded" --repo source-2-scans=cohort/scans --repo source-2-labels=cohort/labels --repo source-2-manifest=second.json
voxtrail checkout pretrain med3d --store store >/dev/null; grep -q '"second"' med3d/checkpoint.json && grep -q branch.1 med3d/last.safetensors && grep -q '"normalize": "clip-zscore"' med3d/checkpoint.json; ok $? "med3d: two cohorts are learned from, a branch each, their intensities cut and scaled by the volume"
both two-stage-liver "coarse=1 crop-coarse=4 crop-fine=4 evaluate=1 export=1 find=4 find-new=4 normalize-coarse=4 predict=4 skullstrip-normalize=4 spacing=1 train=1" --repo new-scans=cohort/scans
for r in crop-fine find predict evaluate; do voxtrail checkout $r liver/$r --store store >/dev/null; done
[ "$(ls liver/find/*/seg.nii.gz | wc -l):$(ls liver/crop-fine/*/subject.vtp | wc -l)" = 4:4 ]; ok $? "two-stage: a box a subject, where the first network looks"
"$PYTHON" - <<'END' >log 2>&1
import hashlib, json
import nibabel as nib, numpy as np
sources = json.load(open("liver/evaluate/metrics.json"))["sources"]
for s, digests in sources.items():
    got = np.asarray(nib.load("liver/predict/%s/seg.nii.gz" % s).dataobj)
    assert got.shape == nib.load("cohort/scans/%s/t1.nii.gz" % s).shape
    assert hashlib.sha256(got.astype("u1").T.tobytes()).hexdigest() == digests["prediction_voxels_sha256"], (s, digests)
assert sources
END
ok $? "two-stage: on new scans the two networks give the label maps that evaluate scored, to the voxel"
both meshnet-tissue "evaluate=1 export=1 train=1"
run nightly; says "nightly: before the first tick nothing is trained" ""
voxtrail tick "$ROOT/pipelines/nightly.json" train --store store >/dev/null 2>&1; run nightly; says "nightly: a tick trains; nothing runs behind the same bytes" "train=1"
run nightly; says "nightly: until the next" ""
run retrain-on-commit; says "retrain-on-commit: trains" "evaluate=1 export=1 train=1"
cp -r cohort/scans/sub-004 cohort/scans/sub-005; cp -r cohort/labels/sub-004 cohort/labels/sub-005
run retrain-on-commit; says "retrain-on-commit: a new subject trains again" "crop-patch=1 evaluate=1 export=1 skullstrip-normalize=1 train=1"
voxtrail checkout train again --store store >/dev/null; grep -q '"parent": "[0-9a-f]' again/checkpoint.json; ok $? "retrain-on-commit: from the checkpoint before"
voxtrail verify --store store >log 2>&1; ok $? "the store is whole"
