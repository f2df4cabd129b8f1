# erase names the checkouts that the store knows of and that hold the subject; what was moved or removed is no error; the list
# is bounded, and says so when it forgot.
. "$ROOT/tests/cli/run/_stubs.sh"
cd "$T" || exit 1
export VOXTRAIL_STORE=$T/st
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2: $(cat said)"; fi; }
for i in 001 002; do subject sub-$i; done
voxtrail commit scans scans --copy >/dev/null && cp -r scans whole && mkdir deep
voxtrail checkout scans here >/dev/null && voxtrail checkout scans 'deep/a b%41' --writable >/dev/null && voxtrail checkout scans:sub-002 other >/dev/null
voxtrail checkout scans moved >/dev/null && mv moved elsewhere && voxtrail checkout scans gone >/dev/null && rm -r gone
voxtrail checkout scans emptied --writable >/dev/null && rm -r emptied/sub-001
voxtrail run spec.json --repo scans=scans --repo labels=labels --view prefix --checkout out 2>err
names() { voxtrail erase sub-001 --json | "$PYTHON" -c 'import json, sys
for s in json.load(sys.stdin)["outside"]: print(s)' >said; sed 's/: .*//' said | LC_ALL=C sort | tr '\n' '|'; }
p=$(pwd -P)
same "without --yes: those that hold its files, and no other" "$(names)" "$p/deep/a b%41|$p/here|$p/out/crop|$p/out/skull|"
rm -r here; voxtrail checkout scans here >/dev/null; voxtrail erase sub-001 >said; same "a directory that was written twice is named once" "$(grep -c "^outside  $p/here: " said)" 1
voxtrail erase sub-001 >said; grep -q "^outside  $p/here: was checked out of this store and holds 1 files of the subject" said; ok $? "in words"
voxtrail checkout scans here2 >/dev/null && rm -r here; VOXTRAIL_FAULT=checkout.rename:kill voxtrail checkout scans half >/dev/null 2>&1
same "what a killed checkout left is named" "$(names)" "$p/deep/a b%41|$p/half.voxtrail-partial|$p/here2|$p/out/crop|$p/out/skull|"
rm -r half.voxtrail-partial
voxtrail erase sub-001 --yes --reason form >said; rc=$?; [ $rc = 0 ] && grep -q "^outside  $p/here2: " said && [ -f here2/sub-001/t1.nii.gz ] && ! grep -q "^outside  $p/here:" said; ok $? "erased: the list comes again, nothing outside is touched"
rm -r here2; same "and when they are gone, nothing is outside but the others" "$(names)" "$p/deep/a b%41|$p/out/crop|$p/out/skull|"

VOXTRAIL_FAULT=checkout.rename:kill voxtrail checkout scans:sub-002 killed >/dev/null 2>&1
same "what a killed checkout of others left is not named" "$(names)" "$p/deep/a b%41|$p/out/crop|$p/out/skull|"
VOXTRAIL_FAULT=checkouts.write:enospc voxtrail checkout scans:sub-002 unnoted >/dev/null 2>said; [ $? = 0 ] && grep -q 'checkout-not-noted' said && [ -d unnoted ]; ok $? "no room for the note: it is said, and the files come"
n=$(wc -c <st/checkouts); [ "$(stat -c %a st/checkouts)" = 600 ]; ok $? "the list is its owner's alone"
# 256 KiB of lines of which one place is there
line=$(grep -m 1 'out/crop' st/checkouts); mkdir many
"$PYTHON" -c 'import sys
t = "0" * 64
for i in range(1500): print(f"\n{t} /nowhere/{i:0200d}")' >>st/checkouts
printf 'torn' >>st/checkouts
voxtrail checkout scans:sub-002 late >/dev/null 2>&1; [ "$(wc -c <st/checkouts)" -lt 10000 ] && grep -q 'out/crop' st/checkouts && grep -q "$T/late\$" st/checkouts && ! grep -q '^forgotten' st/checkouts
ok $? "a long list loses what is not there"
same "and knows the rest" "$(names)" "$p/deep/a b%41|$p/out/crop|$p/out/skull|"
long=$(printf '%0200d' 0); for i in 1 2 3 4 5; do long=$long/$(printf '%0200d' 0); done; mkdir -p "many/$long"
"$PYTHON" -c 'import sys
for i in range(400): print(f"\n{i:064x} {sys.argv[1]}")' "$p/many/$long" >>st/checkouts
voxtrail checkout scans:sub-002 later >/dev/null 2>&1; names >/dev/null; grep -q 'more checkouts were made than are remembered' said && [ "$(wc -c <st/checkouts)" -lt 140000 ] && grep -q "$T/later\$" st/checkouts; ok $? "one too long of places that are there forgets the oldest, and says so"

# What an approver signs is printed as text, a line a member.
for n in anna bob; do voxtrail attest keygen $n.key >/dev/null; voxtrail trust add-approver $n.key.pub --user $n-of-nobody >/dev/null; done
voxtrail trust demand approved erase >/dev/null
voxtrail erase sub-002 --yes --reason letter --ask request.json >/dev/null
voxtrail trust approve request.json --key anna.key --out approval.json >said
[ $? = 0 ] && grep -qx '  "reason": "letter",' said && grep -qx '  "subject": "sub-002"' said && ! grep -q '\\' said; ok $? "what is approved is printed line by line"
