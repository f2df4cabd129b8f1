# A store that may only be read: media that are mounted so, and readers without write permission. What only looks works and leaves nothing
# behind; what would write says why it cannot (73).
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; sed 's/^/    /' said; fi; }
cat >p.json <<-'END'
	{"pipeline":{"name":"p"},"transform":{"image":"x@sha256:0000000000000000000000000000000000000000000000000000000000000000","cmd":["sh"],
	"stdin":["cat /pfs/r/*/* >/pfs/out/all"]},"input":{"pfs":{"name":"r","repo":"r","glob":"/"}},"datumTries":1}
	END
cp "$ROOT/manifests/embedded.json" m.json
mkdir -p in/sub-1 && echo one >in/sub-1/t1.nii && echo two >in/sub-1/b && voxtrail commit r in --copy --store st >/dev/null 2>said &&
	voxtrail run p.json --store st >/dev/null 2>said && voxtrail tag r v1 --store st >/dev/null; ok $? "a store with a run"
# --- everything in one script, run where the store cannot be written to; a line a command: status, command
cat >look.sh <<-'END'
	export VOXTRAIL_STORE=$1
	while read -r want command; do
		voxtrail $command </dev/null >out 2>&1; rc=$?
		[ $rc = $want ] || { echo "$rc, not $want: $command"; cat out; }
	done <<-LIST
		0 log r
		0 verify
		0 history --check
		0 export-log
		0 audit p
		0 subjects p
		0 descendants r
		0 ls r
		0 table r --manifest $2/m.json
		0 diff r r~0
		0 branch r
		0 tag r
		0 pin
		0 explain p /all
		0 logs p
		0 consent list
		0 consent check
		0 trust list
		0 trust keys
		0 gc
		0 checkout r co
		0 checkout p co2
		0 checkout r co3 --writable
		0 plan $2/p.json
		0 plan $2/p.json --repo r=$2/in
		0 plan $2/p.json --repo r=$2/p.json
		73 datum verify $2/p.json p --repo r=$2/p.json
		0 datum list $2/p.json p
		73 datum exec $2/p.json p /
		0 push r copy
		0 lint $2/p.json --store $1
		0 serve
		73 commit r $2/in
		73 run $2/p.json
		73 consent withdraw sub-1 --reason x
		73 trust vouch --all --reason x
		73 gc --sweep
		73 branch r other master
		73 pin r --reason x
		73 erase sub-1 --yes --reason x
	LIST
	voxtrail pull r "$1" --store copy2 >out 2>&1 || { echo "pull from it"; cat out; }
	[ "$(cat co/sub-1/t1.nii co3/sub-1/b)" = "one
	two" ] && cmp -s co2/all copy-of-all || echo "checkouts differ"
	voxtrail checkout r co4 --store copy2 >out 2>&1 && diff -r co co4 || echo "the pulled copy differs"
END
sed -i 's/^	//' look.sh
cat in/sub-1/b in/sub-1/t1.nii >copy-of-all
state() { find st -type f -printf '%P %s %T@ %m\n' | LC_ALL=C sort; }
state >before
B=$(dirname "$(command -v voxtrail)")
if unshare -m true 2>/dev/null && unshare -m sh -c 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"' sh "$T/st" 2>/dev/null; then
	mkdir media && cp copy-of-all media
	(cd media && PATH=$B:$PATH unshare -m sh -c 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec sh "$2/look.sh" "$1" "$2"' sh "$T/st" "$T") >said 2>&1
	[ ! -s said ]; ok $? "on media that are mounted read-only: 43 commands as they should"
	state >after; cmp before after >said 2>&1; ok $? "and the store is as it was"
else
	echo "skip - read-only media: no mount namespace here"
fi
if [ "$(id -u)" = 0 ] && setpriv --reuid 65534 --regid 65534 --clear-groups true 2>/dev/null; then
	open=$(mktemp -d) && chmod 755 "$open" && mkdir "$open/bin" && cp "$B"/voxtrail "$open/bin" && cp -r st in p.json look.sh m.json "$open" && mkdir -m 777 "$open/w" && cp copy-of-all "$open/w"
	chmod -R go+rX "$open/st" "$open/in" "$open"/*.*
	(cd "$open/w" && PATH=$open/bin:$PATH HOME=$open/w setpriv --reuid 65534 --regid 65534 --clear-groups sh "$open/look.sh" "$open/st" "$open") >said 2>&1
	[ ! -s said ]; ok $? "for a reader without write permission: the same"
	rm -rf "$open"
elif [ "$(id -u)" != 0 ]; then
	mkdir reader && cp copy-of-all reader && chmod -R u-w st
	(cd reader && sh "$T/look.sh" "$T/st" "$T") >said 2>&1; [ ! -s said ]; ok $? "for a reader without write permission: the same"
	chmod -R u+w st
else
	echo "skip - a reader without write permission: no setpriv"
fi
