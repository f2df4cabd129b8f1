# What nvcc made of the kernels: its PTX, run by an interpreter behind the compiled launch code, gives the bits of the host's
# compilation in whole networks' passes, losses, updates and windows, and touches only what it may.
cd "$T" || exit 2
P=$B/tests/libvoxtrail-ptx.so
set -- "$B"/obj/gpu/kernel/keep/launch.compute_*.ptx
if [ ! -f "$P" ]; then
	echo "skip - the compiled kernels: they were not built (no nvcc, or CUDA=0)"
	exit 0
fi
[ -f "$1" ] || { echo "not ok - the compiled kernels: nvcc left no $1"; exit 1; }
for other; do
	[ "$other" = "$1" ] || { grep -v '^\.target ' "$1" >a; grep -v '^\.target ' "$other" | cmp -s a -; } &&
		echo "ok - $(basename "$other") is $(basename "$1") but for its target" ||
		echo "not ok - $(basename "$other") is another text than $(basename "$1"), which alone is run here"
done
export GPU_PLUGIN="$P" VOXTRAIL_PTX="$1" VOXTRAIL_PTX_LOG="$T/log" MOST_MMAC=5
# PTX_ALL=1: training too, minutes of interpretation; only then every kernel has to have been launched.
for t in engine windows ${PTX_ALL:+training}; do
	"$B/tests/test_gpu_$t" >out 2>&1
	rc=$?
	sed -n "s/^\(ok\|not ok\) - /&PTX, $t: /p; s/^#/&/p" out | awk '!said[$0]++'
	[ $rc = 0 ] || grep -q '^not ok' out || { echo "not ok - PTX, $t: status $rc"; tail -n 3 out; }
done
"$B/tests/far_kernels" | sed 's/^\(ok\|not ok\|skip\) - /&PTX, far: /'
# Not in these tests: kernels of several cards, of one option, and fp16's squares.
sed -n 's/^.*\.entry \([^(]*\)(.*/\1/p' "$1" | sort >all
awk '{print $3}' log | sort -u | comm -23 all - | grep -vE 'kernel_(mean|print|ranks|curvature)I|kernel_squareILi2E' >never
sed 's/^/# not launched here: /' never
if [ -s all ] && { [ -z "${PTX_ALL:-}" ] || [ ! -s never ]; }; then
	echo "ok - PTX: $(awk '{print $3}' log | sort -u | grep -c .) of $(grep -c . all) kernels were launched"
else
	echo "not ok - PTX: $(grep -c . never) of $(grep -c . all) kernels were never launched"
fi
