#!/bin/sh
# demo.sh: the whole pipeline on a cohort made here: data, training, scores, report, lineage.  `make demo` runs it.
#
#   DEMO       where it works (default ./demo; removed first)      SUBJECTS   how many phantoms (default 16)
#   B          build folder (default build/release)               THREADS    processors (default: all)
#   RECIPE     directory of params, a file a stage (default examples/recipe)
#   TEST_SUBJECTS   numbers of further phantoms, which the manifest's split keeps for testing by their names: the three such
#                   among the first 16 are too few to score
set -eu
cd "$(dirname "$0")/.."
B=${B:-build/release}
case $B in /*) ;; *) B=$PWD/$B ;; esac
DEMO=${DEMO:-$PWD/demo}
SUBJECTS=${SUBJECTS:-16}
TEST_SUBJECTS=${TEST_SUBJECTS-104 105 111 120 129 135 137 138 142}
export PATH="$B/bin:$PATH"
[ -n "${THREADS:-}" ] && export VOXTRAIL_THREADS="$THREADS"
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

begun=$(date +%s)
rm -rf "$DEMO"
mkdir -p "$DEMO"

say "1. $((SUBJECTS + $(set -- $TEST_SUBJECTS; echo $#))) glioma phantoms, four sequences and a label map each"
make-cohort --out "$DEMO/cohort" --subjects "$SUBJECTS" --seed 1
for number in $TEST_SUBJECTS; do
	make-cohort --out "$DEMO/cohort" --first "$number" --subjects 1 --seed 1
done
ls "$DEMO/cohort/scans" | head -3

say "2. pipelines/glioma.json: skullstrip-normalize, crop-patch, train, evaluate, export"
voxtrail run pipelines/glioma.json --store "$DEMO/store" --jobs "$(nproc)" \
	--repo scans="$DEMO/cohort/scans" --repo labels="$DEMO/cohort/labels" --repo recipe="${RECIPE:-examples/recipe}"

for repo in train evaluate export; do
	voxtrail checkout "$repo" "$DEMO/$repo" --store "$DEMO/store"
done

say "3. Scores on subjects kept out of training"
voxtrail scores "$DEMO/evaluate"

say "4. What was the checkpoint made from?"
voxtrail audit "$DEMO/train" --store "$DEMO/store" | head -40
voxtrail audit "$DEMO/train" --store "$DEMO/store" --format html >"$DEMO/lineage.html"

say "5. A leak? What came of one subject? The same bytes again?"
ask() { echo "\$ voxtrail $*"; voxtrail "$@" --store "$DEMO/store" 2>&1 | head -6; }
ask leakage "$DEMO/evaluate"
ask descendants --subject sub-003
ask rerun "$DEMO/evaluate"

say "Done in $(($(date +%s) - begun)) s"
echo "report:      $DEMO/evaluate/report.html"
echo "lineage:     $DEMO/lineage.html"
echo "checkpoint:  $(sha256sum "$DEMO/train/best.safetensors" | cut -c1-64)  $DEMO/train/best.safetensors"
echo "next:        voxtrail verify --store $DEMO/store"
echo "             examples/run-on-your-data.sh DIR MANIFEST"
