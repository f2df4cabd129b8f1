#!/bin/sh
# plan_memory.sh: what plans say beside what sessions take (peak resident memory without the program's own arrays), for some networks,
# patches and precisions.  Fails where they are more than 5 % apart.
set -eu
B=${B:-build/release}
while read -r name params in out edge; do
	for mode in infer train recompute; do
		for precision in f32 bf16; do
			printf '%s %s %s %s %s ' "$name" "$params" "$edge" "$mode" "$precision"
			"$B/bench/nn_step" "$name" "$params" "$in" "$out" "$edge" 2 1 "$mode" "$precision" | tail -n 1
		done
	done
done <<'NETWORKS' | awk '{
	apart = 100 * ($(NF - 1) - $(NF - 4)) / $(NF - 4)
	bad += apart > 5 || apart < -5
	printf "%s   %+.1f %%\n", $0, apart
} END { exit bad > 0 }'
segresnet {"init_filters":8} 4 3 64
segresnet {"init_filters":16} 4 3 48
meshnet {} 1 3 64
unet3d {} 4 3 32
vnet {} 1 2 48
nnunet-plain {} 4 3 32
attention-unet {} 1 2 48
residual-unet {} 4 3 64
denseaspp {} 1 2 32
NETWORKS
