# A workflow whose last output is nothing but quarantine has failed, under the engines themselves too (tests/cli/run/refused.sh: run, argo).
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: got '$2', want '$3'"; tail -n 12 log | sed 's/^/#    /'; fi; }
cd "$T" || exit 2
unset VOXTRAIL_STORE VOXTRAIL_CONSENT
image=stub@sha256:0000000000000000000000000000000000000000000000000000000000000000
step() { printf '{"pipeline":{"name":"%s"},"input":{"pfs":{"name":"in","repo":"%s","glob":"%s"}},"datumTries":1%s,"transform":{"image":"%s","cmd":["/bin/sh"],"stdin":["%s"],"acceptReturnCode":[65]}}' "$1" "$2" "$3" "$5" $image "$4"; }
each='s=$(basename $in); if grep -q BAD $in/x; then mkdir -p /pfs/out/quarantine; echo {} >/pfs/out/quarantine/$s.json; exit 65; fi; mkdir /pfs/out/$s; cp $in/x /pfs/out/$s/y'
mkdir -p store raw/good raw/bad; echo BAD >raw/bad/x
snakemake_() { voxtrail emit snakemake spec.json >Snakefile && snakemake -s Snakefile -j 2 -d "sm-$1" --config raw="$T/raw" voxtrail_store="$T/store" >log 2>&1; }
cwltool_() { voxtrail emit cwl spec.json >all.cwl && cwltool --no-container --outdir "cwl-$1" all.cwl --raw raw >log 2>&1; }
for e in snakemake cwltool; do
	command -v $e >/dev/null || { echo "skip - $e: not installed"; continue; }
	echo scan >raw/good/x; step a raw '/*' "$each" >spec.json; ${e}_ one; same "$e: one good subject: done" "$?" 0
	echo BAD >raw/good/x; ${e}_ two; rc=$?; same "$e: everybody is refused and nobody records it: failed" "$([ $rc != 0 ] && grep -c 'every subject was refused: nothing but quarantine' log | sed 's/[1-9].*/said/')" said
	step a raw '/*' "$each" ',"metadata":{"annotations":{"voxtrail/may-be-empty":"true"}}' >spec.json; ${e}_ three; same "$e: may-be-empty: done" "$?" 0
	(printf '['; step a raw '/*' "$each"; printf ','; step b a / 'ls $in/quarantine >/pfs/out/list'; printf ']') >spec.json; ${e}_ four; same "$e: a pipeline that records them: done" "$?" 0
done
exit 0
