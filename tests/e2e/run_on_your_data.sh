# examples/run-on-your-data.sh: results in directories beside the store, nothing computed twice, nothing of the user's own touched.
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; tail -n 5 "$T/log" >&2; fi; }
cd "$T" || exit 2
make-cohort --out c --subjects 8 --seed 7 --coarse >/dev/null 2>&1 || { echo "not ok - make-cohort"; exit 1; }
go() { LABELS=c/labels RECIPE="$ROOT/tests/e2e/tiny_recipe" B=$B sh "$ROOT/examples/run-on-your-data.sh" c/scans "$ROOT/manifests/embedded.json" $1 >"$T/log" 2>&1; }
sh "$ROOT/examples/run-on-your-data.sh" >"$T/log" 2>&1
[ $? = 64 ] && grep -q 'RECIPE' "$T/log" && grep -q 'LABELS' "$T/log" && ! grep -q 'set -eu' "$T/log"; ok $? "without arguments it says what it takes"
go out; ok $? "a cohort with its own recipe and labels"
[ -s out/evaluate/report.html ] && [ -s out/train/best.safetensors ] && [ -s out/export/model.onnx ] && grep -q 'report: *out/evaluate/report.html' "$T/log"
ok $? "report, checkpoint and network lie where it says"
sum=$(cksum <out/train/best.safetensors)
go out; ok $? "again over its own results"
! grep '"event":"job"' "$T/log" | grep -qv '"success":0,' && [ "$sum" = "$(cksum <out/train/best.safetensors)" ]; ok $? "computes nothing"
mkdir -p mine/train && echo mine >mine/train/notes
go mine; rc=$?
[ $rc = 73 ] && [ "$(cat mine/train/notes)" = mine ]; ok $? "a directory of somebody's own is refused and stays ($rc)"
