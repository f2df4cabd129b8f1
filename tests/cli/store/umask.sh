# Under a umask of 077 nothing that is written can be read by others, and under 000 nothing can be written to by them: every stage and
# what a run, a checkout, a mirror, a key or an export leaves (tests/hostile/events.py has the other commands).
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; cat log said 2>/dev/null | head -20; fi; }
work() {
	sh "$ROOT/tests/e2e/_five_stages.sh" "env " "$ROOT/manifests/embedded.json" || return 1
	measure --labels cohort/labels --scans normed --out measures >log 2>&1 || true # whatever it says, what it wrote counts
	voxtrail commit scans cohort/scans --copy --store s >log 2>&1 || return 1
	printf '{"pipeline":{"name":"p"},"transform":{"image":"x@sha256:%064d","cmd":["sh"],"stdin":["mkdir /pfs/out/d; cp -r /pfs/r/. /pfs/out/d"]},"input":{"pfs":{"name":"r","repo":"scans","glob":"/"}},"datumTries":1}' 0 >p.json
	voxtrail run p.json --store s --checkout co >log 2>&1 && voxtrail checkout p copies --writable --store s >log 2>&1 &&
		voxtrail attest keygen key >log 2>&1 && voxtrail attest sign normed --key key -o signed >log 2>&1 &&
		voxtrail attest export normed --format crate --out crate >log 2>&1 && voxtrail history --anchor anchor --key key --store s >log 2>&1 &&
		voxtrail push --all "$PWD/other" --store s >log 2>&1 &&
		voxtrail mirror --store s >log 2>&1 && voxtrail verify --store s >log 2>&1
}
for mask in 000 077; do
	mkdir u$mask && chmod 755 u$mask && cd u$mask || exit 2
	(umask $mask; work >said 2>&1); ok $? "umask $mask: it all works"
	[ $mask = 000 ] && bits=022 || bits=077
	# what a shell's > made is the shell's
	wide=$(find . -mindepth 1 ! -type l ! -name digests ! -name log ! -name said ! -name p.json -perm /$bits)
	[ -z "$wide" ]; ok $? "umask $mask: nothing has any of $bits: $(echo "$wide" | head -n 5 | tr '\n' ' ')"
	cd ..
done
exit 0
