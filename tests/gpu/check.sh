#!/bin/sh
# gpu/check.sh: everything that needs a card, one line a check and a table at the end; exit status 75 where there is no card.
#   operators and networks against the CPU - a training run twice and resumed - a tensor beyond 2^31 bytes - compute-sanitizer
# GPU_PLUGIN: another plugin; ROWS: a pattern of the checks that are made; SIZE=small: a try of this script itself.
set -u
cd "$(dirname "$0")/../.." || exit 2
B=${B:-build/release} ROOT=$PWD PYTHON=${PYTHON:-/usr/bin/python3}
case $B in /*) ;; *) B=$PWD/$B ;; esac
GPU_PLUGIN=${GPU_PLUGIN:-$B/bin/libvoxtrail-cuda.so} VOXTRAIL_PLUGIN=$GPU_PLUGIN
export B ROOT PYTHON LC_ALL=C VOXTRAIL_PLUGIN GPU_PLUGIN
T=$(mktemp -d) || exit 2
export T
trap 'rm -rf "$T"' EXIT
"$B/tests/device_probe" cuda || exit $?
if [ "${SIZE:-full}" = small ]; then
	plans='32 bf16 segresnet' large='48 48'
else
	plans='128 bf16' large=
	export MOST_MMAC=1000000                 # every network, however much work it is
fi
card=${CARD:-$B/card.json}
if "$B/tests/gpu_card" >"$T/card.json"; then
	cp "$T/card.json" "$card" && echo "the card's properties are in $card; keep them as tests/gpu/cards/<name>.json"
fi
table=
row() { # what command...
	what=$1
	shift
	printf '%s\n' "$what" | grep -Eq "${ROWS:-.}" || return
	start=$(date +%s)
	if "$@" >"$T/log" 2>&1; then result=passed; elif [ $? = 77 ]; then result=skipped; else result=FAILED; fi
	grep -E '^(ok|not ok|skip|tensor|# )' "$T/log" || tail -n 20 "$T/log"
	table="$table| $what | $result | $(($(date +%s) - start)) s |
"
}
sanitized() {
	command -v compute-sanitizer >/dev/null 2>&1 || { echo "skip - compute-sanitizer: not installed"; return 77; }
	for tool in memcheck racecheck initcheck; do
		compute-sanitizer --tool $tool --error-exitcode 9 "$B/bench/gpu_step" segresnet '{"init_filters": 8}' 4 3 32 bf16 2 train || return 1
		echo "ok - $tool: no finding in a small training run"
	done
}
windows() {
	"$B/tests/test_gpu_windows" && "$PYTHON" tests/oracle/nn/windows.py
}
several() { # training on several cards: as many batches added up on one, to the bit
	n=16
	while [ $n -gt 1 ] && ! "$B/tests/device_probe" cuda $n >/dev/null 2>&1; do n=$((n - 1)); done
	[ $n -gt 1 ] || { echo "skip - several cards: one is visible, or NCCL is missing"; return 77; }
	GPU_CARDS=$n RUN_ONLY="sums_in_rank_order as_accumulated drawn_patches" "$B/tests/test_gpu_cards"
}
row "operators and networks against the CPU" "$B/tests/test_gpu_engine"
row "training steps with every option against the CPU" "$B/tests/test_gpu_training"
row "train: same bytes twice and after a kill; near the CPU" "$PYTHON" tests/repro/device.py
row "several cards" several
row "windows cut and joined on the card; MONAI's values" windows
row "predict on the card against the CPU" "$PYTHON" tests/e2e/predict_on_device.py
row "brain masks by a network on the card" "$PYTHON" tests/oracle/image/learned_mask.py
# shellcheck disable=SC2086
row "engines planned for this card" "$B/tests/gpu_plans" "$T/card.json" $plans
# shellcheck disable=SC2086
row "a tensor of more than 2^31 bytes" "$B/tests/gpu_large" $large
row "compute-sanitizer on a small training run" sanitized
[ -n "$table" ] || { echo "no check is called ${ROWS:-}" >&2; exit 64; }
printf '\n| check | result | time |\n|---|---|---|\n%s' "$table"
case $table in *FAILED*) exit 1 ;; esac
