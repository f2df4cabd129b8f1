# `make gpu-check` and `make gpu-bench` as scripts: every line of them runs, on the checked stand-in of a card and on
# PyTorch's CPU, in a small size; their tables and exit statuses.
P=$B/tests/libvoxtrail-mock.so
cd "$T" || exit 2
if [ ! -f "$P" ]; then
	echo "skip - the scripts for a machine with a card: the stand-in was not built (no nvcc, or CUDA=0)"
	exit 0
fi
export GPU_PLUGIN="$P" SIZE=small CARD="$T/card.json" OUT="$T/bench.jsonl"
check() { LD_LIBRARY_PATH=$1 ROWS=$2 RUN_ONLY=$3 sh "$ROOT/tests/gpu/check.sh" >out 2>err; }
row() { grep -qE "^\| $1 .*\| $2 \| [0-9]+ s \|$" out; }

check "$B/tests/mock" 'operators|option|2\^31|sanitizer|planned' 'convolutions losses'
rc=$?
{ [ $rc = 0 ] && row operators passed && row 'training steps' passed && row 'a tensor' passed && row 'engines planned' passed &&
	grep -qE '^\| compute-sanitizer .*(skipped|passed)' out; } && echo "ok - gpu-check ends in its table" ||
	echo "not ok - gpu-check: status $rc: $(tail -n 20 out err)"
if "$B/tests/gpu_plans" card.json 32 bf16 segresnet >plans 2>&1; then
	echo "ok - real cuDNN plans for the property file that gpu-check wrote"
elif grep -q 'cuDNN is missing' plans; then
	echo "skip - the property file that gpu-check wrote: $(cat plans)"
else
	echo "not ok - the property file that gpu-check wrote: $(cat plans)"
fi
VOXTRAIL_MOCK_FAIL=900 check "$B/tests/mock" 'a tensor|operators' convolutions
rc=$?
[ $rc = 1 ] && row operators FAILED && echo "ok - gpu-check says what failed, status 1" || echo "not ok - gpu-check with a fault: status $rc: $(cat out err)"
check "$B/tests/mock" nothing ''
[ $? = 64 ] && echo "ok - no check of that name" || echo "not ok - gpu-check without a check: $(cat out err)"
VOXTRAIL_MOCK_CARDS=0 check "$B/tests/mock" operators ''
rc=$?
[ $rc = 75 ] && grep -q 'no GPU' err && echo "ok - gpu-check without a card: status 75" || echo "not ok - gpu-check without a card: status $rc: $(cat out err)"

export EDGE=8 REPEATS=1 SUBJECTS=1 SHAPE='24 24 24' TORCH_DEVICE=cpu TORCH_PYTHON="$PYTHON" SCANS="$T/scans"
if "$PYTHON" -c 'import torch' 2>/dev/null; then
	ROWS='segresnet tf32' sh "$ROOT/bench/gpu/run.sh" >out 2>err
	rc=$?
	[ $rc = 0 ] && [ "$(grep -cE '^\| segresnet \| 8 \| tf32 \| (train|infer|volume|scans to labels) \| [0-9.]+ \| -?[0-9.]+ \| -?[0-9.]+ \|$' out)" = 4 ] &&
		echo "ok - gpu-bench ends in its table" || echo "not ok - gpu-bench: status $rc: $(tail -n 20 out err)"
else
	echo "skip - gpu-bench: no PyTorch"
fi
VOXTRAIL_MOCK_MEMORY=1 TORCH_PYTHON=/bin/false ROWS='segresnet tf32 infer' sh "$ROOT/bench/gpu/run.sh" >out 2>err
rc=$?
[ $rc = 1 ] && grep -q 'gpu_step segresnet tf32 infer failed' err && grep -q 'torch_step.py segresnet tf32 infer failed' err &&
	echo "ok - gpu-bench says what failed, status 1" || echo "not ok - gpu-bench with faults: status $rc: $(cat out err)"
if command -v shellcheck >/dev/null 2>&1; then
	shellcheck "$ROOT/tests/gpu/check.sh" "$ROOT/bench/gpu/run.sh" >out && echo "ok - shellcheck" || echo "not ok - shellcheck: $(cat out)"
else
	echo "skip - shellcheck: not installed"
fi
exit 0
