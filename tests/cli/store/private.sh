# Nothing of the user's gets wider: modes, new files under the umask, secrets, temporary names; no store swallows a store.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; cat said 2>/dev/null; fi; }
mode() { stat -c %a "$1"; }
object() { echo "$1/objects/$(sha256sum <"$2" | sed 's/\(..\)\([0-9a-f]*\).*/\1\/\2/')"; }
umask 022
mkdir d && echo secret >d/scan && echo run >d/tool && echo open >d/open && chmod 600 d/scan && chmod 750 d/tool && chmod 664 d/open
(umask 077; voxtrail commit scans d --store s) >/dev/null 2>said
[ "$(mode d/scan) $(mode d/tool) $(mode d/open)" = "400 550 444" ]; ok $? "commit takes write permission away and gives nobody any: $(mode d/scan) $(mode d/tool) $(mode d/open)"
[ "$(mode s)" = 700 ] && [ -z "$(find s -perm /077 ! -path '*/objects/*' ! -type l)" ]; ok $? "the store is its owner's alone"
voxtrail commit scans d --store s2 >/dev/null 2>&1; [ "$(mode s2)" = 700 ]; ok $? "under a wide umask too"
mkdir -m 750 s3 && voxtrail commit scans d --store s3 >/dev/null 2>&1; [ "$(mode s3)" = 750 ]; ok $? "a directory that was made for it keeps the mode it was given"
mkdir e && echo other >e/scan && chmod 640 e/scan && voxtrail commit copies e --copy --store s >/dev/null 2>&1
[ "$(mode e/scan)" = 640 ] && [ "$(mode "$(object s e/scan)")" = 440 ]; ok $? "a copy in the store is no wider than the file"
voxtrail checkout scans links --store s >/dev/null && [ "$(mode links/scan) $(mode links/tool)" = "400 550" ]; ok $? "a checkout of links keeps the modes"
voxtrail checkout scans copies --writable --store s >/dev/null 2>said; [ "$(mode copies/scan) $(mode copies/tool) $(mode copies/open)" = "600 750 644" ]
ok $? "writable copies are no wider than what was committed: $(mode copies/scan) $(mode copies/tool) $(mode copies/open)"
(umask 077; voxtrail checkout scans mine --writable --store s >/dev/null 2>said); [ "$(mode mine/open)" = 600 ] && [ "$(mode mine)" = 700 ]; ok $? "and follow the umask"

# whoever reads must not depend on who writes
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && setpriv --reuid 65534 --clear-groups true 2>/dev/null; then
	open=$(mktemp -d) && chmod 755 "$open" && cp -rp d "$open/d"; echo fresh >"$open/d/fresh"; chmod 600 "$open/d/fresh"
	voxtrail commit scans "$open/d" --store "$open/s" >/dev/null 2>&1
	setpriv --reuid 65534 --regid 65534 --clear-groups cat "$open/d/fresh" "$open/s/format" "$(object "$open/s" "$open/d/fresh")" >said 2>/dev/null
	[ ! -s said ]; ok $? "another user reads neither the committed file nor the store"
	# in a folder that others may write to, a name that they made first is not taken
	mkdir -m 1777 "$open/shared"
	setpriv --reuid 65534 --regid 65534 --clear-groups sh -c "i=1; while [ \$i -lt 400 ]; do ln -s $open/stolen $open/shared/site.key.tmp-\$((\$\$ + i)); i=\$((i + 1)); done"
	voxtrail attest keygen "$open/shared/site.key" >/dev/null 2>said; rc=$?
	[ $rc = 0 ] && [ ! -e "$open/stolen" ] && [ "$(stat -c '%u %a' "$open/shared/site.key")" = "0 600" ]; ok $? "a key in a folder that others may write to is root's, 0600"
	rm -rf "$open"
else
	echo "skip - another user: not root, or no setpriv"
fi

# stores in the directory that is committed
mkdir w && echo 1 >w/t && (cd w && voxtrail commit scans . >/dev/null 2>&1 && voxtrail commit all . >../said 2>&1); rc=$?
[ $rc = 0 ] && grep -q '1 files' said && grep -q 'it is a store' said; ok $? "commit of a directory leaves out the store in it, and says so"
(cd w && voxtrail commit all . >../said 2>&1 && voxtrail verify >/dev/null && voxtrail checkout all ../w2 >/dev/null) && [ "$(ls -A w2)" = t ]; ok $? "again and again, and the store stays whole"
[ -w w/.voxtrail/history ]; ok $? "its files stay writable"
voxtrail commit all w/.voxtrail --store s >said 2>&1; [ $? = 65 ] && grep -q 'is a store' said; ok $? "a store itself is refused"

# secrets of a run, seen by the datum and by nobody else
printf '{"tok":{"k":"hush"}}' >secrets.json && chmod 600 secrets.json
cat >p.json <<-'END'
	{"pipeline":{"name":"p"},"transform":{"image":"x@sha256:0000000000000000000000000000000000000000000000000000000000000000","cmd":["sh"],
	"stdin":["stat -c '%a' /secret/k >/pfs/out/mode; cat /secret/k >/dev/null; grep -ao h[u]sh /proc/*/cmdline >/pfs/out/argv; true"],
	"secrets":[{"name":"tok","key":"k","mountPath":"/secret"}]},"input":{"pfs":{"name":"r","repo":"scans","glob":"/"}},"datumTries":1}
	END
voxtrail run p.json --secrets-file secrets.json --store s --checkout out >said 2>&1; rc=$?
if [ $rc = 64 ] && grep -q 'namespace' said; then
	echo "skip - secrets: no mount namespace here"
else
	[ $rc = 0 ] && [ "$(cat out/p/mode)" = 400 ] && [ ! -s out/p/argv ]; ok $? "a secret's file is its user's alone (0400), and in no command line"
	[ -z "$(grep -rl hush s 2>/dev/null)" ]; ok $? "and nowhere in the store afterwards"
fi

# names beyond ASCII go through a run
mkdir u && echo 1 >u/Müller.txt && voxtrail commit u u --store s >/dev/null 2>&1
sed 's/"secrets".*//; s/"stdin":.*/"stdin":["cat \/pfs\/r\/M* >\/pfs\/out\/all"]},/; s/"repo":"scans"/"repo":"u"/' p.json | tr -d '\n' |
	sed 's/$/"input":{"pfs":{"name":"r","repo":"u","glob":"\/*"}},"datumTries":1}/' >u.json
voxtrail run u.json --store s --checkout uo >said 2>&1 && [ "$(cat uo/p/all)" = 1 ]; ok $? "a name that is not ASCII goes through a run"
