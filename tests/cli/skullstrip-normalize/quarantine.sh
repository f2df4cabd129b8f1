#!/bin/sh
# Bad subjects are quarantined by name with the reason, the others come out, and the bytes are those of one thread.
here=$ROOT/tests/cli/skullstrip-normalize
say() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; fi; }
"$PYTHON" "$here/_make.py" "$T/scans" || exit 2
skullstrip-normalize --scans "$T/scans" --manifest "$ROOT/manifests/brats-2013.json" --out "$T/a" 2>"$T/log"
[ $? = 65 ]; say $? "exit 65 when a subject is quarantined"
ls "$T/a/quarantine" | tr '\n' ' ' | grep -qx 'bad-cut.json bad-missing.json bad-moved.json bad-nan.json '
say $? "exactly the four bad subjects are quarantined"
grep -q 'gzip' "$T/a/quarantine/bad-cut.json" && grep -q 'apart' "$T/a/quarantine/bad-moved.json" &&
	grep -q 'NaN' "$T/a/quarantine/bad-nan.json" && grep -q 't1ce' "$T/a/quarantine/bad-missing.json"
say $? "each reason names what is wrong"
for s in good-1 good-2 head; do
	for f in flair.nii t1ce.nii mask.nii geometry.json qc.png; do [ -s "$T/a/$s/$f" ] || echo "not ok - $s/$f is missing"; done
done
! ls -d "$T"/a/bad-* >/dev/null 2>&1; say $? "nothing half-done of a bad subject is left"
grep -q '"method": "surface"' "$T/a/head/geometry.json" && grep -q '"method": "stripped"' "$T/a/good-1/geometry.json"
say $? "stripped subjects are recognized, the head's brain is found"
(cd / && skullstrip-normalize --scans "$T/scans" --manifest "$ROOT/manifests/brats-2013.json" --out "$T/b" --threads 1) 2>/dev/null
diff -r -x .lineage "$T/a" "$T/b" >/dev/null; say $? "one thread and another directory give the same bytes"
rm -rf "$T"/scans/bad-*
skullstrip-normalize --scans "$T/scans" --manifest "$ROOT/manifests/brats-2013.json" --out "$T/c" 2>/dev/null
say $? "exit 0 without them"
diff -r "$T/a/good-2" "$T/c/good-2" >/dev/null; say $? "a subject's bytes do not depend on the others"
