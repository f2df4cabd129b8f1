# What is in a datum's key, and why it changed.
set -u
cd "$T" || exit 1
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; sed 's/^/    /' said; fi; }
image=x@sha256:0000000000000000000000000000000000000000000000000000000000000000
export VOXTRAIL_STORE=$T/store
mkdir in && for s in sub-1 sub-2; do mkdir in/$s && echo "scan of $s" >in/$s/t1; done
printf '#!/bin/sh\ncp -r $PFS_ROOT/sc/. $PFS_ROOT/out\n' >tool && chmod +x tool && cp tool bin1
spec() { printf '{"pipeline":{"name":"p"},"input":{"pfs":{"name":"sc","repo":"sc","glob":"%s"}},"transform":{"image":"%s","cmd":["%s"],"env":{"LEVEL":"%s"}}}' "${2:-/*}" "$image" "$T/tool" "${1:-1}" >p.json; }
run() { voxtrail run p.json --repo sc=in >/dev/null 2>&1; }
why() { voxtrail explain --spec p.json p --repo sc=in "$@" >said 2>err; }
# expect WHAT LINE...: these and no other lines stand in front of the count
expect() { want=$1; shift; for l; do printf '%s\n' "$l"; done >want; sed -n 's/^[0-9a-f]\{16\}  //p' said >got; cmp -s want got; ok $? "$want"; }
spec; why; expect "never computed" "/sub-1/: no result: it was never computed here under this name" "/sub-2/: no result: it was never computed here under this name"
run; why; expect "all done: nothing is listed"
why sub-1; grep -q 'done: nothing in its key changed' said && grep -q "program  $(sha256sum tool | cut -c1-16)  $T/tool" said && grep -q 'env  *{"LEVEL":"1"}' said && grep -q 'cmd ' said && grep -q 'sc: sc/sub-1' said
ok $? "the key of one datum: command, environment, programs by digest, inputs by content"
voxtrail explain p /sub-1/t1 >said; grep -q "program  $(sha256sum tool | cut -c1-16)" said && grep -q 'input .*sc: sc/sub-1/' said; ok $? "and of the datum behind a file"
echo edited >>in/sub-2/t1; why; expect "an edited subject" "/sub-2/: other content of input sc: sc/sub-2/"
run; echo '# v2' >>tool; why; expect "a new binary" "/sub-1/: other bytes of program $T/tool" "/sub-2/: other bytes of program $T/tool"
cp bin1 tool; why; expect "the old one again: done"
spec 2; why; expect "another environment" "/sub-1/: changed: env" "/sub-2/: changed: env"
spec 1; sed -i 's/"cmd":\["/"cmd":["env","/' p.json; why; grep -q '/sub-1/: changed: cmd; new program env' said; ok $? "a launcher in front"
spec 1; mkdir in/sub-3 && echo 3 >in/sub-3/t1; why; expect "a new subject" "/sub-3/: no result: it was never computed here under this name"
rm -r in/sub-3
printf '{"pipeline":{"name":"q"},"input":{"pfs":{"name":"sc","repo":"sc","glob":"/"}},"transform":{"image":"%s","cmd":["sh"],"stdin":["cat $PFS_ROOT/sc/*/t1 | rev >$PFS_ROOT/out/all"]}}' $image >q.json
voxtrail run q.json --repo sc=in >/dev/null 2>&1; f=$(cat in/*/t1 | rev | sha256sum | cut -c1-64); rm -f "store/objects/$(echo "$f" | cut -c1-2)/$(echo "$f" | cut -c3-)"
voxtrail explain --spec q.json q >said 2>&1; grep -q 'the key is as it was, but files of its result are lost' said; ok $? "a result whose file is lost"
run; voxtrail gc --sweep --keep-days 0 >said 2>&1 && why sub-1 && grep -q 'made of' said; ok $? "gc keeps what explains"
voxtrail push p "$T/far" --results >said 2>&1 && voxtrail explain p /sub-1/t1 --store far >said 2>&1 && grep -q "program .*$T/tool" said; ok $? "and it travels with results"
voxtrail explain --spec p.json nothing >said 2>&1; [ $? = 64 ]; ok $? "an unknown pipeline: 64"
voxtrail explain --spec p.json p nobody >said 2>&1; [ $? = 66 ]; ok $? "an unknown datum: 66"
voxtrail explain p >said 2>&1; [ $? = 64 ]; ok $? "neither path nor spec: 64"
