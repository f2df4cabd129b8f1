# Every engine after every kind of change: are the trees those of a clean run of our own, and did no more run than had to?
# The table that comes out is the one of docs/pipelines.md.
. "$ROOT/tests/cli/run/_stubs.sh"
cd "$T" || exit 2
unset VOXTRAIL_STORE VOXTRAIL_CONSENT
for i in 001 002 003; do subject sub-$i; done
pipelines='skull crop train evaluate export'
# The first stub with its launcher: a new binary behind env is a new key, too.
sed -i "s#\"cmd\":\[\"$T/stub/whole\"#\"cmd\":[\"env\",\"A=b\",\"$T/stub/whole\"#" spec.json
start() { : >ran; }
count() { wc -l <ran | tr -d ' '; }
argo() { voxtrail emit argo spec.json >w.yaml && voxtrail run --argo w.yaml --repo scans=scans --repo labels=labels --store "$1" --checkout by/argo; }
by() {
	case $1 in
	run) voxtrail run spec.json --repo scans=scans --repo labels=labels --store st --checkout by/run ;;
	argo) rm -rf by/argo; argo st ;;
	snakemake) snakemake -s Snakefile -j 2 -d by/snakemake --config scans="$T/scans" labels="$T/labels" voxtrail_store="$T/st" ;;
	cwltool) rm -rf by/cwltool; cwltool --no-container --outdir by/cwltool all.cwl --scans scans --labels labels $(test -f st/consent.json && echo --voxtrail-consent st/consent.json) ;;
	esac >"log.$1" 2>&1
}
engines='run argo'
for e in snakemake cwltool; do if command -v $e >/dev/null; then engines="$engines $e"; else echo "skip - $e: not installed"; fi; done
mkdir -p by st; voxtrail emit snakemake spec.json >Snakefile; voxtrail emit cwl spec.json >all.cwl
for e in $engines; do : >"row.$e"; done
# change NAME: all engines against a run from nothing
change() {
	rm -rf clean clean.st; [ -f st/consent.json ] && mkdir clean.st && cp st/consent.json clean.st/
	voxtrail run spec.json --repo scans=scans --repo labels=labels --store clean.st --checkout clean >log.clean 2>&1; want=$?
	for e in $engines; do
		start; by $e; rc=$?
		if [ $want != 0 ]; then word=refused; [ $rc != 0 ] && grep -rqs 'withdrawn consent' log.$e st/argo/work.* || word=taken
		else
			word="same, $(count) run"; [ $rc = 0 ] || word="failed"
			for p in $pipelines; do diff -r "clean/$p" "by/$e/$p" >>log.$e 2>&1 || word=other; done
		fi
		case $word in same*|refused) echo "ok - $e: $1: $word" ;; *) echo "not ok - $e: $1: $word"; tail -n 12 "log.$e" ;; esac
		printf ' %s |' "$word" >>"row.$e"
	done
}
change clean
subject sub-004; change +1
echo changed >>scans/sub-002/t1.nii.gz; change edit
rm -r scans/sub-001 labels/sub-001; change remove
voxtrail consent withdraw sub-003 --reason letter --store st >/dev/null 2>&1; change withdraw
voxtrail consent restore sub-003 --reason letter --store st >/dev/null 2>&1
printf '# x\n' >>stub/whole; change "new binary"
# Without a store nobody vouches for the records: 3 where the answer is whole.
for e in $engines; do
	voxtrail audit by/$e/export >log.$e 2>&1; rc=$?
	[ $rc = 0 ] || [ $rc = 3 ] && [ "$(grep -c 'sub-00[234]/\(t1.nii.gz\|seg.nii.gz\)' log.$e)" -ge 6 ]
	if [ $? = 0 ]; then echo "ok - $e: audit: whole"; word=whole; else echo "not ok - $e: audit: $rc"; word=cut; fi
	row="| $e |$(cat row.$e) $word |"
	if grep -qF "$row" "$ROOT/docs/pipelines.md"; then echo "ok - docs/pipelines.md has the row of $e"; else echo "not ok - docs/pipelines.md has the row of $e: $row"; fi
done
