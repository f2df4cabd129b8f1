# What operating systems leave in directories is no subject: beside subjects it is passed over, alone (a datum of a glob of every entry) there is nothing to do.
. "$ROOT/tests/cli/run/_stubs.sh"
cd "$T" || exit 1
make-cohort --out c --subjects 2 --coarse >/dev/null 2>&1
for f in Thumbs.db ._P-004 .DS_Store desktop.ini; do echo x >"c/scans/$f"; mkdir "d.$f"; echo x >"d.$f/$f"; done
mkdir -p 'c/scans/System Volume Information' c/scans/__MACOSX
M=$ROOT/manifests/embedded.json
skullstrip-normalize --scans c/scans --manifest "$M" --out n 2>err
same "beside subjects" "$?:$(ls n | tr '\n' ' '):$(grep -c quarantine err)" "0:sub-001 sub-002 :0"
voxtrail manifest c/scans --labels c/labels --check "$M" >table 2>err
same "in a table of the cohort" "$?:$(cut -f 1 table | tr '\n' ' ')" "0:subject sub-001 sub-002 "
for f in Thumbs.db ._P-004 .DS_Store desktop.ini; do
	skullstrip-normalize --scans "d.$f" --manifest "$M" --out "o.$f" 2>err
	same "$f alone: nothing to do, and it is said" "$?:$(ls "o.$f" | tr '\n' ' '):$(grep -c '"event":"stray".*nothing to do' err)" "0::1"
done
crop-patch --normed d.Thumbs.db --labels c/labels --manifest "$M" --out p 2>err
same "crop-patch too" "$?:$(grep -c '"event":"stray"' err)" "0:1"
"$PYTHON" - "$ROOT/pipelines/glioma.json" >two.json <<'END'
import json, sys
json.dump(json.load(open(sys.argv[1]))[:2], sys.stdout)
END
mkdir recipe; for s in skullstrip-normalize crop-patch; do echo '{}' >recipe/$s.json; done
voxtrail run two.json --store s --repo scans=c/scans --repo labels=c/labels --repo manifest="$M" --repo recipe=recipe 2>err
same "in a run" "$?:$(grep -c '"state":"quarantined"\|"event":"quarantine"' err):$(voxtrail ls crop-patch --store s | wc -l)" "0:0:2"
voxtrail tune --help 2>err; same "a stage is no command, and it is said" "$?:$(grep -c 'tune is a stage, a program of its own' err)" "64:1"
