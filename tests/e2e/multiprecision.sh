# SegResNet with automatic precision beside f32, from scans to scores in one command: the shipped spec and recipes.
set -u
SPEC=multiprecision
. "$ROOT/tests/e2e/_spec.sh"
cd "$T" || exit 2
cohort cohort 1 3
manifest manifest.json null 0 1 '"test"'
tiny train.json network/init_filters=8 patch=8 steps=480 validate-every=480 learning-rate=0.001 -- evaluate.json overlap=0 bootstrap=0
repos="--repo scans=cohort/scans --repo labels=cohort/labels --repo manifest=manifest.json"
once "crop-patch=3 evaluate=1 evaluate-f32=1 export=1 skullstrip-normalize=3 train=1 train-f32=1" $repos
grep -q '"to":"bf16"' out/train/precision.jsonl; ok $? "a normal training goes to lower precision"
cmp -s out/train/last.safetensors out/train-f32/last.safetensors; [ $? = 1 ] && [ ! -e out/train-f32/precision.jsonl ]; ok $? "the other stays in f32"
