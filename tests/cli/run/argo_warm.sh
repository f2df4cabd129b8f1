# Argo's warm start: `latest` is a pointer to the newest output, so a training sees the one before it and nothing older, whatever
# files each of them wrote; the runner gives the same.
. "$ROOT/tests/cli/run/_stubs.sh"
subject sub-001
cat >"$T/warm.json" <<S
{"pipeline":{"name":"train"},"metadata":{"annotations":{"voxtrail/warm-start":"previous"}},
 "input":{"cross":[$(pfs scans scans /),$(pfs previous train /)]},
 "transform":{"image":"$image","cmd":["/bin/sh"],"stdin":[
 "n=0; [ -f /pfs/previous/n ] && read n </pfs/previous/n; n=\$((n + 1))",
 "ls /pfs/previous 2>/dev/null | tr '\\\\n' ' ' >/pfs/out/saw-\$n; echo \$n >/pfs/out/n"]}}
S
voxtrail emit argo "$T/warm.json" >"$T/w.yaml" || exit 1
for n in 1 2 3 4; do
	echo "scan $n" >"$T/scans/sub-001/t1.nii.gz"; rm -rf "$T/by" "$T/ours"
	voxtrail run --argo "$T/w.yaml" --view prefix --repo scans="$T/scans" --store "$T/a" --checkout "$T/by" 2>"$T/err"; rc=$?
	want="n saw-$((n - 1)) "; [ $n = 1 ] && want=
	same "workflow $n: exit 0, and it saw the training before it alone" "$rc:$(cat "$T/by/train/saw-$n" 2>&1):$(ls "$T/by/train" | tr '\n' ' ')" "0:$want:n saw-$n "
	voxtrail run "$T/warm.json" --view prefix --repo scans="$T/scans" --store "$T/s" --checkout "$T/ours" 2>"$T/err"
	same "as in the runner" "$?:$(diff -r -x .lineage "$T/ours" "$T/by" 2>&1)" 0:
done
same "one pointer, not a directory that collects" "$(find "$T/a" -path '*latest/train*' ! -type d | wc -l):$(find "$T/a" -path '*latest/train/?*' ! -name COMMIT | wc -l)" 1:0
