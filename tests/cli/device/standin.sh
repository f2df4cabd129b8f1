# The plugin's own host code (cuda.c, convolution.c, the host half of launch.cu) over a checked stand-in for the CUDA runtime
# and cuDNN (tests/gpu/mock/mock.h): the emulated device's bits, whether queued work runs late, at once or in between.
cd "$T" || exit 2
P=$B/tests/libvoxtrail-mock.so
if [ ! -f "$P" ]; then
	echo "skip - the plugin on a stand-in of the CUDA runtime: it was not built (no nvcc, or CUDA=0)"
	exit 0
fi
export BITS=1 LD_LIBRARY_PATH="$B/tests/mock"
operators="convolutions norms activations pairs gates resizes random_masks outputs_branches_and_shared_weights"
same() { # order test functions
	unset GPU_PLUGIN VOXTRAIL_MOCK_ORDER
	RUN_ONLY=$3 "$B/tests/$2" >emulated 2>&1 || echo "not ok - $2 on the emulated device: $(tail -n 3 emulated)"
	VOXTRAIL_MOCK_ORDER=$1 GPU_PLUGIN=$P RUN_ONLY=$3 "$B/tests/$2" >standin 2>&1
	rc=$?
	if [ $rc = 0 ] && cmp -s emulated standin && grep -q '^# bits' standin; then
		echo "ok - $1, $2: $(grep -c '^# bits' standin) results to the bit"
	else
		echo "not ok - $1, $2: status $rc: $(diff emulated standin | tail -n 5)"
	fi
}
same lazy test_gpu_engine "$operators"
same lazy test_gpu_training "patches optimizers options"
same eager test_gpu_training losses
same 7 test_gpu_training losses
exit 0
