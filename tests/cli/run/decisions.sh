# What the runner decides: stale results, triggers, lost objects, who may run at the same time.
. "$ROOT/tests/cli/run/_stubs.sh"
for i in 001 002 003; do subject sub-$i; done
run; echo '# new' >>"$T/stub/per"
run --accept-stale; same "--accept-stale: a new program runs nothing over old data" "$?:$(ran)" "0:"
subject sub-004; run --accept-stale; same "--accept-stale: new data runs" "$(ran)" "crop=1 evaluate=1 export=1 skull=1 train=1"
same "the commits say which datums are stale" "$(cat "$T"/store/commits/*/* | grep -o '"stale_ok":\["[0-9a-f",]*' | tr -cd '\n,' | tr -d '\n')" ",,,,"
run; same "without it the new program runs what is old" "$(ran)" "crop=3 skull=3"
# An object that was lost: found out, made again.
f=$(voxtrail explain skull /sub-002/all.txt --store "$T/store" | sed -n 's/^content *\([0-9a-f]*\),.*/\1/p')
find "$T/store/objects" -name "*${f#??}" -delete
run; same "a lost object: its datum runs again, nothing else" "$?:$(ran)" "0:skull=1"
same "and it is there again" "$(find "$T/store/objects" -name "*${f#??}" | wc -l)" 1
# A repo that `voxtrail commit` moves.
mkdir "$T/more"; cp -r "$T/scans" "$T/more/scans"; echo edited >>"$T/more/scans/sub-001/t1.nii.gz"
voxtrail commit scans "$T/more/scans" --store "$T/store" >/dev/null 2>&1
: >"$T/ran"; voxtrail run "$T/spec.json" --store "$T/store" 2>"$T/err"; same "without --repo the branch of the store is read" "$?:$(ran)" "0:crop=1 evaluate=1 export=1 skull=1 train=1"
# Triggers.
trigger() { printf '[{"pipeline":{"name":"t"},"input":%s,"transform":{"image":"%s","env":{"RAN":"%s/ran"},"cmd":["/bin/sh"],"stdin":["echo t x >>$RAN; ls /pfs/scans >/pfs/out/l"]}}]' "$(pfs scans scans / ",\"trigger\":{$1}")" "$image" "$T" >"$T/t.json"; }
go() { rm -f "$T/ran"; : >"$T/ran"; voxtrail run "$T/t.json" --repo scans="$T/scans" --store "$T/ts" --log json 2>"$T/err" || cat "$T/err"; ran; }
trigger '"commits":2'
same "trigger: one commit of two: waits" "$(go)" ""
same "trigger: the same commit again counts nothing" "$(go)" ""
subject sub-005; same "trigger: the second commit runs it" "$(go)" "t=1"
subject sub-006; same "trigger: one more waits" "$(go)" ""
voxtrail plan "$T/t.json" --repo scans="$T/scans" --store "$T/ts" >/dev/null 2>&1
subject sub-007; same "trigger: a plan moves nothing; the second runs it" "$(go)" "t=1"
rm -rf "$T/ts"; trigger '"size":"1K"'; go >/dev/null; same "trigger by size: too little" "$(go)" ""
dd if=/dev/zero of="$T/scans/sub-001/big" bs=1024 count=2 2>/dev/null; same "trigger by size: enough" "$(go)" "t=1"
rm -rf "$T/ts"; trigger '"rateLimitSpec":"@every 1h"'; same "trigger by rate: the first runs" "$(go)" "t=1"
echo x >>"$T/scans/sub-001/big"; same "trigger by rate: the next within the hour waits" "$(go)" ""
rm -rf "$T/ts"; trigger '"commits":5,"rateLimitSpec":"@every 1h"'; same "trigger: any condition will do" "$(go)" "t=1"
rm -rf "$T/ts"; trigger '"all":true,"commits":5,"rateLimitSpec":"@every 1h"'; same "trigger: all conditions" "$(go)" ""
rm -rf "$T/ts"; trigger '"cronSpec":"* * * * *"'; same "trigger by clock" "$(go)" "t=1"
# Admission: never more at a time than memory, devices and the spec allow.
cat >"$T/stub/busy" <<'S'
#!/bin/sh
# busy DIR OUT: how many of us are there, and on which device?
mkdir "$1/$$"; ls "$1" | wc -l >>"$RAN"; echo "${CUDA_VISIBLE_DEVICES:-none}" >>"$RAN.devices"; sleep 0.15; ls "$1" | wc -l >>"$RAN"; rmdir "$1/$$"
S
chmod +x "$T/stub/busy"; mkdir "$T/now"
busy() { printf '{"pipeline":{"name":"b"},"input":%s,"parallelismSpec":{"constant":%s},%s,"transform":{"image":"%s","env":{"RAN":"%s/most"},"cmd":["%s/stub/busy","%s/now","/pfs/out"]}}' "$(pfs scans scans '/*')" "$1" "$2" "$image" "$T" "$T" "$T" >"$T/b.json"
	rm -rf "$T/bs" "$T/most" "$T/most.devices"; shift 2; voxtrail run "$T/b.json" --repo scans="$T/scans" --store "$T/bs" --log json "$@" 2>"$T/err"; rc=$?; sort -n "$T/most" 2>/dev/null | tail -n 1; return $rc; }
same "jobs bounds what runs at a time" "$(busy 8 '"resourceRequests":{"memory":"1Gi"}' --jobs 3)" 3
same "parallelismSpec bounds it" "$(busy 2 '"resourceRequests":{"memory":"1Gi"}' --jobs 7)" 2
same "memory bounds it" "$(busy 8 '"resourceRequests":{"memory":"1Gi"}' --jobs 7 --mem 2500Mi)" 2
same "more than all memory runs alone" "$(busy 8 '"resourceRequests":{"memory":"9Gi"}' --jobs 7 --mem 2Gi)" 1
same "devices bound it" "$(busy 8 '"resourceLimits":{"gpu":{"type":"nvidia.com/gpu","number":1}}' --jobs 7 --gpus 2)" 2
same "each has one of its own" "$(sort -u "$T/most.devices" | tr '\n' ' ')" "0 1 "
same "two devices for one datum" "$(busy 8 '"resourceLimits":{"gpu":{"type":"nvidia.com/gpu","number":2}}' --jobs 7 --gpus 2):$(sort -u "$T/most.devices")" "1:0,1"
busy 8 '"resourceLimits":{"gpu":{"type":"nvidia.com/gpu","number":3}}' --gpus 2 >/dev/null
same "more devices than there are: refused with its place" "$?:$(grep -c '/resourceLimits/gpu/number: asks for 3' "$T/err")" "75:1"
