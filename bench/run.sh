#!/bin/sh
# bench/run.sh: `make bench`.  Measures this machine in parts and writes docs/benchmarks.md and README's table from what the parts
# left in build/bench; a part that is not run keeps what it left before.
#
#   PYTHON   interpreter with the peers: torch, onnxruntime, openvino (default /usr/bin/python3); what it lacks is said to be absent
#   PARTS    default "engine imaging runner lineage" (minutes); "quality" too takes hours: see bench/quality/run.py
#   SIZE     default or large (more networks, larger patches, gigabytes)       THREADS  default 1; "1,2" on an idle machine
set -u
cd "$(dirname "$0")/.." || exit 2
B=${B:-build/release}
PYTHON=${PYTHON:-/usr/bin/python3}
PARTS=${PARTS:-engine imaging runner lineage}
SIZE=${SIZE:-default}
THREADS=${THREADS:-1}
out=build/bench
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
export B
# part NAME TITLE COMMAND...: its output to a file that the page is made of, and to the screen; one that fails leaves none
part() {
	name=$1; title=$2; shift 2
	printf '== %s\n' "$title"
	{ printf '%s\n%s\n' "$title" "$(echo "$*" | sed "s,$work,DIR,g")"; "$@" 2>&1; } >"$work/part"
	status=$?
	sed 1,2d "$work/part"
	if [ $status = 0 ]; then cp "$work/part" "$out/$name.txt"; else echo "$title: failed with status $status; not in the page" >&2; failed=1; fi
}
failed=0
for p in $PARTS; do
	case $p in
	engine)
		"$PYTHON" bench/engine/peers.py --size "$SIZE" --threads "$THREADS" --avx2 --bf16 --int8 --json "$out/engine.json" || failed=1
		part conv "Convolutions, GFLOP/s of one thread" env VOXTRAIL_THREADS=1 "$B/bench/nn_conv" 1
		part trainer "Training as a whole beside its passes" sh bench/engine/outside_passes.sh
		;;
	imaging)
		if ! /usr/bin/python3 -c 'import nibabel, scipy' 2>/dev/null; then
			echo "python3-nibabel and python3-scipy are not installed: no imaging part"
			continue
		fi
		part prepare "Preparation of a subject beside numpy and nibabel" /usr/bin/python3 bench/imaging/prepare_against_numpy.py "$work"
		part gz "Reading .nii.gz beside bare inflate" "$B/bench/gz_read" "$work/flair.nii.gz" 20
		mkdir -p "$work/scans/one" && for r in flair t1 t1ce t2; do ln -s "$work/$r.nii.gz" "$work/scans/one/"; done
		part predict "What predict does around the network, ms" "$B/bench/predict_host" "$work/scans" manifests/embedded.json one "$work/prepared" 5
		part distances "Distances of masks beside scipy" /usr/bin/python3 bench/imaging/metrics_against_scipy.py
		[ -d ../shared/data/heads ] && part brains "Brain masks of clinical heads" /usr/bin/python3 bench/imaging/brain_masks.py ../shared/data/heads
		;;
	runner) part runner "The runner beside cwltool and snakemake" sh bench/pipelines/overhead.sh ;;
	lineage) part lineage "Lineage of 20,000 executions" sh bench/lineage.sh 20000 ;;
	quality) "$PYTHON" bench/quality/run.py --json bench/quality/results.json || failed=1 ;;
	*) echo "PARTS: $p: there are engine, imaging, runner, lineage and quality" >&2; exit 64 ;;
	esac
done
/usr/bin/python3 bench/page.py "$out" docs/benchmarks.md README.md || failed=1
exit $failed
