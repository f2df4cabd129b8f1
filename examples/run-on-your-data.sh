#!/bin/sh
# run-on-your-data.sh DIR MANIFEST [OUT]: the five stages on scans and label maps of your own.
#
# DIR holds the cohort as MANIFEST says (manifests/ has the field's layouts); scans and label maps may lie side by side.
# OUT (default ./voxtrail-run) gets the store and a directory for each stage's output; what is there and is not an earlier result
# is refused.  LABELS: where label maps lie apart from the scans.  RECIPE: a directory with one <stage>.json of params each
# (default pipelines/recipes; examples/recipe is the demo's, smaller and faster).
set -eu
if [ $# -lt 2 ]; then
	sed -n '2,7s/^# //p' "$0"
	exit 64
fi
root=$(cd "$(dirname "$0")/.." && pwd)
B=${B:-$root/build/release}
OUT=${3:-voxtrail-run}
export PATH="$B/bin:$PATH"
voxtrail run "$root/pipelines/glioma.json" --store "$OUT/store" --jobs "$(nproc)" --checkout "$OUT" \
	--repo scans="$1" --repo labels="${LABELS:-$1}" --repo manifest="$2" --repo recipe="${RECIPE:-$root/pipelines/recipes}"
echo "report:     $OUT/evaluate/report.html"
echo "checkpoint: $OUT/train"
