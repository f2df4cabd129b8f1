# Several cards by the plugin's own host code (cuda.c, nccl.c) over the checked stand-ins for the CUDA runtime, cuDNN and NCCL
# (tests/gpu/mock): the emulated cards' bits; too old a library; calls that return before they are done; calls that fail.
cd "$T" || exit 2
P=$B/tests/libvoxtrail-mock.so
if [ ! -f "$P" ] || [ ! -e "$B/tests/mock/libnccl.so.2" ]; then
	echo "skip - several cards on a stand-in of the CUDA runtime: it was not built (no nvcc, or CUDA=0)"
	exit 0
fi
export VOXTRAIL_MOCK_CARDS=6
if VOXTRAIL_PLUGIN=$P "$B/tests/device_probe" cuda 2 2>&1 | grep -qE 'speaks version|other sources'; then
	echo "skip - several cards on a stand-in of the CUDA runtime: the one in $B/tests is of another build"
	exit 0
fi
cards() { # what functions [name=value...]
	what=$1
	functions=$2
	shift 2
	env "$@" RUN_ONLY="$functions" GPU_PLUGIN="$P" timeout 300 "$B/tests/test_gpu_cards" >out 2>&1 && ! grep -q '^not ok\|^#' out &&
		grep -q '^ok' out && echo "ok - $what" || echo "not ok - $what: $(tail -n 3 out)"
}
cards "late: as many batches added up on one card, drawn patches, refusals" "as_accumulated drawn_patches refusals"
cards "at once: as many batches added up on one card" as_accumulated VOXTRAIL_MOCK_ORDER=eager
cards "now and then: whole batches' losses, twice" training VOXTRAIL_MOCK_ORDER=7
cards "calls of NCCL that return before they are done" as_accumulated VOXTRAIL_MOCK_NCCL_LATE=3
VOXTRAIL_MOCK_NCCL=21000 RUN_ONLY=drawn_patches GPU_PLUGIN=$P "$B/tests/test_gpu_cards" >out 2>&1
grep -q 'NCCL 2.10 is too old; several GPUs need 2.13 or newer' out && echo "ok - an NCCL that is too old is named" || echo "not ok - $(cat out)"
mkdir -p bare/mock
cp "$P" bare/
cp "$B/tests/mock/libcuda.so.1" "$B/tests/mock/libcudnn.so.9" bare/mock/
RUN_ONLY=drawn_patches GPU_PLUGIN=$T/bare/libvoxtrail-mock.so "$B/tests/test_gpu_cards" >out 2>&1
grep -qE 'device cuda: NCCL(:| is missing)' out && echo "ok - an NCCL that is missing, or finds no driver, is named" || echo "not ok - $(cat out)"

# Calls that fail while three cards train, by number: the message and the status of a device that errs, never a hang, a
# broken rule of the libraries, or something that is not given back.  Some calls may fail without harm (recording).
"$PYTHON" - "$ROOT" "$T" <<'PY' || exit 1
import json, sys
sys.path.insert(0, sys.argv[1] + "/tests/tools")
from patches import container
container(sys.argv[2] + "/patches/s/subject.vtp", "s", 0, json.load(open(sys.argv[1] + "/manifests/embedded.json")), 0)
PY
train() {
	rm -rf "$T/out"
	VOXTRAIL_PLUGIN=$P timeout 120 "$B/bin/train" --patches "$T/patches" --out "$T/out" --model meshnet --network '{"channels": 5}' --patch 8 \
		--fold -1 --steps 2 --device cuda --devices 3 --batch 3 >"$T/log" 2>&1
}
VOXTRAIL_MOCK_TRACE=$T/trace train && echo "ok - three cards train: $(grep -c nccl trace) of $(wc -l <trace) calls are NCCL's" || echo "not ok - $(tail -n 3 log)"
failed=0
calls="$(awk '/ncclGroupStart|ncclGroupEnd|ncclCommInitAll/ {print $1; n++} n == 3 {exit}' trace)
	$(awk '/ncclSend|ncclRecv/ {print $1; n++} n == 2 {exit}' trace) $(awk '/ncclCommGetAsync|StreamQuery/ {n++} n == 5 && /nccl|Query/ {print $1; n = -30}' trace | head -n 2)
	$(awk -v n="$(wc -l <trace)" 'NR % int(n / 4) == 7 {print $1}' trace)"
for k in $calls; do
	VOXTRAIL_MOCK_FAIL=$k train
	rc=$?
	case $rc in 0 | 71 | 75) ;; *) failed=1 && echo "not ok - call $k ($(awk -v k="$k" '$1 == k {print $2}' trace)) fails: status $rc: $(tail -n 2 log)" ;; esac
done
[ $failed = 0 ] && echo "ok - $(echo $calls | wc -w) calls that fail: an error each, nothing hangs or is left"
exit 0
