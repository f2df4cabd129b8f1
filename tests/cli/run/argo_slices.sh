# Emitted Argo workflows whose plan is cut into slices give what one plan gives, and records that lie beside a directory below an input
# (a member's) come along wherever the glob goes below it, for Argo and for views.
set -u
cd "$T" || exit 1
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: got '$2', want '$3'"; fi; }
image=x@sha256:0000000000000000000000000000000000000000000000000000000000000000
for n in a b c; do mkdir -p r/$n; echo "{\"rate\":{\"choice\":[\"$n\"]}}" >r/$n/space.json; done
step() { printf '{"pipeline":{"name":"%s"},"transform":{"image":"%s","cmd":["/bin/sh"],"stdin":["%s"]},"input":{"pfs":{"name":"%s","repo":"%s","glob":"%s"}},"datumTries":1,"parallelismSpec":{"constant":4}}' "$1" $image "$2" "$3" "$3" "$4"; }
cat >spec.json <<S
[$(step m 'sample --space $r --trials 2 --out /pfs/out/$(basename $r)' r '/*'),
 $(step deep 'mkdir -p /pfs/out/${m##*/m/} && tr a-z A-Z <$m/rung-1.json >/pfs/out/${m##*/m/}/up' m '/*/trial-*'),
 $(step half 'mkdir -p /pfs/out/${m##*/m/} && tr a-z B-Z <$m/rung-2.json >/pfs/out/${m##*/m/}/up' m '/a/*'),
 $(step named 'tr a-z A-Z <$m/rung-1.json >/pfs/out/up' m '/b/trial-1'),
 $(step whole 'cat /pfs/m/*/*/* | tr a-z A-Z >/pfs/out/up' m '/')]
S
voxtrail run spec.json --repo r=r --store s --checkout ours 2>err; same "a run" $? 0
parents() { cat ours/$1/.lineage/*/record.json | grep -o '"parents":\["[0-9a-f]*"' | wc -l; }
same "every datum's record names what its input's member was made by" "$(parents deep):$(parents half):$(parents named)" 6:2:1
for k in 1 2 5; do
	rm -rf by; voxtrail emit argo spec.json --slices $k >w.yaml && voxtrail lint w.yaml >/dev/null && voxtrail run --argo w.yaml --repo r=r --store a --checkout by 2>err; rc=$?
	same "in $k slices: the same files and the same records" "$rc:$(diff -r -x 'observed-*' ours by 2>&1 | head -n 3)" 0:
done
voxtrail emit argo spec.json >one.yaml; voxtrail emit argo spec.json --slices 1 >w.yaml
same "one slice is no slice" "$(cmp one.yaml w.yaml && grep -c slice w.yaml)" 0
# members in a repo that is bound
rm -rf ours2 by2; printf '[%s]' "$(step deep 'mkdir -p /pfs/out/${m##*/m/} && tr a-z A-Z <$m/rung-1.json >/pfs/out/${m##*/m/}/up' m '/*/trial-*')" >bound.json
voxtrail run bound.json --repo m=ours/m --store s2 --checkout ours2 2>err && voxtrail emit argo bound.json >w.yaml && voxtrail run --argo w.yaml --repo m=ours/m --store a2 --checkout by2 2>err
same "records of a repo that somebody bound come along, too" "$?:$(diff -r -x 'observed-*' ours2 by2 2>&1 | head -n 3):$(cat by2/deep/.lineage/*/record.json | grep -o '"parents":\["[0-9a-f]*"' | wc -l)" 0::6
voxtrail plan bound.json --pipeline deep --views views --repo m=ours/m 2>err; same "and stand in views" "$?:$(find views -path '*/m/[abc]/.lineage/*/record.json' | wc -l)" 0:6
# the list that Argo would cut
mkdir many; (cd many && seq -f 'sub-%04g' 3500 | xargs touch)
printf '[%s]' "$(step p true many '/*')" >many.json
voxtrail plan many.json --pipeline p --repo many=many --slice 0/2 2>err; same "a slice of what is no list of items is refused" "$?:$(grep -c 'slice goes with --items' err)" 64:1
items() { voxtrail plan many.json --items --pipeline p --repo many=many "$@" 2>err; }
items >/dev/null; same "what does not fit says in how many slices it does" "$?:$(grep -c 'emit the workflow with --slices 2' err)" 65:1
items --slice 0/2 >0; items --slice 1/2 >1; for k in 0 1 2; do items --slice $k/3 >third-$k; done
all() { cat "$@" | grep -o '"many":"[^"]*"' | sort; }
same "slices are all of it, each once" "$(all 0 1 | uniq | wc -l):$(all 0 1 | md5sum)" "3500:$(all third-0 third-1 third-2 | md5sum)"
for bad in 2/2 -1/2 1 a/b 0/0 1/2x; do items --slice $bad >/dev/null; same "--slice $bad is refused" $? 64; done
voxtrail emit argo spec.json --slices 101 >/dev/null 2>&1; same "101 slices are refused" $? 64
voxtrail emit cwl spec.json --slices 2 >/dev/null 2>err; same "so are slices elsewhere" "$?:$(grep -c 'for argo' err)" 64:1
printf '[%s,%s]' "$(step p true r '/*')" "$(step plan-p true r '/*')" >twice.json
voxtrail emit argo twice.json >/dev/null 2>err; same "two tasks of one name are refused" "$?:$(grep -c 'two tasks of the workflow would be called plan-p' err)" 65:1
