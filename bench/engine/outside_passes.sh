#!/bin/sh
# outside_passes.sh: what a training step costs beside its passes: the same network trained with the plain changes of patches and with a full
# augmentation list, processor seconds a step, against bare forward and backward passes (nn_step).  The demo's network and patch on
# two phantoms.
set -eu
B=${B:-build/release}
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
steps=${STEPS:-40}
"$B/bin/make-cohort" --out "$T/cohort" --template examples/cohort/template --subjects 6 --seed 1 >"$T/log" 2>&1
"$B/bin/skullstrip-normalize" --scans "$T/cohort/scans" --manifest manifests/embedded.json --out "$T/normed" >"$T/log" 2>&1
"$B/bin/crop-patch" --normed "$T/normed" --labels "$T/cohort/labels" --manifest manifests/embedded.json --out "$T/patches" >"$T/log" 2>&1
full='[{"name":"rotate","p":0.3,"range":[-20,20]},{"name":"zoom","p":0.3,"range":[0.8,1.25]},{"name":"elastic","p":0.2,"range":[0,3]},{"name":"flip"},
{"name":"noise","p":0.15,"range":[0,0.1]},{"name":"blur","p":0.15,"range":[0.5,1]},{"name":"lowres","p":0.15,"range":[0.5,1]},
{"name":"scale","p":0.5,"range":[0.8,1.2]},{"name":"contrast","p":0.15,"range":[0.75,1.25]},{"name":"gamma","p":0.3,"range":[0.7,1.5],"keep":true}]'
# cpu NAME STEPS ARGS...: user and system seconds of a training
cpu() {
	name=$1; n=$2; shift 2
	python3 - "$B/bin/train" --threads 1 --patches "$T/patches" --out "$T/$name" --model segresnet --network '{"init_filters": 8}' --patch 48 \
		--steps "$n" --validate-every "$n" --fold -1 "$@" <<'P'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
u = resource.getrusage(resource.RUSAGE_CHILDREN)
print(u.ru_utime + u.ru_stime)
P
}
passes=$("$B/bench/nn_step" segresnet '{"init_filters": 8}' 4 3 48 1 15 | sed -n 's/.*step \([0-9.]*\) s.*/\1/p')
start=$(cpu start 1)
plain=$(cpu plain "$((steps + 1))")
list=$(cpu list "$((steps + 1))" --augment "$full")
awk -v p="$passes" -v s="$start" -v a="$plain" -v b="$list" -v n="$steps" 'BEGIN {
	a = (a - s) / n; b = (b - s) / n
	printf "passes alone          %.4f s\n", p
	printf "step, plain changes   %.4f s   outside the passes %.1f %%\n", a, 100 * (a - p) / a
	printf "step, full list       %.4f s   outside the passes %.1f %%\n", b, 100 * (b - p) / b
}'
