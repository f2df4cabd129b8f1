# Checkout: links, copies, parts of a tree; it never overwrites, and a new directory appears whole or not at all.
set -u
umask 022
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; fi; }
export VOXTRAIL_STORE=$T/st
mkdir -p d/sub-001/anat d/sub-002 && printf 'one\n' >d/sub-001/anat/a && printf 'two\n' >d/sub-002/b && printf 'top\n' >d/top && : >d/empty
printf 'one\n' >d/run && chmod +x d/run && printf 'side\n' >d/sub-001.txt
cp -r d want
voxtrail commit r d >/dev/null && voxtrail checkout r out >/dev/null && diff -r want out; ok $? "every file with its bytes"
[ "$(stat -c %a out/run)" = 555 ] && [ "$(stat -c %a out/top)" = 444 ] && [ "$(stat -c %a out/sub-001/anat/a)" = 444 ]; ok $? "executable bits, though two files share their bytes"
[ "$(stat -c %i out/top)" = "$(stat -c %i d/top)" ]; ok $? "files are links"
voxtrail checkout r copy --writable >/dev/null && diff -r want copy && printf 'x' >>copy/top && voxtrail verify >/dev/null; ok $? "--writable: copies that may be changed"
[ "$(stat -c %a copy/run)" = 755 ] && [ "$(stat -c %a copy/empty)" = 644 ]; ok $? "with ordinary permissions"
(umask 077; voxtrail checkout r private --writable >/dev/null) && [ "$(stat -c %a private/run)" = 700 ] && [ "$(stat -c %a private/empty)" = 600 ]; ok $? "as the umask says"
voxtrail checkout r out 2>said; [ $? = 73 ] && grep -q 'out: not empty' said && diff -r want out; ok $? "a directory that holds something is refused and left alone"
printf 'mine\n' >file; voxtrail checkout r file 2>said; [ $? = 73 ] && [ "$(cat file)" = mine ]; ok $? "so is a file"
mkdir empty && voxtrail checkout r empty >/dev/null && diff -r want empty && [ ! -e empty/.voxtrail-partial ]; ok $? "an empty directory is filled"

voxtrail checkout r:sub-001 part >/dev/null && diff -r want/sub-001 part/sub-001 && [ "$(ls part)" = sub-001 ]; ok $? "one directory of it: not the file whose name begins alike"
voxtrail checkout r@master:sub-001/anat/a r@master:top two >/dev/null && [ "$(cd two && find . -type f | LC_ALL=C sort | tr '\n' ' ')" = './sub-001/anat/a ./top ' ]; ok $? "two paths of it"
voxtrail checkout r:nothing no 2>said; [ $? = 66 ] && grep -q 'r: "nothing"' said && [ ! -e no ]; ok $? "a path that is not in it is named"
voxtrail checkout r:top other:top no 2>said; [ $? = 64 ] && [ ! -e no ]; ok $? "two commits in one checkout are refused"

for step in checkout.mkdir checkout.link checkout.rename; do
	VOXTRAIL_FAULT=$step:kill:2 voxtrail checkout r k-$step >/dev/null 2>&1
	[ $step = checkout.rename ] || [ ! -e k-$step ]
	ok $? "killed at $step: no directory"
	voxtrail checkout r k-$step >/dev/null 2>&1 || VOXTRAIL_FAULT= voxtrail checkout r k2-$step >/dev/null 2>&1
	{ diff -r want k-$step || diff -r want k2-$step; } >/dev/null 2>&1 && [ ! -e k-$step.voxtrail-partial ]; ok $? "and the next one succeeds"
done
mkdir m && VOXTRAIL_FAULT=checkout.rename:kill:3 voxtrail checkout r m >/dev/null 2>&1
[ -e m/.voxtrail-partial ]; ok $? "killed while it fills an existing directory: the partial folder says so"
voxtrail checkout r m >/dev/null && diff -r want m; ok $? "and the next one begins anew"
for e in eio enospc; do
	VOXTRAIL_FAULT=checkout.write:$e voxtrail checkout r e-$e --writable 2>said; rc=$?
	[ $rc = 74 ] && grep -q "e-$e.voxtrail-partial/" said && [ -z "$(ls -d e-$e* 2>/dev/null)" ]; ok $? "$e: status 74, the path named, nothing left behind"
done
