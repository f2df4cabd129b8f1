#!/bin/sh
# bench/run.sh: timings on this machine, minutes.  Ratios against peers are taken in turns within one run; what a peer needs and
# is not installed is said and left out.
set -u
cd "$(dirname "$0")/.." || exit 2
B=${B:-build/release}
echo "== one training pass (forward and backward), SegResNet"
for f in 8 16; do "$B/bench/nn_step" segresnet "{\"init_filters\":$f}" 4 3 64 2 5; done
echo "== convolutions, GFLOP/s of one thread"
VOXTRAIL_THREADS=1 "$B/bench/nn_conv" 1
PYTHON=${PYTHON:-/usr/bin/python3}
if "$PYTHON" -c 'import torch' 2>/dev/null; then
	echo "== against PyTorch on this processor"
	"$PYTHON" bench/engine/against_torch.py --repeats 3
else
	echo "$PYTHON has no torch: no comparison with PyTorch (PYTHON= names an interpreter that has)"
fi
if /usr/bin/python3 -c 'import nibabel, scipy' 2>/dev/null; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT INT TERM
	echo "== preparation of a subject against numpy and nibabel"
	B=$B /usr/bin/python3 bench/imaging/prepare_against_numpy.py "$work"
	echo "== reading .nii.gz against bare inflate"
	"$B/bench/gz_read" "$work/flair.nii.gz" 20
	echo "== what predict does around the network, ms"
	mkdir -p "$work/scans/one" && for r in flair t1 t1ce t2; do ln -s "$work/$r.nii.gz" "$work/scans/one/"; done
	"$B/bench/predict_host" "$work/scans" manifests/embedded.json one "$work/prepared" 5
	echo "== distances of masks against scipy"
	B=$B /usr/bin/python3 bench/imaging/metrics_against_scipy.py
	if [ -d ../shared/data/heads ]; then
		echo "== brain masks of clinical heads"
		B=$B /usr/bin/python3 bench/imaging/brain_masks.py ../shared/data/heads
	fi
else
	echo "python3-nibabel and python3-scipy are not installed: no comparison of the imaging stages"
fi
echo "== the runner beside cwltool and snakemake"
sh bench/pipelines/overhead.sh
echo "== lineage of 20,000 executions (bench/lineage.sh alone: 200,000)"
sh bench/lineage.sh 20000
