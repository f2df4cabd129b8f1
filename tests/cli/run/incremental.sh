# What runs again after each kind of change, and what does not.
. "$ROOT/tests/cli/run/_stubs.sh"
for i in 001 002 003; do subject sub-$i; done
run --jobs 1; same "first run succeeds" "$?" 0
same "first run: a datum a subject" "$(ran)" "crop=3 evaluate=1 export=1 skull=3 train=1"
run; same "nothing changed: nothing runs" "$?:$(ran)" "0:"
one=$(heads "$T/store")
voxtrail run "$T/spec.json" --repo scans="$T/scans" --repo labels="$T/labels" --store "$T/store8" --jobs 8 2>"$T/err"
same "--jobs 8 gives the files of --jobs 1" "$(heads "$T/store8" | cut -d' ' -f2- )" "$(echo "$one" | cut -d' ' -f2-)"
subject sub-004; run
same "one more subject: its two datums, then train, evaluate, export" "$(ran)" "crop=1 evaluate=1 export=1 skull=1 train=1"
echo edited >>"$T/scans/sub-002/t1.nii.gz"; run
same "one file edited: exactly five datums" "$(ran)" "crop=1 evaluate=1 export=1 skull=1 train=1"
mv "$T/scans/sub-002/t1.nii.gz" "$T/scans/sub-002/t1x.nii.gz"; run
same "a file renamed inside a subject runs again" "$(ran)" "crop=1 evaluate=1 export=1 skull=1 train=1"
rm -r "$T/scans/sub-003" "$T/labels/sub-003"; run
same "a subject removed: only what reads all subjects runs" "$(ran)" "evaluate=1 export=1 train=1"
for h in crop evaluate export labels scans skull train; do voxtrail checkout "$h" "$T/head/$h" --store "$T/store" >/dev/null; done
same "the removed subject is in no head" "$(grep -rl sub-003 "$T/head"; find "$T/head" -name 'sub-003*')" ""; rm -rf "$T/head"
run --checkout "$T/final"
same "and in no file of the last output" "$(grep -rl sub-003 "$T/final" | wc -l)" 0
echo BAD >"$T/scans/sub-004/t1.nii.gz"; run; same "a bad subject is set aside, the run succeeds" "$?" 0
run; same "only the bad subject is tried again" "$(ran)" "skull=1"
echo good >"$T/scans/sub-004/t1.nii.gz"; run
same "and runs through once it is mended" "$(ran)" "crop=1 evaluate=1 export=1 skull=1 train=1"
echo '# new' >>"$T/stub/per"; run
same "a new program runs all its datums, and nothing behind equal output" "$(ran)" "crop=3 skull=3"
# The same at fifty subjects.
rm -rf "$T/scans" "$T/labels" "$T/store"; i=1; while [ $i -le 50 ]; do subject "sub-$(printf %03d $i)"; i=$((i + 1)); done
run --jobs 4; same "fifty subjects" "$?:$(ran)" "0:crop=50 evaluate=1 export=1 skull=50 train=1"
echo edited >>"$T/scans/sub-017/t1.nii.gz"; run --jobs 4
same "one file edited among fifty: exactly five datums" "$(ran)" "crop=1 evaluate=1 export=1 skull=1 train=1"
same "and they are that subject's" "$(grep -c sub-017 "$T/err")" 2
