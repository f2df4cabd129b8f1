# What cannot be committed is refused with its path and the reason, and the store stays as it was.  Several processes at once.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; cat said 2>/dev/null; fi; }
export VOXTRAIL_STORE=$T/st
sum() { (cd st && find . -type f ! -name 'lineage.db*' ! -name in-use ! -name lock | LC_ALL=C sort | xargs sha256sum | sha256sum); }
fresh() { rm -rf d; mkdir -p d/sub && printf 'good\n' >d/sub/good && printf 'more\n' >d/z; }
fresh && voxtrail commit r d >/dev/null && before=$(sum)
refused() {     # status, what it says, the case
	voxtrail commit r d >said 2>&1; rc=$?
	[ $rc = "$1" ] && grep -q "$2" said && [ "$(sum)" = "$before" ]; ok $? "$3"
}
fresh; mkfifo d/sub/pipe; refused 65 'd/sub/pipe: a fifo' "a fifo"
fresh; /usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("d/s")'; refused 65 'd/s: a socket' "a socket"
if [ "$(id -u)" = 0 ] && { fresh; mknod d/null c 1 3 2>/dev/null; }; then refused 65 'd/null: a device' "a device"; else echo "skip - a device: only root makes one"; fi
fresh; ln -s /etc/hostname d/sub/out; refused 65 'd/sub/out: a symbolic link (to /etc/hostname)' "a symlink out of the root"
fresh; ln -s good d/sub/in; refused 65 'd/sub/in: a symbolic link' "a symlink within"
fresh; ln -s nowhere d/sub/gone; refused 65 'd/sub/gone: a symbolic link' "a dangling symlink"
fresh; ln -s / d/dir; refused 65 'd/dir: a symbolic link' "a symlink to a directory"
fresh; mkfifo d/sub/b-pipe; ln -s x d/a-link; refused 65 'd/a-link' "of several faults always the one with the least path"
voxtrail commit r nowhere >said 2>&1; [ $? = 66 ] && grep -q 'nowhere' said; ok $? "a directory that is not there"
printf 'x' >file; voxtrail commit r file >said 2>&1; [ $? = 66 ]; ok $? "a file instead of a directory"
fresh; for what in 'hash.open:eio 74' 'hash.read:eio 74' 'hash.open:enospc 66'; do
	VOXTRAIL_FAULT=${what% *} voxtrail commit r d >said 2>&1; rc=$?
	[ $rc = "${what#* }" ] && grep -q "$T/d/sub/good: cannot" said && [ "$(sum)" = "$before" ]; ok $? "a file that cannot be read (${what% *})"
done
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && setpriv --reuid 65534 --clear-groups true 2>/dev/null; then
	# a folder that another user can reach, which the scratch folder is not
	open=$(mktemp -d) && chmod 777 "$open" && cp "$(command -v voxtrail)" "$open/voxtrail"
	other() { setpriv --reuid 65534 --regid 65534 --clear-groups "$open/voxtrail" commit r "$open/d" --store "$open/st" >said 2>&1; }
	fresh; cp -r d "$open/d"; chmod 755 "$open/d" "$open/d/sub"; chmod 666 "$open/d/z"; chmod 000 "$open/d/sub/good"
	other; [ $? = 66 ] && grep -q 'd/sub/good: cannot open: Permission denied' said; ok $? "an unreadable file"
	chmod 000 "$open/d/sub"; other; [ $? = 66 ] && grep -q 'd/sub: cannot list: Permission denied' said; ok $? "an unreadable directory"
	chmod 755 "$open/d/sub"; chmod 666 "$open/d/sub/good"
	other; [ $? = 0 ] && [ "$(stat -c %a "$open/d/z")" = 666 ] && [ "$(stat -c %h "$open/d/z")" = 1 ]; ok $? "another user's files are copied and stay as they are"
	rm -rf "$open"
else
	echo "skip - unreadable files: not root, or no setpriv"
