# Stub stages and a five-stage spec for the runner's tests: sourced.  Makes $T/spec.json, $T/scans, $T/labels, $T/recipe.
# Each stub writes what it read, so equal trees mean equal inputs, and appends a line to $T/ran for every execution.
mkdir -p "$T/stub"
cat >"$T/stub/per" <<'S'
#!/bin/sh
# per IN OUT: a file per subject directory of IN that holds the sorted contents
echo "$PPS_PIPELINE_NAME $PACH_DATUM_ID" >>"$RAN"
for d in "$1"/*/; do
	s=$(basename "$d"); mkdir -p "$2/$s"
	if grep -rq BAD "$d"; then rm -r "$2/$s"; mkdir -p "$2/quarantine"; echo '{"why":"bad"}' >"$2/quarantine/$s.json"; exit 65; fi
	(cd "$d" && find . -type f | LC_ALL=C sort | while read -r f; do echo "$f"; cat "$f"; done) >"$2/$s/all.txt"
done
S
cat >"$T/stub/whole" <<'S'
#!/bin/sh
# whole OUT IN...: one file
echo "$PPS_PIPELINE_NAME $PACH_DATUM_ID" >>"$RAN"
out=$1; shift
for d in "$@"; do (cd "$d" && find . -type f ! -path './.lineage/*' | LC_ALL=C sort | while read -r f; do echo "$f"; cat "$f"; done); done >"$out/result.txt"
S
chmod +x "$T/stub/per" "$T/stub/whole"
subject() { mkdir -p "$T/scans/$1" "$T/labels/$1"; echo "scan $1" >"$T/scans/$1/t1.nii.gz"; echo "label $1" >"$T/labels/$1/seg.nii.gz"; }
image=stub@sha256:0000000000000000000000000000000000000000000000000000000000000000
transform() { printf '"transform":{"image":"%s","env":{"RAN":"%s/ran"},"acceptReturnCode":[65],"cmd":[%s]}' "$image" "$T" "$1"; }
pfs() { printf '{"pfs":{"name":"%s","repo":"%s","glob":"%s"%s}}' "$1" "$2" "$3" "$4"; }
cat >"$T/spec.json" <<S
[{"pipeline":{"name":"skull"},"input":$(pfs scans scans '/*'),"parallelismSpec":{"constant":8},$(transform "\"$T/stub/per\",\"/pfs/scans\",\"/pfs/out\"")},
 {"pipeline":{"name":"crop"},"input":{"join":[$(pfs normed skull '/(*)' ',"joinOn":"$1"'),$(pfs labels labels '/(*)' ',"joinOn":"$1"')]},
  "parallelismSpec":{"constant":8},$(transform "\"$T/stub/per\",\"/pfs/normed\",\"/pfs/out\"")},
 {"pipeline":{"name":"train"},"input":$(pfs patches crop /),$(transform "\"$T/stub/whole\",\"/pfs/out\",\"/pfs/patches\"")},
 {"pipeline":{"name":"evaluate"},"input":{"cross":[$(pfs model train /),$(pfs patches crop /)]},$(transform "\"$T/stub/whole\",\"/pfs/out\",\"/pfs/model\",\"/pfs/patches\"")},
 {"pipeline":{"name":"export"},"input":{"cross":[$(pfs model train /),$(pfs metrics evaluate /)]},$(transform "\"$T/stub/whole\",\"/pfs/out\",\"/pfs/model\",\"/pfs/metrics\"")}]
S
run() { rm -f "$T/ran"; : >"$T/ran"; voxtrail run "$T/spec.json" --repo scans="$T/scans" --repo labels="$T/labels" --store "$T/store" "$@" 2>"$T/err"; }
ran() { cut -d' ' -f1 "$T/ran" | LC_ALL=C sort | uniq -c | awk '{printf "%s%s=%s", (NR > 1 ? " " : ""), $2, $1}'; }
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: got '$2', want '$3'"; fi; }
# The tree of each repo's head.
heads() { for h in crop evaluate export labels scans skull train; do echo "$h $(voxtrail log "$h" -n 1 --json --store "$1" | sed -n 's/.*"tree": *"\([0-9a-f]*\)".*/\1/p')"; done; }
