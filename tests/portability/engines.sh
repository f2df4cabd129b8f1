# The emitted CWL and Snakefile, run from clean by cwltool and snakemake: the trees are those of our own runner.
set -u
cd "$T" || exit 2
say() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; tail -n 15 "$3"; fi; }
mkdir recipe manifest && cp "$ROOT/manifests/embedded.json" manifest/manifest.json
for s in skullstrip-normalize crop-patch export; do echo '{"params":{}}' >recipe/$s.json; done
echo '{"params":{"subjects":"all","overlap":0}}' >recipe/evaluate.json
echo '{"params":{"network":{"init_filters":8},"patch":24,"steps":6,"validate-every":3,"max-validation":1,"fold":1}}' >recipe/train.json
make-cohort --out cohort --subjects 4 --seed 7 --coarse >/dev/null 2>&1 || { echo "not ok - make-cohort"; exit 1; }
spec=$ROOT/pipelines/glioma.json
voxtrail run "$spec" --store store --repo scans=cohort/scans --repo labels=cohort/labels --repo recipe=recipe --repo manifest=manifest --checkout ours >log 2>&1
say $? "our runner" log
compare() {     # engine directory
	bad=0
	for p in skullstrip-normalize crop-patch train evaluate export; do diff -r -x .lineage "ours/$p" "$2/$p" >>difference 2>&1 || bad=1; done
	say $bad "$1: all five trees are those of our runner" difference
}
if command -v snakemake >/dev/null; then
	voxtrail emit snakemake "$spec" >Snakefile
	snakemake -s Snakefile -j 2 -d sm --config scans="$T/cohort/scans" labels="$T/cohort/labels" recipe="$T/recipe" manifest="$T/manifest" >log 2>&1
	say $? "snakemake runs the emitted Snakefile" log
	compare snakemake sm
	n=$(find sm/train/.lineage -name record.json | wc -l); [ "$n" = 1 ]
	say $? "lineage records travel with the output" log
else
	echo "skip - snakemake: not installed"
fi
if command -v cwltool >/dev/null; then
	voxtrail emit cwl "$spec" >glioma.cwl
	cwltool --no-container --outdir cwl glioma.cwl --scans cohort/scans --labels cohort/labels --recipe recipe --manifest manifest >log 2>&1
	say $? "cwltool runs the emitted document" log
	compare cwltool cwl
else
	echo "skip - cwltool: not installed"
fi
voxtrail audit ours/train --store store >audit 2>&1; grep -q 'sub-004' audit; say $? "the audit of our own run names every subject" audit
