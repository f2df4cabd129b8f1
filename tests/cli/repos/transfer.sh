# push and pull: directories and a stand-in for ssh; only what is missing travels, everything is checked on arrival, refs come
# last and only forward, and a transfer that dies loses nothing.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; [ -f said ] && sed 's/^/    /' said; fi; }
export VOXTRAIL_STORE=$T/st
id() { voxtrail log "$1" -n 1 --json --store "$2" | "$PYTHON" -c 'import json,sys; print(json.load(sys.stdin)[0]["commit"])'; }
same() { voxtrail log "$1" --store "$2" >la && voxtrail log "$1" --store "$3" >lb && cmp -s la lb; }
mkdir -p d/sub/deep e && echo one >d/a && echo two >d/sub/b && cp d/a d/sub/deep/copy && head -c 300000 /dev/zero | tr '\0' x >d/big
voxtrail commit scans d -m first >/dev/null
rm -f d/a; echo three >d/c; voxtrail commit scans d -m second >/dev/null; voxtrail tag scans v1 master~1 >/dev/null

voxtrail push scans remote >said; ok $? "push to a directory that does not exist"
grep -q 'pushed 2 commits, 4 trees, 4 files (300014 bytes)' said; ok $? "two commits, their trees, each content once"
same scans st remote && same scans@v1 st remote && voxtrail verify --store remote >/dev/null; ok $? "history and tag are the same there; verify"
voxtrail push scans remote >said && grep -q 'nothing to do' said; ok $? "pushed again: nothing"
echo four >d/f; voxtrail commit scans d -m third >/dev/null
voxtrail push scans@master remote >said && grep -q 'pushed 1 commits, 1 trees, 1 files (5 bytes)' said; ok $? "one more file: one tree and five bytes"
voxtrail pull scans remote --store other >said && same scans st other && same scans@v1 st other; ok $? "pull into a new store"
voxtrail checkout scans co --store other >/dev/null && diff -r d co >said; ok $? "its files are the files"

# both sides move
mkdir g; echo g >g/g; voxtrail commit scans g -m there --store remote >/dev/null; voxtrail commit scans e --allow-empty -m here >/dev/null 2>&1
echo h >e/h; voxtrail commit scans e -m here >/dev/null
voxtrail push scans remote >said 2>&1; [ $? = 1 ] && grep -q "neither holds the other" said; ok $? "a push that is not forward is refused"
voxtrail pull scans remote >said 2>&1; [ $? = 1 ] && grep -q "neither holds the other" said; ok $? "so is such a pull"
before=$(id scans remote); voxtrail push scans remote --force >said && [ "$(id scans remote)" = "$(id scans st)" ] && [ "$before" != "$(id scans remote)" ]
ok $? "--force moves it"
voxtrail push scans@master remote >/dev/null; echo z >e/z; voxtrail commit scans e -m more --store remote >/dev/null
voxtrail push scans remote >said && grep -q 'scans@master: the destination is ahead' said; ok $? "a destination that is ahead is left alone"
voxtrail pull scans remote >said && same scans st remote; ok $? "and pulled from"
voxtrail tag scans v1 master --force >/dev/null; voxtrail push scans@v1 remote >said 2>&1; [ $? = 1 ]; ok $? "a tag that is elsewhere there is not moved"
no() { status=$1 text=$2; shift 2; voxtrail "$@" >said 2>&1; [ $? = "$status" ] && grep -q -- "$text" said; ok $? "$*: exit $status"; }
no 66 'has no nothing' push nothing remote
no 66 'has no scans@nothing' push scans@nothing remote
no 64 'this store itself' push scans st
no 66 'nowhere' pull scans nowhere
no 64 'HOST:PATH' push scans s3://bucket/x
no 64 'no host' push -- scans -oProxyCommand=x:y

# --- a stand-in for ssh: host, command
cat >ssh <<'SH'
[ "$1" = -p ] && { echo "port $2" >>"$T/ports"; shift 2; }
[ "$1" = there ] || { echo "no route to $1" >&2; exit 255; }
shift
# the line ends with the command at its far end, whatever still stands in front of it
exec 3<&0
${VIA:-cat} <&3 | (cd "$T/far" && exec sh -c "$1") | ${BACK:-cat} &
exec >&- 3<&-
wait
SH
export VOXTRAIL_SSH="sh $T/ssh"; mkdir far
voxtrail push scans "there:it's here" >said 2>&1 && same scans st "far/it's here"; ok $? "push over ssh, with a quote in the path"
voxtrail pull --all "ssh://there:2222/$T/far/it's here" --store over >said 2>&1 && same scans st over && [ "$(cat ports)" = "port 2222" ]; ok $? "pull --all from an ssh:// url with a port"
voxtrail verify --store over >/dev/null; ok $? "verify"
no 66 'no answer' push scans elsewhere:x
no 66 'there:nowhere' pull scans there:nowhere
VOXTRAIL_REMOTE=/none/voxtrail voxtrail push scans there:x >said 2>&1; [ $? = 66 ]; ok $? "no voxtrail there: exit 66"
VOXTRAIL_REMOTE='echo Welcome;:' voxtrail push scans there:x >said 2>&1; [ $? = 65 ] && grep -q Welcome said; ok $? "a noisy shell is quoted"

