#!/bin/sh
# gpu/run.sh: training steps, inference, whole volumes of 240x240x155 and the way from scans to label maps on the card, ours and
# PyTorch's on the same work in the same run; ends with a table.  TORCH_PYTHON: a Python with PyTorch; REPEATS: what is timed.
# For a try of this script itself: GPU_PLUGIN: another plugin; TORCH_DEVICE=cpu; EDGE of the patch; SHAPE="Z Y X" of a volume;
# SUBJECTS; ROWS: a pattern of "network precision work".
set -u
cd "$(dirname "$0")/../.." || exit 2
B=${B:-build/release} PY=${TORCH_PYTHON:-python3} REPEATS=${REPEATS:-50} EDGE=${EDGE:-128} SUBJECTS=${SUBJECTS:-8} failed=0
case $B in /*) ;; *) B=$PWD/$B ;; esac
export B PATCH="$EDGE" VOXTRAIL_PLUGIN="${GPU_PLUGIN:-${VOXTRAIL_PLUGIN:-$B/bin/libvoxtrail-cuda.so}}"
out=${OUT:-$B/gpu-bench.jsonl} scans=${SCANS:-$B/gpu-bench-scans}
"$B/tests/device_probe" cuda || exit $?
: >"$out"
wanted() { # net precision work
	printf '%s\n' "$*" | grep -Eq "${ROWS:-.}"
}
timed() { # what command...
	what=$1
	shift
	"$@" >>"$out" || { echo "$what failed" >&2; failed=1; }
}
measure() { # net params precision work
	wanted "$1" "$3" "$4" || return
	timed "gpu_step $1 $3 $4" "$B/bench/gpu_step" "$1" "$2" 4 3 "$EDGE" "$3" "$REPEATS" "$4"
	timed "torch_step.py $1 $3 $4" "$PY" bench/gpu/torch_step.py "$1" "$EDGE" "$3" "$REPEATS" "$4"
}
for precision in bf16 tf32; do
	measure segresnet '{"init_filters": 16}' $precision train
	measure unet3d '{"width": 48}' $precision train
	measure vnet '{}' $precision train
	measure segresnet '{"init_filters": 16}' $precision infer
	if wanted segresnet $precision volume; then
		# shellcheck disable=SC2086
		timed "gpu_volume $precision" "$B/bench/gpu_volume" segresnet '{"init_filters": 16}' 4 3 "$EDGE" $precision "$REPEATS" ${SHAPE:-}
		timed "torch_volume.py $precision" "$PY" bench/gpu/torch_volume.py volume segresnet "$EDGE" $precision "$REPEATS"
	fi
	wanted segresnet $precision scans && timed "end_to_end.py $precision" "$PY" bench/gpu/end_to_end.py "$scans" $precision "$SUBJECTS"
done
n=2
while wanted segresnet bf16 "train, $n cards" && "$B/tests/device_probe" cuda $n >/dev/null 2>&1; do
	# shellcheck disable=SC2016    # the inner shell expands them
	timed "gpu_step on $n cards" sh -c '"$B/bench/gpu_step" segresnet "{\"init_filters\": 16}" 4 3 "$1" bf16 "$2" train $3 | sed "s/\"train\"/\"train, $3 cards, a patch each\"/"' sh \
		"$EDGE" "$REPEATS" $n
	n=$((2 * n))
done
"$PY" - "$out" <<'PY' || failed=1
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
key = lambda r: tuple(r[k] for k in ("net", "edge", "precision", "work"))
ours = {key(r): r["median_ms"] for r in rows if r["who"] == "voxtrail"}
peer = {key(r): r["median_ms"] for r in rows if r["who"] != "voxtrail"}
print("| network | edge | precision | work | voxtrail ms | torch ms | ratio |\n|---|---|---|---|---|---|---|")
for k in sorted(ours.keys() | peer.keys()):
    a, t = ours.get(k, float("nan")), peer.get(k, float("nan"))
    print(f"| {k[0]} | {k[1]} | {k[2]} | {k[3]} | {a:.2f} | {t:.2f} | {t / a:.2f} |")
PY
exit $failed
