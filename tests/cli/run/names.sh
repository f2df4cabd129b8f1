# Subjects named as people name them go through glob, join, key, view and every translation that runs here.
. "$ROOT/tests/cli/run/_stubs.sh"
for i in 'sub-1 (a)' 'sub-2+b@3T' '@(sub|3)!^'; do subject "$i"; done
run --checkout "$T/ours"
same "three subjects with + ( ) @ ! ^ in their names" "$?:$(ran)" "0:crop=3 evaluate=1 export=1 skull=3 train=1"
same "and their files" "$(ls "$T/ours/crop" | LC_ALL=C sort | tr '\n' ';')" "@(sub|3)!^;sub-1 (a);sub-2+b@3T;"
run; same "nothing runs again" "$?:$(ran)" "0:"
rm -rf "$T/by"; : >"$T/ran"; voxtrail emit argo "$T/spec.json" >"$T/w.yaml"
voxtrail run --argo "$T/w.yaml" --repo scans="$T/scans" --repo labels="$T/labels" --store "$T/a" --checkout "$T/by" --log json 2>"$T/err"
same "the emitted workflow leaves the same files" "$?:$(diff -r "$T/ours" "$T/by" 2>&1)" "0:"
voxtrail explain crop "/sub-1 (a)/all.txt" --store "$T/store" >"$T/out" 2>&1; same "explain finds one by its path" "$?:$(grep -c '^file  .*sub-1 (a)' "$T/out")" "0:1"
voxtrail lint "$T/spec.json" --repo scans="$T/scans" --repo labels="$T/labels" >"$T/out" 2>&1
same "lint says which names Pachyderm refuses" "$?:$(grep -c 'warning.*@(sub|3)!^.*Pachyderm' "$T/out")" "0:2"
mkdir "$T/scans/c[1]"; echo x >"$T/scans/c[1]/t1.nii.gz"
run; same "a pattern's own characters are refused" "$?:$(grep -c 'rename it' "$T/err")" "65:1"
voxtrail lint "$T/spec.json" --repo scans="$T/scans" --repo labels="$T/labels" >"$T/out" 2>&1
same "lint says so too" "$?:$(grep -c 'c\[1\].*rename it$' "$T/out")" "65:1"
