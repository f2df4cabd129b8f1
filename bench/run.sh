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
if /usr/bin/python3 -c 'import torch' 2>/dev/null; then
	echo "== against PyTorch on this processor"
	/usr/bin/python3 bench/engine/against_torch.py 3
else
	echo "python3-torch is not installed: no comparison with PyTorch"
fi
if [ -d ../shared/bench/preprocess ]; then
	echo "== preparation against numpy and nibabel"
	/usr/bin/python3 bench/imaging/prepare_against_numpy.py
fi
