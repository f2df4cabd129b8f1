# The demo of UCSF-PDGM from scans to masks of new scans in one command: V-Net, one region, a search; the shipped spec and recipes.
set -u
SPEC=hpe
. "$ROOT/tests/e2e/_spec.sh"
cd "$T" || exit 2
cohort cohort 1 6
cohort new 7 1
manifest manifest.json '[{"name": "tumor", "values": [1, 2, 4]}]' 0 1 1 '"test"' '"test"' '"test"'
tiny base.json network/width=4 patch='"16,24,24"' validate-every=1 max-validation=1 -- crop-patch.json center='"16,24,24"' -- sample.json trials=2 budget=1 growth=2 -- keep.json keep-share=0.5 -- evaluate.json bootstrap=0
repos="--repo scans=cohort/scans --repo labels=cohort/labels --repo new-scans=new/scans --repo manifest=manifest.json"
once "crop-patch=6 evaluate=1 export=1 keep-1=1 keep-2=1 predict=1 rung-1=2 rung-2=1 rung-3=1 sample=1 skullstrip-normalize=6 trials=1 winner=1" $repos
"$PYTHON" - <<'E' || echo "not ok - the outputs are as they must be"
import base64, csv, json, os, re
import nibabel as nib
import numpy as np
def ok(good, what, why=""):
    print(("ok - " if good else "not ok - ") + what + ("" if good else ": %s" % (why,)))
winner = json.load(open("out/trials/trials.json"))["winner"]
c = json.load(open("out/winner/%s/checkpoint.json" % winner))
ok(c["model"]["name"] == "vnet" and len(c["channels"]) == 4 and c["regions"] == ["tumor"] and c["crop"]["center"] == [16, 24, 24], "the winner is a V-Net of four channels and one class on center crops", c["model"])
scores = {r["subject"]: float(r["dice"]) for r in csv.DictReader(open("out/evaluate/subjects.csv"))}
order = sorted(scores, key=lambda s: (scores[s], s))
page = open("out/evaluate/report.html").read()
shown = re.findall(r'base64,([^"]*)"><figcaption>(Worst|Median|Best): <b>([^<]*)', page)
ok([(w, s) for _, w, s in shown] == list(zip(("Worst", "Median", "Best"), order)), "the report shows the worst, the median and the best subject", (shown and [x[1:] for x in shown], order))
size = lambda png: [int.from_bytes(base64.b64decode(png)[k:k + 4], "big") for k in (16, 20)]
plain = re.findall(r'base64,([^"]*)"><figcaption><b>', page)
ok(len(plain) == 3 and all(size(p)[1] > 2 * size(plain[0])[1] for p, _, _ in shown), "in three planes", [size(p) for p, _, _ in shown])
mask, = [os.path.join(r, f) for r, _, fs in os.walk("out/predict") for f in fs if f == "seg.nii.gz"]
scan = nib.load("new/scans/sub-007/" + sorted(os.listdir("new/scans/sub-007"))[0])
ok(nib.load(mask).shape == scan.shape and np.allclose(nib.load(mask).affine, scan.affine), "a new scan has a mask on its own grid")
E
make-cohort --out cohort/more --first 8 --subjects 1 --seed 7 --coarse >/dev/null 2>&1
mv cohort/more/scans/* cohort/scans/; mv cohort/more/labels/* cohort/labels/; rm -r cohort/more
voxtrail commit scans cohort/scans --store store >log 2>&1 && voxtrail commit labels cohort/labels --store store >>log 2>&1; ok $? "a new subject is committed"
manifest manifest.json '[{"name": "tumor", "values": [1, 2, 4]}]' 0 1 1 '"test"' '"test"' '"test"' '"test"' 1
spec run --log json --checkout out --repo new-scans=new/scans --repo manifest=manifest.json; ok $? "and the same command runs"
grep -q '"sub-008"' out/winner/trial-*/checkpoint.json && [ "$(grep -l '"sub-008"' out/rung-1/trial-*/checkpoint.json | wc -l)" = 2 ]; ok $? "from the commit to a new checkpoint, trained on the new subject too"
# 87 of 495: the variant of the spec that begins with a list of subjects.
mkdir names && printf 'sub-001\nsub-003\nsub-004\n' >names/names.txt
SPEC=hpe-subset
spec run --log json --checkout part --repo scans=cohort/scans --repo labels=cohort/labels --repo new-scans=new/scans --repo manifest=manifest.json --repo names=names; ok $? "a list of subjects goes first"
got=$(cd part/skullstrip-normalize && ls -d sub-* | tr '\n' ' '); [ "$got" = "sub-001 sub-003 sub-004 " ]; ok $? "only they are prepared ($got)"
"$PYTHON" -c '
import glob, json, sys
c = [json.load(open(p))["subjects"] for p in glob.glob("part/winner/trial-*/checkpoint.json")]
m = json.load(open("part/evaluate/metrics.json"))
sys.exit(not (len(c) == 1 and c[0]["train"] == ["sub-003"] and c[0]["validation"] == ["sub-001"] and list(m["sources"]) == ["sub-004"]))' >log 2>&1
ok $? "and trained on and scored"
