# Emitted Argo workflows, executed here: the same files as the runner's, retries, quarantine, conflicts, empty fan-outs.
. "$ROOT/tests/cli/run/_stubs.sh"
for i in 001 002 003; do subject sub-$i; done
argo() { rm -rf "$T/by"; : >"$T/ran"; voxtrail emit argo "$T/$1.json" >"$T/w.yaml" && voxtrail run --argo "$T/w.yaml" --repo scans="$T/scans" --repo labels="$T/labels" --store "$T/a" --checkout "$T/by" --log json 2>"$T/err"; }
run --checkout "$T/ours"
argo spec; same "the five stub stages run" "$?:$(ran)" "0:crop=3 evaluate=1 export=1 skull=3 train=1"
same "same files as the runner" "$(diff -r "$T/ours" "$T/by" 2>&1)" ""
voxtrail run --view prefix --argo "$T/w.yaml" --repo scans="$T/scans" --repo labels="$T/labels" --store "$T/a" --checkout "$T/pre" 2>"$T/err"
same "and without a namespace" "$?:$(diff -r "$T/ours" "$T/pre" 2>&1)" "0:"
echo BAD >"$T/scans/sub-002/t1.nii.gz"; run --checkout "$T/ours"; argo spec
same "a quarantined subject passes as in the runner" "$?:$(diff -r "$T/ours" "$T/by" 2>&1)" "0:"
one() { printf '{"pipeline":{"name":"a"},"input":%s,"parallelismSpec":{"constant":4},"datumTries":%s,"transform":{"image":"%s","env":{"RAN":"%s/ran"},"cmd":["/bin/sh"],"stdin":[%s]}}' "$(pfs scans scans "$3")" "$2" "$image" "$T" "$1" >"$T/one.json"; }
one '"echo a x >>$RAN; exit 3"' 3 '/*'; argo one; same "a failing datum is tried datumTries times, the run fails" "$?:$(ran)" "1:a=9"
one '"echo a x >>$RAN; exit 65"' 3 '/*'; argo one; same "exit 65 is not tried again" "$?:$(ran)" "65:a=3"
# Argo saves the output of a pod that failed, too: what a killed try left is in the bucket, and in no output.
half='s=$(basename $scans); if mkdir $RAN.$s 2>/dev/null; then mkdir -p /pfs/out/.voxtrail-partial/x /pfs/out/$s; echo half >/pfs/out/.voxtrail-partial/x/f; echo half >/pfs/out/$s/f; kill -9 $$; fi; mkdir /pfs/out/$s; echo whole >/pfs/out/$s/g'
one "\"$half\"" 2 '/*'; rm -rf "$T/a"; argo one
same "a killed try and a whole one: the output is of the whole one alone" "$?:$(cd "$T/by/a" && find . -type f ! -path './.lineage/*' | LC_ALL=C sort | tr '\n' ' ')" "0:./sub-001/g ./sub-002/g ./sub-003/g "
same "and both are in the bucket" "$(find "$T/a/argo" -path '*datums/*' -name f -path '*voxtrail-partial*' | wc -l):$(find "$T/a/argo" -path '*datums/*' -name g | wc -l)" "3:3"
mkdir -p "$T/part/.voxtrail-partial"; echo half >"$T/part/.voxtrail-partial/f"; voxtrail merge --out "$T/merged" "$T/part" 2>"$T/err"
same "merge takes no part that a killed try left" "$?:$(grep -c 'voxtrail-partial.*the part is not whole' "$T/err")" 1:1
one '"echo x >/pfs/out/same"' 1 '/*'; argo one; same "two datums, one path: merge refuses and names it" "$?:$(grep -c '/same is written twice' "$T"/a/argo/work.*/merge-a.0.*/log)" "65:1"
one '"echo never"' 1 '/nobody-*'; argo one; same "no datum behind files: a failure" "$?:$(grep -c 'no datum comes of them' "$T"/a/argo/work.*/plan-a.0.*/log | grep -c ':1\|^1')" "1:1"
"$PYTHON" -c 'import os, sys; [os.makedirs(f"{sys.argv[1]}/{n}") for n in ("few", "many")]; [open(f"{sys.argv[1]}/{d}/sub-{i:04d}", "w").write("x") for d, n in (("few", 1500), ("many", 3500)) for i in range(n)]' "$T"
one '"true"' 1 '/*'; items() { voxtrail plan "$T/one.json" --items --pipeline a --repo scans="$T/$1" >"$T/items" 2>"$T/err"; }
items few; same "1500 datums fit into what Argo keeps of an output" "$?:$(grep -o '"datum"' "$T/items" | wc -l)" 0:1500
items many; same "more are refused, with how many fit, before Argo cuts the list" "$?:$(wc -c <"$T/items"):$(grep -c '3500 datums make a list of .*here 2[0-9]* datums): give the glob' "$T/err")" 65:0:1
voxtrail run --argo "$T/w.yaml" --store "$T/a" 2>"$T/err"; same "a repo nobody bound is named" "$?:$(grep -c 'scans-commit}} has no value here; give --repo' "$T/err")" "65:1"
sed 's/depends: .*/depends: "nobody.Succeeded"/' "$T/w.yaml" >"$T/bad.yaml"
voxtrail run --argo "$T/bad.yaml" --store "$T/a" 2>"$T/err"; same "a workflow that lint refuses is not begun" "$?" 65
