#!/bin/sh
# gpu/run.sh: training steps, inference, whole volumes of 240x240x155 and the way from scans to label maps on the card, ours and
# PyTorch's on the same work in the same run; ends with a table.
set -u
cd "$(dirname "$0")/../.." || exit 2
B=${B:-build/release} PY=${TORCH_PYTHON:-python3} REPEATS=${REPEATS:-50}
export VOXTRAIL_PLUGIN="${VOXTRAIL_PLUGIN:-$PWD/$B/bin/libvoxtrail-cuda.so}"
out=$B/gpu-bench.jsonl
"$B/tests/device_probe" cuda || exit $?
: >"$out"
measure() { # net params edge profile work
	"$B/bench/gpu_step" "$1" "$2" 4 3 "$3" "$4" "$REPEATS" "$5" >>"$out" || echo "gpu_step $1 $3 $4 $5 failed" >&2
	"$PY" bench/gpu/torch_step.py "$1" "$3" "$4" "$REPEATS" "$5" >>"$out" || echo "torch_step.py $1 $3 $4 $5 failed" >&2
}
for profile in bf16 f32; do
	measure segresnet '{"init_filters": 16}' 128 $profile train
	measure unet3d '{"width": 48}' 128 $profile train
	measure vnet '{}' 128 $profile train
	measure segresnet '{"init_filters": 16}' 128 $profile infer
	"$B/bench/gpu_volume" segresnet '{"init_filters": 16}' 4 3 128 $profile "$REPEATS" >>"$out" || echo "gpu_volume $profile failed" >&2
	"$PY" bench/gpu/torch_volume.py volume segresnet 128 $profile "$REPEATS" >>"$out" || echo "torch_volume.py $profile failed" >&2
	"$PY" bench/gpu/end_to_end.py "$B/gpu-bench-scans" $profile 8 >>"$out" || echo "end_to_end.py $profile failed" >&2
done
"$PY" - "$out" <<'PY'
import json, sys
rows = [json.loads(l) for l in open(sys.argv[1])]
ours = {tuple(r[k] for k in ("net", "edge", "profile", "work")): r["median_ms"] for r in rows if r["who"] == "voxtrail"}
peer = {tuple(r[k] for k in ("net", "edge", "profile", "work")): (r["median_ms"], r["who"]) for r in rows if r["who"] != "voxtrail"}
print("| network | edge | profile | work | voxtrail ms | torch ms | ratio |\n|---|---|---|---|---|---|---|")
for k in ours:
    t = peer.get(k, (float("nan"), "-"))[0]
    print(f"| {k[0]} | {k[1]} | {k[2]} | {k[3]} | {ours[k]:.2f} | {t:.2f} | {t / ours[k]:.2f} |")
PY