fi

# a file that grows, and one that goes, while it is hashed
fresh; head -c 60000000 /dev/zero >d/big
(i=0; while [ $i -lt 2000 ]; do printf 'x' >>d/big 2>/dev/null || exit; i=$((i + 1)); done) & p=$!
voxtrail commit r d >said 2>&1; rc=$?; wait $p
{ [ $rc = 74 ] && grep -q 'd/big: changed while it was' said && [ "$(sum)" = "$before" ]; } || { [ $rc = 0 ] && voxtrail verify >/dev/null; }
ok $? "a growing file is refused, or was whole"
fresh; head -c 60000000 /dev/zero >d/big
(sleep 0.01; rm d/big) & p=$!
voxtrail commit r d >said 2>&1; rc=$?; wait $p
{ { [ $rc = 74 ] || [ $rc = 66 ]; } && grep -q 'd/big' said; } || [ $rc = 0 ] && voxtrail verify >/dev/null; ok $? "a vanishing file is refused, or was whole"

# the store itself
fresh; cp -r st st2; printf 'voxstore 3\n' >st2/format
voxtrail commit r d --store st2 >said 2>&1; [ $? = 65 ] && grep -q '"voxstore 3"; this version reads' said; ok $? "a store of a newer format"
rm -rf st2; cp -r st st2; rm -f st2/lineage.db*; head -c 8192 /dev/urandom >st2/lineage.db
voxtrail verify --store st2 >said 2>&1; [ $? = 76 ] && grep -q 'lineage.db' said; ok $? "a corrupt database is named"
voxtrail rebuild --store st2 >/dev/null 2>&1 && voxtrail verify --store st2 >/dev/null 2>said && voxtrail checkout r o2 --store st2 >/dev/null; ok $? "rebuild makes it again"
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
	unshare -m sh -c 'mount --bind st st && mount -o remount,bind,ro st && voxtrail commit r d' >said 2>&1; rc=$?
	[ $rc = 73 -o $rc = 74 ] && grep -q 'Read-only' said; ok $? "a read-only store is refused with the reason"
	unshare -m sh -c 'mount --bind st st && mount -o remount,bind,ro st && voxtrail verify' >said 2>&1; ok $? "and can be verified"
	rm -rf small; mkdir small; fresh; head -c 3000000 /dev/urandom >d/big
	unshare -m sh -c 'mount -t tmpfs -o size=2m none small && voxtrail commit r d --store small/st; rc=$?; rm d/big; voxtrail commit r d --store small/st >/dev/null && voxtrail verify --store small/st >/dev/null && [ -z "$(ls small/st/tmp)" ] || exit 1; exit $rc' >said 2>&1
	[ $? = 74 ] && grep -q 'd/big: cannot copy into the store: No space left' said; ok $? "a full disk: the file is named, and a smaller commit succeeds"
else
	echo "skip - read-only and full file systems: only root mounts them"
fi

# many at once
rm -rf st; for i in 1 2 3 4 5 6; do mkdir -p "p$i/s" && for k in 1 2 3 4 5 6 7 8; do printf 'shared %d\n' $k >"p$i/s/$k"; printf 'own %d %d\n' $i $k >"p$i/$k"; done; done
for i in 1 2 3 4 5 6; do (voxtrail commit "r$i" "p$i" && voxtrail commit all "p$i" && voxtrail checkout "r$i" "c$i" && voxtrail gc --sweep) >"log$i" 2>&1 || echo "$i" >>failed & done
wait
[ ! -e failed ] && voxtrail verify >said; ok $? "six processes commit, check out and sweep at once"
for i in 1 2 3 4 5 6; do diff -r "p$i" "c$i" || echo differs >>failed; done; [ ! -e failed ]; ok $? "and each has what it committed"
[ "$(voxtrail log all | grep -cE "^[0-9a-f]{16}")" = 6 ]; ok $? "no commit to the shared branch is lost"