# --- damage on the way
cat >line.py <<'PY'
# passes bytes on as they come: with one word changed, or only the first N
import os, sys
left = int(sys.argv[1])
while left > 0 and (b := os.read(0, 65536)):
    b = b.replace(b"hello,", b"hullo,")[:left]
    left -= len(b)
    while b:
        b = b[os.write(1, b):]
PY
printf 'hello, damage\n' >e/h2; voxtrail commit scans e -m "to be damaged" >/dev/null
old=$(id scans "far/it's here")
VIA="$PYTHON $T/line.py 99999999" voxtrail push scans "there:it's here" >said 2>&1; [ $? = 76 ] && grep -q 'arrived with the digest' said; ok $? "a byte changed on the way out: refused"
[ "$(id scans "far/it's here")" = "$old" ] && voxtrail verify --store "far/it's here" >/dev/null; ok $? "the remote is as it was"
voxtrail push scans "there:it's here" >/dev/null; old=$(id scans over)
BACK="$PYTHON $T/line.py 99999999" voxtrail pull scans "there:it's here" --store over >said 2>&1; [ $? = 76 ]; ok $? "a byte changed on the way in: refused"
[ "$(id scans over)" = "$old" ] && voxtrail verify --store over >/dev/null; ok $? "the store here is as it was"

# --- the line dies: after any number of bytes what arrived is whole, and the next try sends the rest
mkdir many; i=0; while [ $i -lt 60 ]; do mkdir -p many/$((i % 7)); head -c 20000 /dev/urandom >many/$((i % 7))/$i; i=$((i + 1)); done
voxtrail commit many many -m many >/dev/null
bad=0
for n in 30 200 5000 100000 400000 900000 1190000 1205000 1211000; do
	VIA="$PYTHON $T/line.py $n" voxtrail push many there:dying >said 2>&1 && echo "# done at $n"
	[ -f far/dying/format ] || continue
	voxtrail verify --store far/dying >said 2>&1 || bad=1
done
[ $bad = 0 ]; ok $? "whatever arrived before the line died is sound"
voxtrail push many there:dying >said 2>&1 && same many st far/dying; ok $? "the next push finishes"
for n in 10 300 50000 600000 1213000; do
	BACK="$PYTHON $T/line.py $n" voxtrail pull many there:dying --store back >/dev/null 2>&1
	voxtrail verify --store back >said 2>&1 || bad=1
done
[ $bad = 0 ] && voxtrail pull many there:dying --store back >/dev/null && same many st back; ok $? "the same for pull"
bad=0; i=0
while [ $i -lt 8 ]; do
	voxtrail push many killed >/dev/null 2>&1 & pid=$!
	sleep 0.0$i; kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
	voxtrail commit other g --store killed >/dev/null
	{ voxtrail verify --store killed >said 2>&1 || { bad=1; sed "s|^|# |" said; }; }
	i=$((i + 1))
done
[ $bad = 0 ] && voxtrail push many killed >/dev/null && same many st killed && voxtrail verify --store killed >/dev/null; ok $? "killed at any time, repeated: all there"

# --- what was erased by decision travels as a tombstone; what is merely lost does not travel
mkdir gone; echo secret >gone/s; echo open >gone/o; voxtrail commit gone gone >/dev/null
h=$(printf 'secret\n' | sha256sum | cut -c1-64); o=st/objects/$(echo $h | cut -c1-2)/$(echo $h | cut -c3-)
rm -f "$o"; voxtrail push gone lost >said 2>&1; [ $? = 76 ] && grep -q "$(basename "$o")" said; ok $? "a lost file stops the push and is named"
mkdir -p st/tombs/$(echo $h | cut -c1-2)
printf '{"by":"t","format":1,"reason":"subject withdrew","size":7,"time":1767225600}' >st/tombs/$(echo $h | cut -c1-2)/$(echo $h | cut -c3-)
voxtrail push gone there:erased >said 2>&1 && grep -q '1 files were erased' said && same gone st far/erased; ok $? "an erased file does not"
grep -q 'subject withdrew' far/erased/proposed/*/* && [ ! -e far/erased/tombs ] && voxtrail verify --store far/erased >said 2>&1; ok $? "the other store knows that as a proposal, and why"
voxtrail pull gone there:erased --store third >said && grep -q 'subject withdrew' third/proposed/*/*; ok $? "and passes that on"

# --- a failure at every step: the destination stays sound, and the next try ends it
i=0; bad=0
for fault in put.create:kill put.write:enospc put.sync:kill put.sync:eio put.rename:kill publish.mark:kill publish.mkdir:eio publish.dirsync:kill \
	ref.write:kill ref.rename:kill ref.dirsync:eio; do
	rm -rf faulty; voxtrail commit base g --store faulty >/dev/null
	VOXTRAIL_FAULT=$fault voxtrail push many faulty >/dev/null 2>&1 && { bad=1; echo "# $fault did nothing"; }
	voxtrail verify --store faulty >said 2>&1 || { bad=1; sed "s|^|# $fault |" said; }
	voxtrail push many faulty >/dev/null 2>said && same many st faulty && voxtrail verify --store faulty >said 2>&1 || { bad=1; sed "s|^|# $fault again |" said; }
done
[ $bad = 0 ]; ok $? "push stopped at each of 11 steps, by a kill or an error: what is there is sound, the next try ends it"
