# Without a card: cuDNN plans a training step of every network for a card that is described by its properties; every convolution,
# forward and both gradients, must have a deterministic engine, and the plan replayed must choose the same engines.
cd "$T" || exit 2
# cuDNN and cuBLASLt keep memory to the end; leaks of our own are found by test_gpu_engine, which has the same engine without them
export ASAN_OPTIONS=detect_leaks=0
if [ ! -x "$B/tests/gpu_plans" ]; then
	echo "skip - engines of every network: cudnn.h was not found when the tests were built"
	exit 0
fi
plan() { # card edge precision
	"$B/tests/gpu_plans" "$ROOT/tests/gpu/cards/$1.json" "$2" "$3" >out 2>err
	rc=$?
	if grep -q 'cuDNN is missing' err; then
		echo "skip - engines of every network: $(cat err)"
		exit 0
	fi
	if [ $rc = 0 ]; then echo "ok - $1 $3: $(($(wc -l <out) - 1)) networks, $(awk '{n += $4} END {print n}' out) convolutions"; else
		echo "not ok - $1 $3: $(cat err)"
	fi
}
for precision in bf16 f32; do plan h200 64 $precision; done
for card in a100 l40s b200; do plan $card 64 bf16; done
plan rtx3090 64 fp16
plan h200 64 tf32
if "$B/tests/gpu_plans" "$ROOT/tests/gpu/cards/h200.json" 64 bf16 segresnet >out 2>err; then
	echo "ok - engines chosen by a clock: $(tail -n 1 out); what was chosen is repeated"
else
	echo "not ok - engines chosen by a clock: $(cat err)"
fi
exit 0
