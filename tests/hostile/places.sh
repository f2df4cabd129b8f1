# Nothing that is there is overwritten, no name leads elsewhere, no expression is followed too deep: merge, record, run --argo.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; cat said 2>/dev/null; fi; }
mkdir r && echo a >r/f
cat >p.json <<-'END'
	{"pipeline":{"name":"p"},"transform":{"image":"x@sha256:0000000000000000000000000000000000000000000000000000000000000000","cmd":["sh"],
	"stdin":["cp /pfs/r/f /pfs/out/x"]},"input":{"pfs":{"name":"r","repo":"r","glob":"/"}},"datumTries":1}
	END
voxtrail emit argo p.json >w.yaml
mkdir -p precious/p && echo keep >precious/p/x
voxtrail run --argo w.yaml --repo r=r --store s --checkout precious >said 2>&1; rc=$?
[ $rc = 73 ] && grep -q 'precious: not empty' said && [ "$(cat precious/p/x)" = keep ]; ok $? "run --argo --checkout over somebody's files: refused, nothing touched"
voxtrail run --argo w.yaml --repo r=r --store s --checkout fresh >said 2>&1 && [ "$(cat fresh/p/x)" = a ]; ok $? "a new directory is filled"
for deep in '!' '('; do
	$PYTHON - "$deep" <<-'END'
		import re, sys
		text = open("w.yaml").read()
		open("deep.yaml", "w").write(re.sub(r"depends: .*", 'depends: "' + sys.argv[1] * 1000000 + 'p"', text, count=1))
	END
	voxtrail run --argo deep.yaml --repo r=r --store s >said 2>&1; [ $? = 65 ] && grep -q 'depends' said; ok $? "depends of a million $deep"
done
sed 's/depends: .*/depends: "!(!(p.Failed || !p.Succeeded) \&\& p.Failed)"/' w.yaml >some.yaml
voxtrail run --argo some.yaml --repo r=r --store s >said 2>&1; ok $? "a few of both hold as they should"
sed 's/depends: .*/depends: "(p.Succeeded"/' w.yaml >open.yaml
voxtrail run --argo open.yaml --repo r=r --store s >said 2>&1; [ $? = 65 ]; ok $? "one that is not closed is refused"

mkdir -p parts/1 beside old && echo new >parts/1/x && echo s >beside/key && echo old >old/x
voxtrail merge --out old parts/1 >said 2>&1; [ $? = 73 ] && grep -q 'old: not empty' said && [ "$(cat old/x)" = old ]; ok $? "merge into a directory that holds something: refused, what is there does not pass for the union"
for name in ../beside . .. 1/../../beside; do
	echo "$name" >only; voxtrail merge --from parts --only only --out out >said 2>&1; [ $? = 65 ] && grep -q 'not the name of a part' said && [ ! -e out ]; ok $? "merge of a part called $name"
done
printf '1\0\n' >only; voxtrail merge --from parts --only only --out out >said 2>&1; [ $? = 65 ] && grep -q NUL said; ok $? "a list with NUL bytes"
mkdir pipe && mkfifo pipe/p; timeout 20 voxtrail merge --out o1 pipe >said 2>&1; [ $? = 66 ] && grep -q 'not a regular file' said; ok $? "merge of a part with a fifo"
mkdir link && ln -s ../r/f link/f && voxtrail merge --out o2 link >said 2>&1 && [ "$(cat o2/f)" = a ]; ok $? "a link to a file is that file"

mkdir -p pfs/r out && echo a >pfs/r/f && echo b >out/x
for code in -5 256 4294967296; do voxtrail record p.json --pipeline p --in pfs --out out --code=$code >said 2>&1; [ $? = 64 ] && [ ! -e out/.lineage ]; ok $? "record of an exit status of $code"; done

# killed stages leave their work below tmp/ of the store, where a process of the same number must not go on in it (as in containers)
voxtrail commit r r --copy --store s2 >/dev/null 2>&1
if unshare -pf --mount-proc true 2>/dev/null; then
	make-cohort --out cohort --subjects 1 --seed 5 --coarse >/dev/null 2>&1
	prepare() { VOXTRAIL_FAULT=$1 unshare -pf --mount-proc sh -c 'skullstrip-normalize --scans cohort/scans --manifest "$ROOT/manifests/embedded.json" --strip never --store s2 --out "$1"; exit $?' sh "$2"; }
	prepare adopt.chmod:kill n1 >said 2>&1; [ "$(ls s2/tmp)" ]; ok $? "a killed stage leaves something"
	for left in s2/tmp/*/; do chmod u+w "$left"; echo stale >"$left/stale"; done
	prepare '' n2 >said 2>&1; rc=$?; [ $rc = 0 ] && [ ! -e n2/stale ]; ok $? "which the next process of the same number does not take for its own"
else
	echo "skip - processes of one number: no pid namespace here"
fi
